/** The longest body that is kept, so that it can be sent again, in bytes. */
const MAX_KEPT = 262_144;

/** The body of a request: kept when it is known to be short, else a stream that can be sent once. */
export async function takeBody(request: Request): Promise<ArrayBuffer | ReadableStream | null> {
  if (request.method === "GET" || request.method === "HEAD") return null;
  const length = request.headers.get("content-length");
  return request.body && length !== null && Number(length) <= MAX_KEPT ? request.arrayBuffer() : request.body;
}
