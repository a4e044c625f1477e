// A world for tests: virtual time, and nodes that are functions.

import { timingSafeEqual } from "node:crypto";
import type { Env } from "../../src/config.ts";
import { createEdge } from "../../src/edge.ts";
import type { World } from "../../src/world.ts";

/** What a node got. */
export interface Got {
  method: string;
  target: string;
  headers: Headers;
  body: unknown;
  init: RequestInit;
  /** When, in milliseconds since the test began. */
  at: number;
}

/** What a node does with a request. */
export type Deed = Response | "lost" | "silent" | { after: number; give: Response | "lost" };

export const SECRET = `k1:${btoa("0123456789abcdef")}`;

const BEGIN = Date.UTC(2026, 10, 23);

/** The runtime of Workers compares in constant time; Node has that elsewhere. */
Object.assign(crypto.subtle, {
  timingSafeEqual: (a: ArrayBuffer, b: ArrayBuffer) => timingSafeEqual(new Uint8Array(a), new Uint8Array(b)),
});

/** Cryptography runs on threads, so time must stand still for it. */
let busy = 0;
for (const name of ["sign", "importKey", "digest"] as const) {
  const original = crypto.subtle[name].bind(crypto.subtle) as (...args: unknown[]) => Promise<unknown>;
  Object.assign(crypto.subtle, {
    [name]: (...args: unknown[]) => {
      busy += 1;
      return original(...args).finally(() => {
        busy -= 1;
      });
    },
  });
}

/** A node of the mesh. */
export class FakeNode {
  readonly url: string;
  /** All that it got but summaries and questions for its health. */
  readonly got: Got[] = [];
  /** When it was asked for its summary, and for its health. */
  readonly asked: Got[] = [];
  readonly questions: Got[] = [];
  /** Answers of which the body was given up. */
  closed = 0;
  answer: (got: Got) => Deed = () => this.ok();
  health: (got: Got) => Deed = () => Response.json({ status: "ok" });
  summary: (got: Got) => Deed = () => "lost";

  constructor(url: string) {
    this.url = url;
  }

  /** An answer of a service at this node. */
  ok(text = this.url, status = 200): Response {
    return new Response(text, { status, headers: { "x-mesh-worker": "w" } });
  }

  /** Neither process nor address is there any more. */
  die(how: "lost" | "silent" = "lost"): void {
    this.answer = this.health = this.summary = () => how;
  }

  /** An answer that tells when its body is given up. */
  watched(status: number, headers: Record<string, string>): Response {
    const body = new ReadableStream({
      cancel: () => {
        this.closed += 1;
      },
    });
    return new Response(body, { status, headers });
  }
}

export class FakeWorld {
  readonly nodes = new Map<string, FakeNode>();
  /** Keys that were read, with their options. */
  readonly reads: unknown[] = [];
  /** The value in the store, or what reading it does. */
  stored: string | null | (() => Promise<string | null>) = null;
  env: Env;
  worker = createEdge(this.#asWorld());
  #time = BEGIN;
  #seed = 1;
  #nonces = 0;
  #timers = new Set<{ at: number; ring: () => void }>();
  #background: Promise<unknown>[] = [];

  constructor(names: string[] = []) {
    const get = (key: string, options: unknown) => {
      this.reads.push([key, options]);
      return typeof this.stored === "function" ? this.stored() : Promise.resolve(this.stored);
    };
    this.env = { MESH: { get } as unknown as Env["MESH"], CLUSTER: "it", EDGE_SECRET: SECRET };
    for (const name of names) this.add(name);
    this.list(names);
  }

  #asWorld(): World {
    return {
      fetch: (url, init) => this.fetch(url, init),
      now: () => this.now(),
      after: (ms, ring) => this.after(ms, ring),
      random: () => this.random(),
      nonce: () => this.nonce(),
    };
  }

  /** A node that answers, and whose summary lists all that `list` last named. */
  add(name: string): FakeNode {
    const node = new FakeNode(`https://${name}.example`);
    node.summary = () => Response.json(this.live);
    this.nodes.set(node.url, node);
    return node;
  }

  node(name: string): FakeNode {
    const node = this.nodes.get(`https://${name}.example`);
    if (!node) throw new Error(`no node ${name}`);
    return node;
  }

