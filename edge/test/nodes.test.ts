import assert from "node:assert/strict";
import { test } from "node:test";
import { Nodes } from "../src/nodes.ts";
import type { Summary } from "../src/summary.ts";
import type { World } from "../src/world.ts";

const list = (seen: string[], unseen: string[] = [], more: Partial<Summary> = {}): Summary => ({
  clusterId: "c1",
  term: 1,
  services: [],
  entries: [...seen.map((url) => ({ url, unseen: false })), ...unseen.map((url) => ({ url, unseen: true }))],
  ...more,
});

/** A world at this time, whose die shows these numbers in turn. */
const at = (now: number, dice?: number[]) =>
  ({ now: () => now, random: () => dice?.shift() ?? Math.random() }) as unknown as World;

test("live ones come first, then unseen ones, then stored ones and seeds, and penalised ones last", () => {
  const nodes = new Nodes();
  nodes.adoptStored(list(["a", "e"], ["f"]));
  nodes.adoptLive(list(["a", "b", "c"], ["d"]));
  nodes.failed("a", 1_000);
  const order = (now: number) => nodes.order(at(now), ["g", "b"]).join("");
  for (let i = 0; i < 20; i++) assert.match(order(10_999), /^(bc|cb)defga$/);
  assert.match(order(11_000), /^[abc]{3}defg$/, "after 10 s");
  nodes.failed("a", 20_000);
  nodes.answered("a", 20_001);
  assert.match(order(20_002), /^[abc]{3}defg$/, "after an answer");
});

test("within a rank the order is random", () => {
  const nodes = new Nodes();
  nodes.adoptLive(list(["a", "b", "c"]));
  assert.deepEqual(nodes.order(at(0, [0.3, 0.2, 0.1]), []), ["c", "b", "a"]);
  assert.deepEqual(nodes.order(at(0, [0.2, 0.1, 0.3]), []), ["b", "a", "c"]);
});

test("a node that answered of late is preferred where a guess would cost, and only there", () => {
  const nodes = new Nodes();
  nodes.adoptLive(list(["a", "b"], ["c"]));
  nodes.answered("c", 1_000);
  assert.equal(nodes.order(at(5_999), [], true)[0], "c");
  assert.equal(nodes.order(at(5_999), [])[2], "c");
  assert.equal(nodes.order(at(6_000), [], true)[2], "c");
  nodes.answered("a", 6_000);
  nodes.failed("a", 6_001);
  assert.equal(nodes.order(at(6_002), [], true)[2], "a");
});

test("a live list replaces the last one unless it is behind or of another cluster", () => {
  const nodes = new Nodes();
  nodes.adoptLive(list(["a"], [], { clusterId: "c2", term: 5 }));
  assert.deepEqual(nodes.live?.entries[0]?.url, "a", "any, when none is known");
  nodes.adoptStored(list(["s"]));
  const first = () => nodes.live?.entries[0]?.url;
  assert.equal(first(), undefined, "the store knows another cluster");
  nodes.adoptLive(list(["b"], [], { term: 3 }));
  for (const behind of [{ term: 2 }, { clusterId: "c2", term: 9 }, { clusterId: undefined, term: 9 }]) {
    nodes.adoptLive(list(["x"], [], behind));
    assert.equal(first(), "b", JSON.stringify(behind));
  }
  nodes.adoptLive(list(["c"], [], { term: 3 }));
  assert.equal(first(), "c", "the same term will do");
});

test("what is remembered of nodes is bounded", () => {
  const nodes = new Nodes();
  for (let i = 0; i < 10_000; i++) nodes.failed(`n${i}`, 0);
  nodes.adoptLive(list(["a", "n9999"]));
  assert.deepEqual(nodes.order(at(1), []), ["a", "n9999"]);
});
