import type { Env } from "./config.ts";
import { type Nodes, remember } from "./nodes.ts";
import type { Refusal } from "./verdict.ts";
import type { World } from "./world.ts";

export type Context = Pick<ExecutionContext, "waitUntil">;

/** One request of a client, and what it has learned so far. */
export interface Visit extends World {
  readonly nodes: Nodes;
  readonly env: Env;
  /** Keeps what outlives the client. */
  readonly context: Context;
  /** Nodes that got the request. */
  readonly tried: Set<string>;
  /** Nodes that were asked for a summary. */
  readonly asked: Set<string>;
  /** Nodes that failed. */
  readonly failed: Set<string>;
  /** How often something was fetched. */
  calls: number;
  /** Why nodes refused the signature. */
  refused?: Refusal | undefined;
  /** A node was silent, so to look around is cheaper than to wait for the next one. */
  isWary?: boolean;
}

export function begin(world: World, nodes: Nodes, env: Env, context: Context): Visit {
  return { ...world, nodes, env, context, tried: new Set(), asked: new Set(), failed: new Set(), calls: 0 };
}

/** Notes that a node answered, or failed. */
export function note(visit: Visit, node: string, didAnswer: boolean): void {
  if (!didAnswer) visit.failed.add(node);
  remember(visit.nodes, node, didAnswer, visit.now());
}
