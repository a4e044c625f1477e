import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeWorld, summary } from "./support/world.ts";

const GET = "/api/service/rag/";
const reason = (response: Response) => response.headers.get("x-mesh-error");

test("neither store nor seeds: 503 that says so, until there is something", async () => {
  for (const stored of [
    null,
    "",
    "{",
    "garbage \u0000",
    '{"nodes":[]}',
    JSON.stringify(summary(["a"], { cluster: "other" })),
  ]) {
    const world = new FakeWorld(["a"]);
    world.stored = stored;
    const response = await world.request(GET);
    assert.deepEqual([response.status, reason(response)], [503, "no_summary"]);
    assert.equal(response.headers.get("x-mesh-retry"), "1");
    world.list(["a"]);
    assert.equal((await world.request(GET)).status, 503, "at most once in 5 s");
    assert.equal(world.reads.length, 1);
    assert.equal(world.elapsed, 0, "nobody waits for a read that has ended");
    await world.sleep(5_000);
    assert.equal((await world.request(GET)).status, 200);
  }
});

test("a store that fails, or never answers, is as good as none", async () => {
  const broken = [() => Promise.reject(new Error("KV GET failed: 500")), () => new Promise<never>(() => {})];
  for (const stored of broken) {
    const world = new FakeWorld(["a"]);
    world.stored = stored;
    world.env.SEEDS = "https://a.example";
    assert.equal((await world.request(GET)).status, 200);
    assert.ok(world.elapsed <= 3_000);
  }
});

test("seeds serve when the store has no list, and nonsense among them is passed over", async () => {
  const world = new FakeWorld(["a"]);
  world.stored = null;
  world.env.SEEDS = " nonsense, ftp://x.example,https://a.example/ ,";
  assert.equal(await (await world.request(GET)).text(), "https://a.example");
});

test("a stored list of any age will do, and one with entries that nobody saw", async () => {
  const world = new FakeWorld(["a"]);
  const nodes = [{ url: "https://a.example", unseen_since: "2020-01-01T00:00:00Z" }];
  world.stored = JSON.stringify({ v: 7, cluster: "it", at: "2020-01-01T00:00:00Z", nodes });
  assert.equal((await world.request(GET)).status, 200);
});

test("requests that come while the store is read wait for it without sharing a promise", async () => {
  const world = new FakeWorld(["a"]);
  const text = JSON.stringify(world.live);
  world.stored = () => new Promise((resolve) => void world.after(200, () => resolve(text)));
  const all = await world.run(Promise.all([1, 2, 3].map(() => world.start(GET))));
  assert.deepEqual(
    all.map((response) => response.status),
    [200, 200, 200],
  );
  assert.equal(world.reads.length, 1);
});

test("a read of the store outlives its client, for those who wait for it", async () => {
  const world = new FakeWorld(["a"]);
  void world.start(GET);
  await new Promise(setImmediate);
  assert.deepEqual([world.reads.length, world.background], [1, 1]);
  assert.equal((await world.request(GET)).status, 200);
  assert.equal(world.reads.length, 1);
});

test("who has waited for a read that the runtime ended reads itself, and one of many does", async () => {
  const world = new FakeWorld(["a"]);
  const text = world.stored;
  world.stored = () => new Promise(() => {});
  void world.start(GET);
  await new Promise(setImmediate);
  world.cancel();
  world.stored = text;
  const all = await world.run(Promise.all([1, 2, 3].map(() => world.start(GET))));
  assert.deepEqual(
    all.map((response) => response.status),
    [200, 200, 200],
  );
  assert.equal(world.reads.length, 2);
  assert.ok(world.elapsed <= 3_100, `${world.elapsed}`);
});

test("every 5 s, while there are requests, a live node is asked in the background", async () => {
  const world = new FakeWorld(["a", "b"]);
  await world.request(GET);
  const count = () => [...world.nodes.values()].reduce((sum, node) => sum + node.asked.length, 0);
  const cold = count();
  await world.request(GET);
  await world.sleep(4_900);
  await world.request(GET);
  assert.equal(count(), cold, "not yet");
  await world.sleep(100);
  await world.run(Promise.all([1, 2, 3].map(() => world.start(GET))));
  assert.equal(count(), cold + 1, "one request of many does it");
  await world.sleep(60_000);
  assert.equal(count(), cold + 1, "no requests, no questions");
});

test("a node that joins is used without a write to the store", async () => {
  const world = new FakeWorld(["a"]);
  await world.request(GET);
  const c = world.add("c");
  world.live = summary(["a", "c"], { term: 2 });
  await world.sleep(5_000);
  for (let i = 0; i < 20; i++) await world.request(GET);
  assert.ok(c.got.length > 0);
  assert.equal(world.reads.length, 1);
});

