import { readStore } from "./store.ts";
import { parseSummary } from "./summary.ts";
import { giveUp, type Visit } from "./visit.ts";

/** For how long a node may take to answer for its summary, in milliseconds. */
const PATIENCE = 1_500;

/** The longest summary that is read, in bytes; the mesh writes 8,000. */
const MAX_SUMMARY = 65_536;

/** Asks a node for its summary. True when the node is of this cluster; its list is then adopted, unless it is behind. */
export async function ask(visit: Visit, node: string, stop = new AbortController()): Promise<boolean> {
  const { world, nodes, env } = visit;
  visit.asked.add(node);
  const cancel = world.after(PATIENCE, () => stop.abort());
  try {
    const text = await summaryOf(visit, node, stop.signal);
    const summary = text === undefined ? undefined : parseSummary(text, env.CLUSTER);
    if (!summary) {
      visit.fails(node);
      return false;
    }
    visit.answers(node);
    if (nodes.isForeign(summary)) await readStore(visit);
    nodes.adoptLive(summary);
    nodes.refreshedAt = world.now();
    return !nodes.isForeign(summary);
  } catch {
    // Whoever stops early has found another node, and this one did nothing wrong.
    if (stop.signal.reason !== FOUND) visit.fails(node);
    return false;
  } finally {
    cancel();
  }
}

/** Why a question is stopped early. */
export const FOUND = "another node answered";

async function summaryOf(visit: Visit, node: string, signal: AbortSignal): Promise<string | undefined> {
  const get = () => visit.send(node, "/.mesh/summary", { method: "GET", headers: new Headers(), signal });
  let response = await get();
  if (visit.refusal(response) === "edge_clock") {
    giveUp(response);
    response = await get();
    visit.refusal(response);
  }
  if (response.status === 200) return bounded(response);
  giveUp(response);
  return undefined;
}

/** The text of an answer; nothing when it is too long. */
async function bounded(response: Response): Promise<string | undefined> {
  let text = "";
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) return text;
    text += part.value;
    if (text.length > MAX_SUMMARY) {
      await reader?.cancel();
      return undefined;
    }
  }
}
