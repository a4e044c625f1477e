import { discover } from "./discover.ts";
import { order } from "./order.ts";
import { readStore } from "./store.ts";
import type { Visit } from "./visit.ts";

/** For how long an answer of any node shows that a guess is good enough, in milliseconds. */
const FRESH = 5_000;

/** The nodes to try, one after another; each is looked for only when it is wanted. */
export async function* candidates(visit: Visit, isRepeatable: boolean): AsyncGenerator<string, void> {
  const { nodes, tried, failed } = visit;
  if (!nodes.live && !nodes.stored) await readStore(visit);
  let left = order(visit);
  for (let hasReread = false; ; hasReread = true) {
    while (left.length > 0) {
      const found = mustDiscover(visit, isRepeatable) && (await discover(visit, left));
      left = left.filter((node) => node !== found && !failed.has(node));
      const next = found || left.shift();
      if (next) yield next;
    }
    // A node that answered, if only to refuse, is reason enough to trust the lists.
    if (hasReread || [...tried].some((node) => !failed.has(node))) return;
    await readStore(visit);
    left = order(visit);
  }
}

/** Whether to find out first who lives, because a guess could cost too much. */
function mustDiscover({ nodes, failed, isWary, now }: Visit, isRepeatable: boolean): boolean {
  return !nodes.live || isWary || failed.size > 1 || (!isRepeatable && now() - nodes.answeredAt >= FRESH);
}