test("a refresh asks three nodes at most, for 1.5 s each, and holds up no request", async () => {
  const world = new FakeWorld(["a", "b", "c", "d", "e"]);
  await world.request(GET);
  await world.sleep(5_000);
  for (const node of world.nodes.values()) {
    node.asked.length = 0;
    node.summary = () => "silent";
  }
  const before = world.elapsed;
  const done = world.start(GET).then(() => world.elapsed);
  await world.run(done);
  assert.equal((await done) - before, 0);
  assert.equal(world.elapsed - before, 4_500);
  const at = [...world.nodes.values()].flatMap((node) => node.asked.map((asked) => asked.at - before));
  assert.deepEqual(
    at.sort((a, b) => a - b),
    [0, 1_500, 3_000],
  );
});

test("a list of a lower term is not taken over, but its node serves", async () => {
  const world = new FakeWorld(["a", "b"]);
  world.live = summary(["a", "b"], { term: 5 });
  await world.request(GET);
  world.add("x");
  world.live = summary(["x"], { term: 4 });
  await world.sleep(5_000);
  for (let i = 0; i < 10; i++) assert.notEqual(await (await world.request(GET)).text(), "https://x.example");
});

test("another cluster_id is a reason to read the store again, and what it then says holds", async () => {
  const world = new FakeWorld(["a"]);
  await world.request(GET);
  world.add("b");
  world.live = summary(["b"], { cluster_id: "c2" });
  await world.sleep(5_000);
  await world.request(GET);
  assert.equal(world.reads.length, 2);
  assert.equal(await (await world.request(GET)).text(), "https://a.example", "the store still says otherwise");
  world.stored = JSON.stringify(world.live);
  await world.sleep(5_000);
  await world.request(GET);
  assert.equal(world.reads.length, 3);
  assert.equal(await (await world.request(GET)).text(), "https://b.example");
});

test("a cold edge whose store is behind on the cluster_id still serves", async () => {
  const world = new FakeWorld(["a"]);
  world.live = summary(["a"], { cluster_id: "c2" });
  assert.equal((await world.request(GET)).status, 200);
});

test("when all known nodes have failed, what is new in the store is tried in the same request", async () => {
  const world = new FakeWorld(["a", "b"]);
  await world.request(GET);
  await world.sleep(5_000);
  world.node("a").die();
  world.node("b").die();
  world.add("c");
  world.list(["a", "c"]);
  const response = await world.request(GET);
  assert.equal(await response.text(), "https://c.example");
  assert.equal(world.reads.length, 2);
});

test("an empty list in the store does not replace a good one", async () => {
  const world = new FakeWorld(["a", "b"]);
  world.stored = JSON.stringify(summary(["a"]));
  world.live = summary(["b"]);
  await world.request(GET);
  const { answer, summary: told } = world.node("a");
  world.node("a").die();
  world.node("b").die();
  world.stored = JSON.stringify(summary([]));
  await world.sleep(10_000);
  assert.equal((await world.request(GET)).status, 503);
  assert.equal(world.reads.length, 2);
  Object.assign(world.node("a"), { answer, summary: told });
  assert.equal((await world.request(GET)).status, 200);
});

test("a store that names nobody new is not read at every request", async () => {
  const world = new FakeWorld(["a", "b"]);
  for (const node of world.nodes.values()) node.die();
  for (let i = 0; i < 20; i++) {
    const response = await world.request(GET);
    assert.deepEqual([response.status, reason(response)], [503, "no_node"]);
  }
  assert.equal(world.reads.length, 1);
  await world.sleep(5_000);
  for (const node of world.nodes.values()) node.asked.length = node.got.length = 0;
  await world.request(GET);
  assert.equal(world.reads.length, 2);
  for (const node of world.nodes.values()) assert.equal(node.asked.length + node.got.length, 1, "once in a request");
});

test("nodes that only refuse are no reason to read the store", async () => {
  const world = new FakeWorld(["a", "b"]);
  await world.request(GET);
  await world.sleep(10_000);
  for (const node of world.nodes.values()) {
    node.answer = () => new Response("", { status: 503, headers: { "x-mesh-error": "no_route", "x-mesh-retry": "1" } });
  }
  assert.equal(reason(await world.request(GET)), "no_route");
  assert.equal(world.reads.length, 1);
});

test("an edge that was idle while all nodes were replaced finds the new ones", async () => {
  const world = new FakeWorld(Array.from({ length: 32 }, (_, n) => `n${n}`));
  await world.request(GET);
  for (const node of world.nodes.values()) node.die();
  world.add("new");
  world.list(["new"]);
  await world.sleep(3_600_000);
  assert.equal(await (await world.request(GET)).text(), "https://new.example");
});
