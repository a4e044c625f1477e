/** The shortest secret that nodes take, in bytes. */
const MIN_SECRET = 16;

/** A secret shared with the nodes, ready for use. */
interface Secret {
  text: string;
  kid: string;
  key: CryptoKey;
}

/** What a signature covers, in its order. */
export type Signed = [
  t: string,
  nonce: string,
  method: string,
  target: string,
  host: string,
  ip: string,
  service: string,
  version: string,
  worker: string,
];

// Plain data, and so free to be used by all requests of an isolate; the promise that made it is not.
let last: Secret | undefined;

/** The value of `x-mesh-edge`. */
export async function signature(secret: string, signed: Signed): Promise<string> {
  const { kid, key } = await imported(secret);
  const tag = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(signed.join("\n")));
  const sig = [...new Uint8Array(tag)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `kid=${kid},t=${signed[0]},n=${signed[1]},ip=${signed[5]},sig=${sig}`;
}

/** Whether nodes could know such a secret: `kid:base64`. */
export function isSecret(text: string): boolean {
  const parts = /^([\w-]{1,64}):([A-Za-z0-9+/]+={0,2})$/.exec(text);
  try {
    return atob(parts?.[2] ?? "").length >= MIN_SECRET;
  } catch {
    return false;
  }
}

async function imported(text: string): Promise<Secret> {
  if (last?.text === text) return last;
  const [kid = "", secret = ""] = text.split(":");
  const bytes = Uint8Array.from(atob(secret), (char) => char.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  last = { text, kid, key };
  return last;
}
