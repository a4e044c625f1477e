import { seeds } from "./config.ts";
import type { Visit } from "./visit.ts";

/** For how long a node that failed is tried last, in milliseconds. */
const PENALTY = 10_000;

/** For how long a node that answered counts as fresh, in milliseconds. */
const FRESH = 5_000;

/** The known nodes, in the order in which to try them; fresh ones first when `preferFresh`. */
export function order(visit: Visit, preferFresh = false): string[] {
  const { live, stored, failedAt } = visit.nodes;
  const ranks = new Map<string, number>();
  for (const [rank, entries = []] of [live?.entries, stored?.entries, seeds(visit.env)].entries()) {
    for (const { url, unseen } of entries) {
      if (ranks.has(url)) continue;
      const fresh = preferFresh && isFresh(visit, url) ? 10 : 0;
      const penalty = visit.now() - (failedAt.get(url) ?? 0) < PENALTY ? 10 : 0;
      // The fraction shuffles those of one rank.
      ranks.set(url, rank * 2 + Number(unseen) + penalty - fresh + visit.random());
    }
  }
  return [...ranks].sort(([, a], [, b]) => a - b).map(([url]) => url);
}

/** Whether the node answered of late, and has not failed since. */
export function isFresh({ nodes, now }: Visit, url = ""): boolean {
  return now() - (nodes.answeredAt.get(url) ?? 0) < FRESH;
}
