import { ask } from "./ask.ts";
import { order } from "./order.ts";
import type { Visit } from "./visit.ts";

/** The live list is asked for once in so many milliseconds, while there are requests. */
const APART = 5_000;

/** How many nodes are asked before it is left to the next time. */
const TRIES = 3;

/** Whether it is time; who is told so is to refresh. The time stamp is the lock. */
export function isDue({ nodes, now: clock }: Visit): boolean {
  const now = clock();
  if (!nodes.live || now - nodes.refreshedAt < APART) return false;
  nodes.refreshedAt = now;
  return true;
}

/** Asks random nodes for the live list, until one answers. */
export async function refresh(visit: Visit): Promise<void> {
  for (const node of order(visit).slice(0, TRIES)) {
    if (await ask(visit, node)) return;
  }
}
