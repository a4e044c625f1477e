import { failure, unavailable } from "./answers.ts";
import { attempt } from "./attempt.ts";
import { takeBody } from "./body.ts";
import { candidates } from "./candidates.ts";
import { towardsClient, towardsNode } from "./headers.ts";
import { giveUp, inTime, send } from "./send.ts";
import { verdict } from "./verdict.ts";
import { note, type Visit } from "./visit.ts";

/** At how many nodes a request is tried. */
const TRIES = 4;

/** Methods that may be sent again whatever became of the first time. */
const REPEATABLE = /^(GET|HEAD|OPTIONS|PUT|DELETE)$/;

/** Forwards a request to one node after another, until one answers. */
export async function forward(visit: Visit, request: Request, url: URL, service: string | null): Promise<Response> {
  const body = await takeBody(request);
  const { method } = request;
  const isStream = body instanceof ReadableStream;
  const isRepeatable = REPEATABLE.test(method) && !isStream;
  const { tried } = visit;
  const attemptAt = (node: string) => {
    const headers = towardsNode(request, url);
    const target = url.href.slice(url.origin.length);
    return attempt(visit, node, (signal) => send(visit, node, target, { method, headers, body, signal }));
  };

  let mayBeStarted = false;
  let held: Response | undefined;
  for await (const node of candidates(visit, isRepeatable)) {
    tried.add(node);
    const outcome = await inTime(visit, () => attemptAt(node), !isStream);
    const judged = verdict(outcome);
    const isLost = judged === "lost" || judged === "silent";
    note(visit, node, !isLost && judged !== "unreached");
    if (outcome instanceof Response && (judged === "final" || judged === "unstarted")) {
      giveUp(held);
      held = towardsClient(outcome, node, url);
      if (judged === "final") return counted(held, visit);
    } else giveUp(outcome);
    if (isLost) {
      if (!isRepeatable) return counted(broken(judged), visit);
      mayBeStarted = true;
      visit.isWary ||= judged === "silent";
    }
    if (isStream || tried.size >= TRIES) break;
  }
  if (held && mayBeStarted) held.headers.delete("x-mesh-retry");
  return counted(held ?? unavailable(visit, service, mayBeStarted), visit);
}

function broken(how: "lost" | "silent"): Response {
  if (how === "silent") return failure(504, "timeout", "the node does not answer any more");
  return failure(502, "broken", "the connection to the node was lost");
}

function counted(response: Response, { tried }: Visit): Response {
  response.headers.set("x-mesh-tries", `${tried.size}`);
  return response;
}
