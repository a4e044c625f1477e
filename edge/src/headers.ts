/** What concerns one connection only (RFC 9110, 7.6.1); trailers do not pass through a Worker. */
const OF_HOP =
  /^(connection|keep-alive|proxy-(connection|authenticate|authorization)|te|trailer|transfer-encoding|upgrade|http2-settings)$/;

/** Nominating these would let a client strip what others decide by. */
const PROTECTED = /^(x-mesh-.*|host|authorization|content-length)$/;

/** What a client may not say, and what the runtime says itself. */
const CLAIMS =
  /^(x-mesh-(?!(service|version|worker|explain)$).*|forwarded|x-forwarded-.*|x-real-ip|cf-.*|true-client-ip|expect|host|content-length)$/;

/** The headers of a client's request, as a node gets them. */
export function towardsNode(request: Request, url: URL, ip: string): Headers {
  const headers = new Headers(request.headers);
  strip(headers);
  for (const name of [...headers.keys()]) if (CLAIMS.test(name)) headers.delete(name);
  headers.set("x-forwarded-for", ip);
  headers.set("x-forwarded-proto", url.protocol.slice(0, -1));
  headers.set("x-forwarded-host", url.host);
  if (isWebSocket(request)) headers.set("upgrade", "websocket");
  return headers;
}

/** The answer of a node, as the client gets it. */
export function towardsClient(response: Response, node: string, url: URL, tries: number): Response {
  const answer = new Response(response.body, response);
  strip(answer.headers);
  const location = answer.headers.get("location");
  if (location) answer.headers.set("location", atEdge(location, node, url));
  answer.headers.set("x-mesh-tries", String(tries));
  return answer;
}

/** Services know the host of the node only; a redirect to it is one to the edge. */
function atEdge(location: string, node: string, url: URL): string {
  if (!/^(https?:)?\/\//i.test(location) || !URL.canParse(location, node)) return location;
  const there = new URL(location, node);
  return there.host === new URL(node).host ? url.origin + there.href.slice(there.origin.length) : location;
}

/** The address of the client, which Cloudflare tells. */
export function clientAddress(request: Request): string {
  const ip = request.headers.get("cf-connecting-ip") ?? "";
  return /^[\da-fA-F.:]+$/.test(ip) ? ip : "127.0.0.1";
}

function strip(headers: Headers): void {
  const nominated = (headers.get("connection") ?? "").toLowerCase().split(",");
  for (const name of nominated.map((name) => name.trim())) {
    if (/^[\w!#$%&'*+.^`|~-]+$/.test(name) && !PROTECTED.test(name)) headers.delete(name);
  }
  for (const name of [...headers.keys()]) if (OF_HOP.test(name)) headers.delete(name);
}

function isWebSocket(request: Request): boolean {
  return request.method === "GET" && request.headers.get("upgrade")?.toLowerCase() === "websocket";
}
