import { ERROR, RETRY, TRIES } from "./headers.ts";

/** Why a node refuses a signature. */
export type Refusal = "edge_clock" | "edge_signature";

/** What the outcome of a try means for the request. */
export type Verdict =
  /** It is the client's. */
  | "final"
  /** The node has not begun, and says so. */
  | "unstarted"
  /** The node does not believe the edge. */
  | "refused"
  /** No node got it. */
  | "unreached"
  /** Nobody knows what became of it. */
  | "lost"
  /** The same, and the node does not answer for itself. */
  | "silent";

/** What gateways answer when they reached no node. */
const UNREACHED = [521, 523, 525, 526, 530];

/** Why an answer refuses the signature, if it does. */
export function refusal(outcome: Response | string): Refusal | undefined {
  if (typeof outcome === "string" || outcome.status !== 403) return undefined;
  return /^edge_(clock|signature)$/.exec(outcome.headers.get(ERROR) ?? "")?.[0] as Refusal | undefined;
}

/** Judges the outcome of a try. */
export function verdict(outcome: Response | "lost" | "silent"): Verdict {
  if (typeof outcome === "string") return outcome;
  const { status, headers } = outcome;
  const error = headers.get(ERROR);
  // Edges are no nodes, whatever they answer.
  if (headers.has(TRIES) || (status >= 500 && !error && !headers.has("x-mesh-worker"))) {
    return error === "loop" || UNREACHED.includes(status) ? "unreached" : "lost";
  }
  if (status === 503 && headers.get(RETRY) === "1") return "unstarted";
  return refusal(outcome) ? "refused" : "final";
}
