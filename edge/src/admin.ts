import { failure, notFound, onlyReading } from "./answers.ts";
import { isReading } from "./methods.ts";
import { bytes } from "./signature.ts";

/** Why a request may not read the admin API; nothing when it may. */
export async function refuseAdmin(request: Request, token: string | undefined): Promise<Response | undefined> {
  if (!token) return notFound();
  if (!isReading(request)) return onlyReading();
  const shown = request.headers.get("authorization")?.replace(/^bearer +/i, "Bearer ") ?? "";
  if (await isSame(shown, `Bearer ${token}`)) return undefined;
  return failure(401, "unauthorized", "needs the admin token", { "www-authenticate": "Bearer" });
}

/** Compares digests, which are of one length, in constant time. */
async function isSame(a: string, b: string): Promise<boolean> {
  const digest = (text: string) => crypto.subtle.digest("SHA-256", bytes(text));
  return crypto.subtle.timingSafeEqual(await digest(a), await digest(b));
}
