import { failure, unavailable } from "./answers.ts";
import { attempt } from "./attempt.ts";
import { takeBody } from "./body.ts";
import { candidates } from "./candidates.ts";
import { pathOf, RETRY, TRIES, towardsClient, towardsNode } from "./headers.ts";
import { isIdempotent } from "./methods.ts";
import { giveUp, inTime, send } from "./send.ts";
import { type Verdict, verdict } from "./verdict.ts";
import { note, type Visit } from "./visit.ts";

/** At how many nodes a request is tried. */
const MAX_TRIES = 4;

/** What a client hears of a request that may have been started. */
const LOST: Partial<Record<Verdict, [status: number, reason: string, error: string]>> = {
  lost: [502, "broken", "connection lost"],
  silent: [504, "timeout", "the node fell silent"],
};

/** Forwards a request to one node after another, until one answers. */
export async function forward(visit: Visit, request: Request, url: URL, service: string | null): Promise<Response> {
  const body = await takeBody(request);
  const isStream = body instanceof ReadableStream;
  const isRepeatable = isIdempotent(request) && !isStream;
  const { tried } = visit;

  let mayBeStarted = false;
  let held: Response | undefined;
  for await (const node of candidates(visit, isRepeatable)) {
    tried.add(node);
    const sendTo = (signal: AbortSignal) =>
      send(visit, node, pathOf(url), { method: request.method, headers: towardsNode(request, url), body, signal });
    const outcome = await inTime(visit, () => attempt(visit, node, sendTo), !isStream);
    const judged = verdict(outcome);
    const lost = LOST[judged];
    note(visit, node, !lost && judged !== "unreached");
    if (outcome instanceof Response && (judged === "final" || judged === "unstarted")) {
      giveUp(held);
      held = towardsClient(outcome);
      if (judged === "final") return counted(held, visit);
    } else giveUp(outcome);
    if (lost) {
      if (!isRepeatable) {
        giveUp(held);
        return counted(failure(...lost), visit);
      }
      mayBeStarted = true;
      visit.isWary ||= judged === "silent";
    }
    if (isStream || tried.size >= MAX_TRIES) break;
  }
  if (held && mayBeStarted) held.headers.delete(RETRY);
  return counted(held ?? unavailable(visit, service, mayBeStarted), visit);
}

function counted(response: Response, { tried }: Visit): Response {
  response.headers.set(TRIES, `${tried.size}`);
  return response;
}
