import type { Visit } from "./visit.ts";

/** In how many seconds a client may try again. */
const RETRY_AFTER = 5;

/** An answer of the edge itself. */
export function failure(status: number, reason: string, error: string, more: object = {}): Response {
  const headers = { "access-control-allow-origin": "*", "cache-control": "no-store", "x-mesh-error": reason };
  return Response.json({ error, reason, ...more }, { status, headers });
}

/** The answer where nothing is. */
export function notFound(): Response {
  return failure(404, "not_found", "nothing is here");
}

/** The answer to whoever wants to change what can only be read. */
export function onlyReading(): Response {
  const response = failure(405, "method", "only GET and HEAD are served");
  response.headers.set("allow", "GET, HEAD");
  return response;
}

/** The answer when no node can take a request. */
export function unavailable(visit: Visit, service: string | null, mayBeStarted: boolean): Response {
  const { nodes, refused } = visit;
  const { size } = new Set([...visit.tried, ...visit.asked]);
  const [reason, error] = refused
    ? [refused, "the nodes refuse the edge's signature"]
    : size > 0
      ? ["no_node", "no node of the mesh answers"]
      : ["no_summary", "no node of the mesh is known"];
  const response = failure(503, reason, error, {
    service,
    available_services: (nodes.live ?? nodes.stored)?.services ?? [],
    instances: [],
    suggestion: `try again in ${RETRY_AFTER} s`,
    retry_after: RETRY_AFTER,
    tried: size,
  });
  response.headers.set("retry-after", `${RETRY_AFTER}`);
  if (!mayBeStarted) response.headers.set("x-mesh-retry", "1");
  return response;
}
