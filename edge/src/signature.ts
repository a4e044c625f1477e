/** What a signature covers, in its order; what is not there is signed as empty. */
export type Signed = readonly [
  t: number,
  nonce: string,
  method: string,
  target: string,
  host: string,
  ip: string,
  service: string | null | undefined,
  version: string | null | undefined,
  worker: string | null | undefined,
];

/** The headers that are signed, in the order of the signature. */
export const SIGNED = ["x-mesh-service", "x-mesh-version", "x-mesh-worker"];

/** What nodes take for a secret: `kid:base64` of at least 16 bytes. */
const SECRET = /^[\w-]{1,64}:(?=.{24})([a-z\d+/]{4})*([a-z\d+/]{2}==|[a-z\d+/]{3}=)?$/i;

// Plain data, and so free to be used by all requests of an isolate; the promise that made it is not.
let last: { secret: string; key: CryptoKey } | undefined;

/** The value of `x-mesh-edge`. */
export async function signature(secret: string, signed: Signed): Promise<string> {
  const [kid, base64 = ""] = secret.split(":");
  if (last?.secret !== secret) {
    const raw = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    last = { secret, key };
  }
  const tag = await crypto.subtle.sign("HMAC", last.key, bytes(signed.join("\n")));
  const sig = [...new Uint8Array(tag)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `kid=${kid},t=${signed[0]},n=${signed[1]},ip=${signed[5]},sig=${sig}`;
}

/** Whether nodes could know such a secret. */
export const isSecret = (text: string) => SECRET.test(text);

/** A text in UTF-8. */
export const bytes = (text: string) => new TextEncoder().encode(text);