  /** What live nodes say. */
  live: Record<string, unknown> = {};

  /** Lists nodes in the store and in live answers. */
  list(names: string[], more: Record<string, unknown> = {}): void {
    this.live = summary(names, more);
    this.stored = JSON.stringify(this.live);
  }

  /** Sends a request, and lets time pass until it is answered. */
  request(target: string, init: RequestInit = {}): Promise<Response> {
    return this.run(this.start(target, init));
  }

  /** Sends a request; time stands still. */
  start(target: string, init: RequestInit = {}): Promise<Response> {
    const request = new Request(`https://edge.example${target}`, { ...init, duplex: "half" } as RequestInit);
    return this.worker.fetch(request as Parameters<typeof this.worker.fetch>[0], this.env, {
      waitUntil: (promise) => void this.#background.push(promise),
    });
  }

  /** What goes on in the background, and would outlive its client. */
  get background(): number {
    return this.#background.length;
  }

  /** Ends all that is under way, as the runtime may. */
  cancel(): void {
    this.#timers.clear();
    this.#background.length = 0;
  }

  /** Lets time pass until the promise is settled, and what goes on in the background. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const all = () => Promise.allSettled([promise, ...this.#background.splice(0)]);
    const watch = async () => {
      do await all();
      while (this.#background.length > 0);
      settled = true;
    };
    void watch();
    for (;;) {
      await idle();
      if (settled) return promise;
      const next = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (!next) throw new Error("nothing will happen any more");
      this.#timers.delete(next);
      this.#time = Math.max(this.#time, next.at);
      next.ring();
    }
  }

  /** Lets time pass. */
  async sleep(ms: number): Promise<void> {
    await this.run(new Promise<void>((resolve) => this.after(ms, resolve)));
  }

  /** Milliseconds since the test began. */
  get elapsed(): number {
    return this.#time - BEGIN;
  }

  /** Timers that were neither cancelled nor have run. */
  get timers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#time;
  }

  random(): number {
    this.#seed = (this.#seed * 48271) % 2147483647;
    return this.#seed / 2147483647;
  }

  nonce(): string {
    this.#nonces += 1;
    return `n${this.#nonces}`;
  }

  after(ms: number, ring: () => void): () => void {
    const timer = { at: this.#time + ms, ring };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  fetch(text: string, init: RequestInit): Promise<Response> {
    const url = new URL(text);
    const node = this.nodes.get(url.origin);
    const target = text.slice(url.origin.length);
    const got: Got = {
      method: init.method ?? "GET",
      target,
      headers: new Headers(init.headers as HeadersInit),
      body: init.body,
      init,
      at: this.elapsed,
    };
    return new Promise((resolve, reject) => {
      const signal = init.signal;
      const give = (deed: Response | "lost") =>
        deed === "lost" ? reject(new TypeError("Network connection lost.")) : resolve(deed);
      signal?.addEventListener("abort", () => reject(signal.reason));
      const deed = node ? this.#deed(node, target, got) : "lost";
      if (deed instanceof Response || deed === "lost") give(deed);
      else if (deed !== "silent") this.after(deed.after, () => give(deed.give));
    });
  }

  #deed(node: FakeNode, target: string, got: Got): Deed {
    if (target === "/health" && !got.headers.has("x-mesh-service")) {
      node.questions.push(got);
      return node.health(got);
    }
    if (target === "/.mesh/summary") {
      node.asked.push(got);
      return node.summary(got);
    }
    node.got.push(got);
    return node.answer(got);
  }
}

/** A summary as the mesh writes it. */
export function summary(names: string[], more: Record<string, unknown> = {}): Record<string, unknown> {
  const nodes = names.map((name) => ({ id: name, url: `https://${name}.example`, unseen_since: null }));
  return { v: 1, cluster: "it", cluster_id: "c1", term: 1, seq: 1, nodes, services: { rag: {}, notes: {} }, ...more };
}

/** Until nothing happens without time passing. */
async function idle(): Promise<void> {
  let quiet = 0;
  while (quiet < 4) {
    await new Promise((resolve) => setImmediate(resolve));
    quiet = busy > 0 ? 0 : quiet + 1;
  }
}
