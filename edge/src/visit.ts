import { type Env, seeds } from "./config.ts";
import { clientAddress } from "./headers.ts";
import type { Nodes } from "./nodes.ts";
import { signature } from "./signature.ts";
import type { World } from "./world.ts";

/** What the free plan allows a request to fetch, less what tries and a refresh may still need. */
const MAX_CALLS = 42;

/** One request of a client, and what it has learned so far. */
export class Visit {
  readonly world: World;
  readonly nodes: Nodes;
  readonly env: Env;
  readonly seeds: string[];
  /** The client's address. */
  readonly ip: string;
  /** Nodes that got the request. */
  readonly tried = new Set<string>();
  /** Nodes that were asked for a summary. */
  readonly asked = new Set<string>();
  /** Nodes that failed in this visit. */
  readonly failed = new Set<string>();
  /** Why nodes refused the signature. */
  refused: Refusal | undefined;

  #calls = 0;

  constructor(world: World, nodes: Nodes, env: Env, request: Request) {
    this.world = world;
    this.nodes = nodes;
    this.env = env;
    this.seeds = seeds(env);
    this.ip = clientAddress(request);
  }

  /** Whether the runtime still permits calls that could be done without. */
  get maySpare(): boolean {
    return this.#calls < MAX_CALLS;
  }

  /** Sends a signed request to a node. */
  async send(
    node: string,
    target: string,
    init: RequestInit & { method: string; headers: Headers },
  ): Promise<Response> {
    const secret = this.env.EDGE_SECRET;
    const url = new URL(node + target);
    if (secret) {
      const t = Math.floor((this.world.now() + this.nodes.clockOffset) / 1000);
      const header = (name: string) => init.headers.get(`x-mesh-${name}`) ?? "";
      const signed = await signature(secret, [
        String(t),
        this.world.nonce(),
        init.method,
        url.href.slice(url.origin.length),
        url.host,
        this.ip,
        header("service"),
        header("version"),
        header("worker"),
      ]);
      init.headers.set("x-mesh-edge", signed);
    }
    return this.fetch(url.href, init);
  }

  /** Sends a request as it is. Redirects are the client's to follow; caches would tell neither versions nor nodes apart. */
  fetch(url: string, init: RequestInit): Promise<Response> {
    this.#calls += 1;
    return this.world.fetch(url, { ...init, redirect: "manual", cache: "no-store" });
  }

  /** A node failed. */
  fails(node: string): void {
    this.failed.add(node);
    this.nodes.failed(node, this.world.now());
  }

  /** A node answered. */
  answers(node: string): void {
    this.nodes.answered(node, this.world.now());
  }

  /** Whether the answer refuses the signature, and why. Learns the nodes' time from it. */
  refusal(response: Response): Refusal | undefined {
    const reason = response.headers.get("x-mesh-error");
    if (response.status !== 403 || (reason !== "edge_clock" && reason !== "edge_signature")) return undefined;
    const date = Date.parse(response.headers.get("date") ?? "");
    if (reason === "edge_clock" && date) this.nodes.clockOffset = date - this.world.now();
    this.refused = reason;
    return reason;
  }
}

/** Why a node refuses a signature. */
export type Refusal = "edge_clock" | "edge_signature";

/** Closes an answer that nobody reads. */
export function giveUp(response: Response): void {
  response.body?.cancel().catch(() => {});
}
