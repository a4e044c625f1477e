import { ask } from "./ask.ts";
import type { Visit } from "./visit.ts";
import { within } from "./world.ts";

/** How many nodes are asked at once. */
const WAVE = 6;

/** After so many milliseconds of silence the next node is asked as well. */
const SILENCE = 350;

/** The most nodes that are asked for one request. */
const MAX_ASKED = 40;

/** Asks nodes for their summary, in their order; the first that answers well, or nothing when none does. */
export async function discover(visit: Visit, nodes: string[]): Promise<string | undefined> {
  const waiting = nodes.filter((node) => !visit.asked.has(node)).slice(0, MAX_ASKED - visit.asked.size);
  const found = new AbortController();
  const inquire = async (): Promise<string> => {
    const node = waiting.shift();
    if (!node) throw null;
    const good = ask(visit, node, found.signal);
    if (await within(visit, SILENCE, good)) return node;
    // Who is only slow may still be the first.
    return Promise.any([good.then((isGood) => (isGood ? node : Promise.reject())), inquire()]);
  };
  const first = await Promise.any(Array.from({ length: WAVE }, inquire)).catch(() => undefined);
  waiting.length = 0;
  found.abort();
  return first;
}
