import { ask } from "./ask.ts";
import type { Nodes } from "./nodes.ts";
import type { Visit } from "./visit.ts";
import type { World } from "./world.ts";

/** The live list is asked for once in so many milliseconds, while there are requests. */
const APART = 5_000;

/** How many nodes are asked before it is left to the next time. */
const TRIES = 3;

/** Whether it is time; who is told so is to refresh. The time stamp is the lock. */
export function isDue(world: World, nodes: Nodes): boolean {
  const now = world.now();
  if (!nodes.live || now - nodes.refreshedAt < APART) return false;
  nodes.refreshedAt = now;
  return true;
}

/** Asks random nodes for the live list, until one answers. */
export async function refresh(visit: Visit): Promise<void> {
  const { world, nodes, seeds } = visit;
  for (const node of nodes.order(world, seeds).slice(0, TRIES)) {
    if (await ask(visit, node)) return;
  }
}
