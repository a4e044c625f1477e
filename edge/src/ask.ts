import { giveUp, inTime, send } from "./send.ts";
import { readStore } from "./store.ts";
import { parseSummary } from "./summary.ts";
import { note, type Visit } from "./visit.ts";

/** For how long a node may take to answer for its summary, in milliseconds. */
const PATIENCE = 1_500;

/** The longest summary that is read, in bytes; the mesh writes 8,000. */
const MAX_SUMMARY = 65_536;

/** Asks a node for its summary. True when the node is of this cluster; its list is then adopted, unless it is behind. */
export async function ask(visit: Visit, node: string, stop = new AbortController()): Promise<boolean> {
  const { nodes } = visit;
  visit.asked.add(node);
  const cancel = visit.after(PATIENCE, () => stop.abort());
  try {
    const summary = parseSummary((await summaryOf(visit, node, stop.signal)) ?? "", visit.env.CLUSTER);
    note(visit, node, summary !== undefined);
    if (!summary) return false;
    if (nodes.isForeign(summary)) await readStore(visit);
    nodes.adoptLive(summary);
    nodes.refreshedAt = visit.now();
    return !nodes.isForeign(summary);
  } catch {
    // Whoever stops early has found another node, and this one did nothing wrong.
    if (stop.signal.reason !== FOUND) note(visit, node, false);
    return false;
  } finally {
    cancel();
  }
}

/** Why a question is stopped early. */
export const FOUND = "another node answered";

async function summaryOf(visit: Visit, node: string, signal: AbortSignal): Promise<string | undefined> {
  const get = () => send(visit, node, "/.mesh/summary", { method: "GET", headers: new Headers(), signal });
  const response = await inTime(visit, get);
  if (response.status === 200) return bounded(response);
  giveUp(response);
  return undefined;
}

/** The text of an answer; nothing when it is too long, or there is none. */
async function bounded({ body }: Response): Promise<string | undefined> {
  if (!body) return undefined;
  let text = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    text += part;
    // To leave the loop closes the stream.
    if (text.length > MAX_SUMMARY) return undefined;
  }
  return text;
}
