import { seeds } from "./config.ts";
import type { Visit } from "./visit.ts";

/** For how long a node that failed is tried last, in milliseconds. */
const PENALTY = 10_000;

/** The known nodes, in the order in which to try them. */
export function order({ nodes, env, now, random }: Visit): string[] {
  const ranks = new Map<string, number>();
  for (const [rank, entries = []] of [nodes.live?.entries, nodes.stored?.entries, seeds(env)].entries()) {
    for (const { url, unseen } of entries) {
      if (ranks.has(url)) continue;
      const penalty = now() - (nodes.failedAt.get(url) ?? 0) < PENALTY ? 10 : 0;
      // The fraction shuffles those of one rank.
      ranks.set(url, rank * 2 + Number(unseen) + penalty + random());
    }
  }
  return [...ranks].sort(([, a], [, b]) => a - b).map(([url]) => url);
}
