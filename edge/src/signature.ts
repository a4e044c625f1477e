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
const SECRET = /^[\w-]{1,64}:(?=.{24})([A-Za-z\d+/]{4})*([A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/;

// Plain data, and so free to be used by all requests of an isolate; the promise that made it is not.
let last: { secret: string; key: CryptoKey } | undefined;

/** The value of `x-mesh-edge`. */
export async function signature(secret: string, signed: Signed): Promise<string> {
  const [kid, base64 = ""] = secret.split(":");
  if (last?.secret !== secret) {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    last = { secret, key };
  }
  const tag = await crypto.subtle.sign("HMAC", last.key, new TextEncoder().encode(signed.join("\n")));
  const sig = [...new Uint8Array(tag)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `kid=${kid},t=${signed[0]},n=${signed[1]},ip=${signed[5]},sig=${sig}`;
}

/** Whether nodes could know such a secret. */
export function isSecret(text: string): boolean {
  return SECRET.test(text);
}
