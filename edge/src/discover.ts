import { ask, FOUND } from "./ask.ts";
import type { Visit } from "./visit.ts";

/** How many nodes are asked at once. */
const WAVE = 6;

/** After so many milliseconds of silence the next node is asked as well. */
const SILENCE = 350;

/** The most nodes that are asked for one request. */
const MAX_ASKED = 40;

/** Asks nodes for their summary, in their order; the first that answers well, or nothing when none does. */
export function discover(visit: Visit, nodes: string[]): Promise<string | undefined> {
  const waiting = nodes.filter((node) => !visit.asked.has(node)).slice(0, MAX_ASKED - visit.asked.size);
  const stops: AbortController[] = [];
  return new Promise((resolve) => {
    let open = 0;
    let places = WAVE;
    const next = () => {
      while (places > 0 && waiting.length > 0) void inquire(waiting.shift() as string);
      if (open === 0) resolve(undefined);
    };
    const inquire = async (node: string) => {
      const stop = new AbortController();
      stops.push(stop);
      open += 1;
      places -= 1;
      let holdsPlace = true;
      const leave = () => {
        if (holdsPlace) places += 1;
        holdsPlace = false;
      };
      const cancel = visit.world.after(SILENCE, () => {
        leave();
        next();
      });
      const good = await ask(visit, node, stop);
      cancel();
      open -= 1;
      leave();
      if (good) {
        waiting.length = 0;
        resolve(node);
        for (const other of stops) other.abort(FOUND);
      } else next();
    };
    next();
  });
}
