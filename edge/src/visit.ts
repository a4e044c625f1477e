import type { Env } from "./config.ts";
import { NOBODY } from "./headers.ts";
import type { Nodes } from "./nodes.ts";
import { signature } from "./signature.ts";
import { type Refusal, refusal } from "./verdict.ts";
import type { World } from "./world.ts";

/** What the free plan allows a request to fetch, less what tries and a refresh may still need. */
const MAX_CALLS = 42;

/** One request of a client, and what it has learned so far. */
export class Visit {
  readonly world: World;
  readonly nodes: Nodes;
  readonly env: Env;
  /** Nodes that got the request. */
  readonly tried = new Set<string>();
  /** Nodes that were asked for a summary. */
  readonly asked = new Set<string>();
  /** Nodes that failed. */
  readonly failed = new Set<string>();
  /** Why nodes refused the signature. */
  refused: Refusal | undefined;
  /** A node was silent, so to look around is cheaper than to wait for the next one. */
  wasSilent = false;
  #calls = 0;

  constructor(world: World, nodes: Nodes, env: Env) {
    this.world = world;
    this.nodes = nodes;
    this.env = env;
  }

  /** Whether the runtime still permits calls that could be done without. */
  get canSpare(): boolean {
    return this.#calls < MAX_CALLS;
  }

  /** Sends a signed request to a node. */
  async send(
    node: string,
    target: string,
    init: RequestInit & { method: string; headers: Headers },
  ): Promise<Response> {
    const { env, world, nodes } = this;
    const { method, headers } = init;
    const { href, host, origin } = new URL(node + target);
    if (env.EDGE_SECRET) {
      const t = Math.floor((world.now() + nodes.clockOffset) / 1000);
      const [service, version, worker] = ["service", "version", "worker"].map((name) => headers.get(`x-mesh-${name}`));
      const ip = headers.get("x-forwarded-for") ?? NOBODY;
      // What the runtime will send, which is not always what was written.
      const sent = href.slice(origin.length);
      const signed = [t, world.nonce(), method, sent, host, ip, service, version, worker] as const;
      headers.set("x-mesh-edge", await signature(env.EDGE_SECRET, signed));
    }
    return this.fetch(href, init);
  }

  /** Sends a request as it is. Redirects are the client's to follow; caches would tell neither versions nor nodes apart. */
  fetch(url: string, init: RequestInit): Promise<Response> {
    this.#calls += 1;
    return this.world.fetch(url, { ...init, redirect: "manual", cache: "no-store" });
  }

  /** Notes that a node answered, or failed. */
  note(node: string, didAnswer: boolean): void {
    if (!didAnswer) this.failed.add(node);
    this.nodes.note(node, didAnswer, this.world.now());
  }

  /** Calls `send`, and once more when a node shows that the clock here is wrong. */
  async inTime<T extends Response | string>(send: () => Promise<T>, mayRepeat = true): Promise<T> {
    const outcome = await send();
    if (this.#refusal(outcome) !== "edge_clock" || !mayRepeat) return outcome;
    this.refused = undefined;
    giveUp(outcome);
    const again = await send();
    this.#refusal(again);
    return again;
  }

  #refusal(outcome: Response | string): Refusal | undefined {
    const reason = refusal(outcome);
    if (typeof outcome === "string" || !reason) return undefined;
    const offset = Date.parse(outcome.headers.get("date") ?? "") - this.world.now();
    if (reason === "edge_clock" && offset) this.nodes.clockOffset = offset;
    this.refused = reason;
    return reason;
  }
}

/** Closes an answer that nobody reads. */
export function giveUp(response: Response | string | undefined): void {
  if (response instanceof Response) response.body?.cancel().catch(() => {});
}
