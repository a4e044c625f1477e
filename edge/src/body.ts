import { isReading } from "./methods.ts";

/** The longest body that is kept, so that it can be sent again, in bytes. */
const MAX_KEPT = 262_144;

/** The body of a request: kept when it is known to be short, else a stream that can be sent once. */
export async function takeBody(request: Request): Promise<ArrayBuffer | ReadableStream | null> {
  if (isReading(request)) return null;
  const length = Number(request.headers.get("content-length") ?? Number.NaN);
  return request.body && length <= MAX_KEPT ? request.arrayBuffer() : request.body;
}
