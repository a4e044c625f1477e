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

/** The shortest secret that nodes take, in bytes. */
const MIN_SECRET = 16;

// Plain data, and so free to be used by all requests of an isolate; the promise that made it is not.
let last: { secret: string; key: CryptoKey } | undefined;

/** The value of `x-mesh-edge`. */
export async function signature(secret: string, signed: Signed): Promise<string> {
  if (last?.secret !== secret) {
    const bytes = Uint8Array.from(decode(secret), (char) => char.charCodeAt(0));
    const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    last = { secret, key };
  }
  const tag = await crypto.subtle.sign("HMAC", last.key, new TextEncoder().encode(signed.join("\n")));
  const sig = Array.from(new Uint8Array(tag), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `kid=${secret.split(":")[0]},t=${signed[0]},n=${signed[1]},ip=${signed[5]},sig=${sig}`;
}

/** Whether nodes could know such a secret: `kid:base64`. */
export function isSecret(text: string): boolean {
  try {
    return /^[\w-]{1,64}:[^:]+$/.test(text) && decode(text).length >= MIN_SECRET;
  } catch {
    return false;
  }
}

function decode(secret: string): string {
  return atob(secret.split(":")[1] ?? "");
}
