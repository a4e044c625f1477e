import { discover, MAX_ASKED } from "./discover.ts";
import { isFresh, order } from "./order.ts";
import { readStore } from "./store.ts";
import type { Visit } from "./visit.ts";

/** The nodes to try, one after another; each is looked for only when it is wanted. */
export async function* candidates(visit: Visit, isRepeatable: boolean): AsyncGenerator<string, void> {
  const { nodes, asked, tried, failed } = visit;
  const ordered = () => order(visit, !isRepeatable);
  if (!nodes.live && !nodes.stored) await readStore(visit);
  let left = ordered();
  for (let hasReread = false; ; hasReread = true) {
    while (left.length > 0) {
      const mayDiscover = asked.size < MAX_ASKED && left.some((node) => !asked.has(node));
      const next = mayDiscover && mustDiscover(visit, left, isRepeatable) ? await discover(visit, left) : left[0];
      left = left.filter((node) => node !== next && !failed.has(node));
      if (next) yield next;
    }
    // A node that answered, if only to refuse, is reason enough to trust the lists.
    if (hasReread || tried.size > [...tried].filter((node) => failed.has(node)).length) return;
    await readStore(visit);
    left = ordered().filter((node) => !tried.has(node) && !asked.has(node));
  }
}

/** Whether to find out first who lives, because a guess could cost too much. */
function mustDiscover(visit: Visit, left: string[], isRepeatable: boolean): boolean {
  if (!visit.nodes.live || visit.isWary || visit.failed.size > 1) return true;
  return !isRepeatable && !isFresh(visit, left[0]);
}
