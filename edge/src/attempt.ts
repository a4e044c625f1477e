import { giveUp, type Visit } from "./visit.ts";
import { pause, type World } from "./world.ts";

/** The first time of silence after which a node is asked whether it lives, and the longest, in milliseconds. */
const SILENCE = 1_000;
const LONGEST_SILENCE = 16_000;

/** How often it is asked. */
const QUESTIONS = 16;

/** For how long it may take to answer that, in milliseconds. */
const PATIENCE = 1_000;

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
  for (let asked = 0; asked < QUESTIONS; asked++) {
    const outcome = await within(visit.world, answer, Math.min(SILENCE * 2 ** asked, LONGEST_SILENCE));
    if (outcome) return outcome;
    if (!visit.maySpare) break;
    const question = new AbortController();
    const first = await Promise.race([answer, lives(visit, node, question)]);
    question.abort();
    if (first === false) {
      stop.abort();
      return "silent";
    }
    if (first !== true) return first;
  }
  return answer;
}

/** Whether the node answers for itself. */
async function lives(visit: Visit, node: string, stop: AbortController): Promise<boolean> {
  const cancel = visit.world.after(PATIENCE, () => stop.abort());
  try {
    const response = await visit.fetch(`${node}/health`, { signal: stop.signal });
    giveUp(response);
    return response.status === 200 || response.status === 503;
  } catch {
    return false;
  } finally {
    cancel();
  }
}

/** What a promise gives, if it does so in time. */
async function within<T>(world: World, promise: Promise<T>, ms: number): Promise<T | undefined> {
  const limit = pause(world, ms);
  try {
    return await Promise.race([promise, limit.over]);
  } finally {
    limit.cancel();
  }
}
