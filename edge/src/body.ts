/** The longest body that is kept, so that it can be sent again, in bytes. */
const MAX_KEPT = 262_144;

/** The body of a request: none, kept, or a stream that can be sent once. */
export interface Body {
  content: ArrayBuffer | ReadableStream | null;
  isStream: boolean;
}

/** Takes the body of a request, and keeps it when it is known to be short. */
export async function takeBody(request: Request): Promise<Body> {
  if (!request.body || request.method === "GET" || request.method === "HEAD") return { content: null, isStream: false };
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) <= MAX_KEPT) {
    return { content: await request.arrayBuffer(), isStream: false };
  }
  return { content: request.body, isStream: true };
}
