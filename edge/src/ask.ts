import { adoptLive, isForeign } from "./nodes.ts";
import { giveUp, inTime, send } from "./send.ts";
import { readStore } from "./store.ts";
import { parseSummary } from "./summary.ts";
import { note, type Visit } from "./visit.ts";

/** For how long a node may take to answer for its summary, in milliseconds. */
const PATIENCE = 1_500;

/** The longest summary that is read, in characters; the mesh writes 8,000 bytes. */
const MAX_SUMMARY = 65_536;

/**
 * Asks a node for its summary, unless another one is `found` meanwhile. True when the node is of this cluster; its list
 * is then adopted, unless it is behind.
 */
export async function ask(visit: Visit, node: string, found?: AbortSignal): Promise<boolean> {
  const { nodes } = visit;
  visit.asked.add(node);
  const stop = new AbortController();
  const end = () => stop.abort();
  found?.addEventListener("abort", end);
  const cancel = visit.after(PATIENCE, end);
  try {
    const summary = parseSummary(await summaryOf(visit, node, stop.signal), visit.env.CLUSTER);
    note(visit, node, !!summary);
    if (!summary) return false;
    if (isForeign(nodes, summary)) await readStore(visit);
    adoptLive(nodes, summary);
    nodes.refreshedAt = visit.now();
    return !isForeign(nodes, summary);
  } catch {
    if (!found?.aborted) note(visit, node, false);
    return false;
  } finally {
    cancel();
  }
}

/** The text of the answer; none when it is too long, or a refusal. */
async function summaryOf(visit: Visit, node: string, signal: AbortSignal): Promise<string> {
  const response = await inTime(visit, () =>
    send(visit, node, "/.mesh/summary", { method: "GET", headers: new Headers(), signal }),
  );
  let text = "";
  if (response.status !== 200 || !response.body) giveUp(response);
  else {
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
      text += part;
      // To leave the loop closes the stream.
      if (text.length > MAX_SUMMARY) return "";
    }
  }
  return text;
}
