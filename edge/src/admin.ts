import { failure } from "./answers.ts";

/** Why a request may not read the admin API; nothing when it may. */
export async function refuseAdmin(request: Request, token: string | undefined): Promise<Response | undefined> {
  if (!token) return failure(404, "not_found", "nothing is served at this path");
  if (request.method !== "GET" && request.method !== "HEAD") {
    const response = failure(405, "method", "only GET and HEAD are served here");
    response.headers.set("allow", "GET, HEAD");
    return response;
  }
  const shown = /^bearer +(.*)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  if (await isSame(shown, token)) return undefined;
  const response = failure(401, "unauthorized", "this needs the admin token, as Authorization: Bearer");
  response.headers.set("www-authenticate", "Bearer");
  return response;
}

/** Compares digests, which are of one length, in constant time. */
async function isSame(a: string, b: string): Promise<boolean> {
  const digest = (text: string) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return crypto.subtle.timingSafeEqual(await digest(a), await digest(b));
}
