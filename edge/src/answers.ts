import { ERROR, RETRY, TRIES } from "./headers.ts";
import type { Visit } from "./visit.ts";

/** In how many seconds a client may try again. */
const RETRY_AFTER = 5;

/** An answer of the edge itself. */
export function failure(
  status: number,
  reason: string,
  error: string,
  more: Record<string, string> = {},
  body: object = {},
): Response {
  const headers = {
    "access-control-allow-origin": "*",
    "cache-control": "no-store",
    [ERROR]: reason,
    [TRIES]: "0",
    ...more,
  };
  return Response.json({ error, reason, ...body }, { status, headers });
}

/** The answer where nothing is. */
export function notFound(): Response {
  return failure(404, "not_found", "nothing is here");
}

/** The answer to whoever wants to change what can only be read. */
export function onlyReading(): Response {
  return failure(405, "method", "only GET and HEAD", { allow: "GET, HEAD" });
}

/** The answer when no node can take a request. */
export function unavailable(visit: Visit, service: string | null, mayBeStarted: boolean): Response {
  const { nodes, refused } = visit;
  const { size } = new Set([...visit.tried, ...visit.asked]);
  const [reason, error] = refused
    ? [refused, "the nodes refuse the signature"]
    : size
      ? ["no_node", "no node of the mesh answers"]
      : ["no_summary", "no node is known"];
  const headers = { "retry-after": `${RETRY_AFTER}`, ...(!mayBeStarted && { [RETRY]: "1" }) };
  return failure(503, reason, error, headers, {
    service,
    available_services: (nodes.live ?? nodes.stored)?.services ?? [],
    instances: [],
    suggestion: `try again in ${RETRY_AFTER} s`,
    retry_after: RETRY_AFTER,
    tried: size,
  });
}
