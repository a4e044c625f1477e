import assert from "node:assert/strict";
import { test } from "node:test";
import { adoptLive, adoptStored, type Nodes, remember, unknown } from "../src/nodes.ts";
import { order } from "../src/order.ts";
import type { Summary } from "../src/summary.ts";
import type { Visit } from "../src/visit.ts";

const list = (seen: string[], unseen: string[] = [], more: Partial<Summary> = {}): Summary => ({
  clusterId: "c1",
  term: 1,
  services: [],
  entries: [
    ...seen.map((name) => ({ url: `http://${name}`, unseen: false })),
    ...unseen.map((name) => ({ url: `http://${name}`, unseen: true })),
  ],
  ...more,
});

const BEGIN = Date.UTC(2026, 10, 23);

/** The order at this time, with a die that shows these numbers in turn. */
function at(now: number, nodes: Nodes, more: { dice?: number[]; seeds?: string } = {}): string[] {
  const random = () => more.dice?.shift() ?? Math.random();
  const visit = { nodes, random, now: () => BEGIN + now, env: { SEEDS: more.seeds } };
  return order(visit as unknown as Visit).map((url) => new URL(url).host);
}

test("live ones come first, then unseen ones, then stored ones and seeds, and penalised ones last", () => {
  const nodes = unknown();
  adoptStored(nodes, list(["a", "e"], ["f"]));
  adoptLive(nodes, list(["a", "b", "c"], ["d"]));
  remember(nodes, "http://a", false, BEGIN + 1_000);
  const shown = (now: number) => at(now, nodes, { seeds: "http://g,http://b" }).join("");
  for (let i = 0; i < 20; i++) assert.match(shown(10_999), /^(bc|cb)defga$/);
  assert.match(shown(11_000), /^[abc]{3}defg$/, "after 10 s");
  remember(nodes, "http://a", false, BEGIN + 20_000);
  remember(nodes, "http://a", true, BEGIN + 20_001);
  assert.match(shown(20_002), /^[abc]{3}defg$/, "after an answer");
});

test("within a rank the order is random", () => {
  const nodes = unknown();
  adoptLive(nodes, list(["a", "b", "c"]));
  assert.deepEqual(at(0, nodes, { dice: [0.3, 0.2, 0.1] }), ["c", "b", "a"]);
  assert.deepEqual(at(0, nodes, { dice: [0.2, 0.1, 0.3] }), ["b", "a", "c"]);
});

test("a live list replaces the last one unless it is behind or of another cluster", () => {
  const nodes = unknown();
  adoptLive(nodes, list(["a"], [], { clusterId: "c2", term: 5 }));
  assert.deepEqual(nodes.live?.entries[0]?.url, "http://a", "any, when none is known");
  adoptStored(nodes, list(["s"]));
  const first = () => nodes.live?.entries[0]?.url;
  assert.equal(first(), undefined, "the store knows another cluster");
  adoptLive(nodes, list(["b"], [], { term: 3 }));
  for (const behind of [{ term: 2 }, { clusterId: "c2", term: 9 }, { clusterId: "", term: 9 }]) {
    adoptLive(nodes, list(["x"], [], behind));
    assert.equal(first(), "http://b", JSON.stringify(behind));
  }
  adoptLive(nodes, list(["c"], [], { term: 3 }));
  assert.equal(first(), "http://c", "the same term will do");
});

test("what is remembered of nodes is bounded", () => {
  const nodes = unknown();
  for (let i = 0; i < 10_000; i++) remember(nodes, `http://n${i}`, false, BEGIN + 0);
  adoptLive(nodes, list(["a", "n9999"]));
  assert.deepEqual(at(1, nodes, { dice: [0.9, 0.1] }), ["a", "n9999"], "the last one is");
  adoptLive(nodes, list(["a", "n0"]));
  assert.deepEqual(at(1, nodes, { dice: [0.9, 0.1] }), ["n0", "a"], "the first one is forgotten");
});
