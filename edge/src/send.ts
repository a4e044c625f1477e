import { NOBODY, pathOf } from "./headers.ts";
import { SIGNED, signature } from "./signature.ts";
import { refusal } from "./verdict.ts";
import type { Visit } from "./visit.ts";

/** Sends a signed request to a node. */
export async function send(
  visit: Visit,
  node: string,
  target: string,
  init: RequestInit & { method: string; headers: Headers },
): Promise<Response> {
  const { method, headers } = init;
  const url = new URL(node + target);
  // Unsigned as well, it tells other edges that it was one's.
  headers.set("x-mesh-edge", "unsigned");
  if (visit.env.EDGE_SECRET) {
    const t = Math.floor((visit.now() + visit.nodes.clockOffset) / 1000);
    const ip = headers.get("x-forwarded-for") ?? NOBODY;
    const [service, version, worker] = SIGNED.map((name) => only(headers, name));
    const signed = [t, visit.nonce(), method, pathOf(url), url.host, ip, service, version, worker] as const;
    headers.set("x-mesh-edge", await signature(visit.env.EDGE_SECRET, signed));
  }
  return call(visit, url.href, init);
}

/** The value of a header, which is sent on one line from now on: nodes refuse to guess which one was signed. */
function only(headers: Headers, name: string): string | null {
  const value = headers.get(name);
  if (value) headers.set(name, value);
  return value;
}

/** Sends a request as it is. Redirects are the client's to follow; caches would tell neither versions nor nodes apart. */
export function call(visit: Visit, url: string, init: RequestInit): Promise<Response> {
  visit.calls++;
  return visit.fetch(url, { ...init, redirect: "manual", cache: "no-store" });
}

/** Calls `send`, and once more when a node shows that the clock here is wrong. */
export async function inTime<T extends Response | string>(
  visit: Visit,
  send: () => Promise<T>,
  mayRepeat = true,
): Promise<T> {
  const outcome = await send();
  const why = refusal(outcome);
  visit.refused = why ?? visit.refused;
  if (typeof outcome === "string" || why !== "edge_clock") return outcome;
  const offset = Date.parse(outcome.headers.get("date") ?? "") - visit.now();
  if (offset) visit.nodes.clockOffset = offset;
  if (!mayRepeat) return outcome;
  giveUp(outcome);
  const again = await send();
  visit.refused = refusal(again);
  return again;
}

/** Closes an answer that nobody reads. */
export function giveUp(response: Response | string | undefined): void {
  if (response instanceof Response) response.body?.cancel().catch(() => {});
}
