import { failure, unavailable } from "./answers.ts";
import { attempt, type Outcome } from "./attempt.ts";
import { type Body, takeBody } from "./body.ts";
import { discover } from "./discover.ts";
import { towardsClient, towardsNode } from "./headers.ts";
import { readStore } from "./store.ts";
import { giveUp, type Visit } from "./visit.ts";

/** How many nodes a request is tried at. */
const TRIES = 4;

/** Methods that may be sent again whatever became of the first time. */
const REPEATABLE = /^(GET|HEAD|OPTIONS|PUT|DELETE)$/;

/** What gateways answer when they reached no node. */
const UNREACHED = [521, 523, 525, 526, 530];

/** Forwards a request to one node after another, until one answers. */
export async function forward(visit: Visit, request: Request, url: URL, service: string | null): Promise<Response> {
  const body = await takeBody(request);
  return new Forward(visit, request, url, service, body).run();
}

/** One request on its way. */
class Forward {
  readonly #visit: Visit;
  readonly #request: Request;
  readonly #url: URL;
  readonly #service: string | null;
  readonly #body: Body;
  readonly #isRepeatable: boolean;
  /** Nodes that are left. */
  #left: string[] = [];
  #hasReread = false;
  /** A node of this visit was silent, so looking around is cheaper than waiting for the next one. */
  #wasSilent = false;
  /** A try may have been started somewhere. */
  #mayBeStarted = false;
  /** The last answer of a node that did not start. */
  #held: { response: Response; node: string } | undefined;

  constructor(visit: Visit, request: Request, url: URL, service: string | null, body: Body) {
    this.#visit = visit;
    this.#request = request;
    this.#url = url;
    this.#service = service;
    this.#body = body;
    this.#isRepeatable = REPEATABLE.test(request.method) && !body.isStream;
  }

  async run(): Promise<Response> {
    const { nodes } = this.#visit;
    if (!nodes.live && !nodes.stored) await readStore(this.#visit);
    this.#left = this.#order();
    const { tried } = this.#visit;
    for (let node = await this.#next(); node !== undefined; node = await this.#next()) {
      tried.add(node);
      const final = await this.#try(node);
      if (final) {
        if (this.#held) giveUp(this.#held.response);
        return final;
      }
      if (this.#body.isStream || tried.size >= TRIES) break;
    }
    return this.#end();
  }

  #order(): string[] {
    const { nodes, seeds, world } = this.#visit;
    return nodes.order(world, seeds, !this.#isRepeatable);
  }

  /** The node to try next. */
  async #next(): Promise<string | undefined> {
    const visit = this.#visit;
    for (;;) {
      if (this.#mustDiscover()) {
        const found = await discover(visit, this.#left);
        this.#left = this.#left.filter((node) => !visit.failed.has(node) && node !== found);
        if (found) return found;
      }
      const node = this.#left.shift();
      if (node || this.#hasReread || this.#held) return node;
      this.#hasReread = true;
      await readStore(visit);
      const isNew = (node: string) => !visit.tried.has(node) && !visit.asked.has(node);
      this.#left = this.#order().filter(isNew);
    }
  }

  /** Whether to find out first who lives, because a guess could cost too much. */
  #mustDiscover(): boolean {
    const { nodes, world, asked, failed } = this.#visit;
    if (asked.size >= 40 || this.#left.every((node) => asked.has(node))) return false;
    if (!nodes.live || this.#wasSilent || failed.size >= 2) return true;
    return !this.#isRepeatable && !nodes.isFresh(this.#left[0], world.now());
  }

  /** Tries one node; an answer that is final. */
  async #try(node: string): Promise<Response | undefined> {
    const visit = this.#visit;
    let outcome = await this.#send(node);
    if (outcome instanceof Response && visit.refusal(outcome) === "edge_clock" && !this.#body.isStream) {
      giveUp(outcome);
      outcome = await this.#send(node);
    }
    if (outcome === "silent") {
      this.#wasSilent = true;
      return this.#lost(node, 504, "timeout", "the node that has the request does not answer any more");
    }
    if (outcome === "lost") return this.#lost(node, 502, "broken", "the connection to a node was lost");
    if (outcome.status >= 500 && !isMarked(outcome)) {
      giveUp(outcome);
      if (!UNREACHED.includes(outcome.status))
        return this.#lost(node, 502, "broken", "a gateway could not get an answer");
      visit.fails(node);
      return undefined;
    }
    visit.answers(node);
    if (visit.refusal(outcome)) {
      giveUp(outcome);
      return undefined;
    }
    if (outcome.status === 503 && outcome.headers.get("x-mesh-retry") === "1") {
      if (this.#held) giveUp(this.#held.response);
      this.#held = { response: outcome, node };
      return undefined;
    }
    return this.#pass(outcome, node);
  }

  #send(node: string): Promise<Outcome> {
    const { method } = this.#request;
    const target = this.#url.href.slice(this.#url.origin.length);
    const headers = towardsNode(this.#request, this.#url, this.#visit.ip);
    const body = this.#body.content;
    return attempt(this.#visit, node, (signal) => this.#visit.send(node, target, { method, headers, body, signal }));
  }

  /** Nobody knows what became of the request: only who may repeat it goes on. */
  #lost(node: string, status: number, reason: string, error: string): Response | undefined {
    this.#visit.fails(node);
    this.#mayBeStarted = true;
    return this.#isRepeatable ? undefined : this.#marked(failure(status, reason, error));
  }

  /** The answer when no try is left. */
  #end(): Response {
    const { nodes, tried, asked, refused } = this.#visit;
    if (this.#held) {
      const response = this.#pass(this.#held.response, this.#held.node);
      if (this.#mayBeStarted) response.headers.delete("x-mesh-retry");
      return response;
    }
    const known = tried.size + asked.size > 0;
    const [reason, error] = refused
      ? [refused, "the nodes refuse the signature of this edge"]
      : known
        ? ["no_node", "no node of the mesh answers"]
        : ["no_summary", "no node of the mesh is known"];
    const response = unavailable(reason, error, {
      service: this.#service,
      services: nodes.services(),
      tried: new Set([...tried, ...asked]).size,
      unstarted: !this.#mayBeStarted,
    });
    return this.#marked(response);
  }

  #pass(response: Response, node: string): Response {
    return towardsClient(response, node, this.#url, this.#visit.tried.size);
  }

  #marked(response: Response): Response {
    response.headers.set("x-mesh-tries", String(this.#visit.tried.size));
    return response;
  }
}

/** Whether a node answered, and not a gateway in front of it. */
function isMarked({ headers }: Response): boolean {
  return headers.has("x-mesh-worker") || headers.has("x-mesh-error");
}
