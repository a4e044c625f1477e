/** In how many seconds a client may try again. */
const RETRY_AFTER = 5;

/** An answer of the edge itself. */
export function failure(status: number, reason: string, error: string, more: object = {}): Response {
  const headers = { "access-control-allow-origin": "*", "cache-control": "no-store", "x-mesh-error": reason };
  return Response.json({ error, reason, ...more }, { status, headers });
}

/** The answer when no node can take a request. */
export function unavailable(
  reason: string,
  error: string,
  known: { service: string | null; services: string[]; tried: number; unstarted: boolean },
): Response {
  const response = failure(503, reason, error, {
    service: known.service,
    available_services: known.services,
    instances: [],
    suggestion: `try again in ${RETRY_AFTER} s`,
    retry_after: RETRY_AFTER,
    tried: known.tried,
  });
  response.headers.set("retry-after", String(RETRY_AFTER));
  if (known.unstarted) response.headers.set("x-mesh-retry", "1");
  return response;
}
