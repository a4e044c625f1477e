import { TRIES } from "./headers.ts";
import { call, giveUp } from "./send.ts";
import type { Visit } from "./visit.ts";
import { within } from "./world.ts";

/** The first time of silence after which a node is asked whether it lives, and the longest, in milliseconds. */
const SILENCE = 1_000;
const LONGEST_SILENCE = 16_000;

/** For how long it may take to answer that, in milliseconds. */
const PATIENCE = 1_000;

/** What the free plan allows a request to fetch, less what tries and a refresh may still need. */
const MAX_CALLS = 42;

/** How long the silence may be when the node cannot be asked any more, in milliseconds. */
const LAST_SILENCE = 60_000;

/** How one try ended: with an answer, a lost connection, or a node that does not answer for itself. */
export type Outcome = Response | "lost" | "silent";

/** One try at a node. A service may be slow, so silence alone is no failure. */
export async function attempt(
  visit: Visit,
  node: string,
  send: (signal: AbortSignal) => Promise<Response>,
): Promise<Outcome> {
  const stop = new AbortController();
  const answer: Promise<Outcome> = send(stop.signal).catch(() => "lost");
  for (let silence = SILENCE; ; silence = Math.min(silence * 2, LONGEST_SILENCE)) {
    const mayAsk = visit.calls < MAX_CALLS;
    const outcome = await within(visit, mayAsk ? silence : LAST_SILENCE, answer);
    if (outcome) return outcome;
    const question = new AbortController();
    const health = mayAsk && lives(visit, node, question.signal);
    const first = await within(visit, PATIENCE, Promise.race([answer, health]));
    question.abort();
    if (!first) {
      stop.abort();
      return "silent";
    }
    if (first !== true) return first;
  }
}

/** Whether the node answers for itself. */
function lives(visit: Visit, node: string, signal: AbortSignal): Promise<boolean> {
  return call(visit, `${node}/health`, { signal }).then(
    (response) => {
      giveUp(response);
      return [200, 503].includes(response.status) && !response.headers.has(TRIES);
    },
    () => false,
  );
}
