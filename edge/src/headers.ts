/** What concerns one connection only (RFC 9110, 7.6.1); trailers do not pass through a Worker. */
const OF_HOP =
  /^(connection|keep-alive|proxy-(connection|auth.*)|te|trailer|transfer-encoding|upgrade|http2-settings)$/;

/** Nominating these would let a client strip what others decide by. */
const PROTECTED = /^(x-mesh-.*|authorization)$/i;

/** What a client may not say, and what the runtime says itself. */
const CLAIMS =
  /^(x-mesh-(?!(service|version|worker|explain)$).*|(x-)?forwarded(-.*)?|x-real-ip|cf-.*|true-client-ip|expect|host|content-length)$/;

/** Why the mesh, or an edge, answered itself. */
export const ERROR = "x-mesh-error";

/** Says of an answer that nothing was started. */
export const RETRY = "x-mesh-retry";

/** How many nodes an edge tried; no node says so. */
export const TRIES = "x-mesh-tries";

/** The address when there is no client, or none that is known. */
export const NOBODY = "127.0.0.1";

/** The headers of a client's request, as a node gets them. */
export function towardsNode(request: Request, url: URL): Headers {
  const headers = new Headers(request.headers);
  strip(headers, CLAIMS);
  headers.set("x-forwarded-for", clientAddress(request));
  headers.set("x-forwarded-proto", url.protocol.slice(0, -1));
  headers.set("x-forwarded-host", url.host);
  if (isWebSocket(request)) headers.set("upgrade", "websocket");
  return headers;
}

/** The answer of a node, as the client gets it. */
export function towardsClient(response: Response): Response {
  const answer = new Response(response.body, response);
  strip(answer.headers);
  return answer;
}

/** Path and query, as the runtime shows them. */
export function pathOf({ href, origin }: URL): string {
  return href.slice(origin.length);
}

/** The address of the client, which Cloudflare tells. */
function clientAddress({ headers }: Request): string {
  const ip = headers.get("cf-connecting-ip") ?? "";
  return /^[\da-f.:]+$/i.test(ip) ? ip : NOBODY;
}

function strip(headers: Headers, claims?: RegExp): void {
  const nominated = headers.get("connection")?.match(/[\w!#$%&'*+.^`|~-]+/g) ?? [];
  for (const name of nominated) if (!PROTECTED.test(name)) headers.delete(name);
  for (const name of [...headers.keys()]) if (OF_HOP.test(name) || claims?.test(name)) headers.delete(name);
}

function isWebSocket(request: Request): boolean {
  return request.method === "GET" && /^websocket$/i.test(request.headers.get("upgrade") ?? "");
}
