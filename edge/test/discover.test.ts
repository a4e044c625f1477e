import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeWorld, summary } from "./support/world.ts";

const many = (count: number) => Array.from({ length: count }, (_, n) => `n${n}`);
const GET = "/api/service/rag/";
const POST = { method: "POST", body: "short", headers: { "content-length": "5" } };

/** How many nodes were asked for their summary. */
const asked = (world: FakeWorld) => [...world.nodes.values()].filter((node) => node.asked.length > 0).length;

test("the store is read as text, by its key, and cached for a minute", async () => {
  const world = new FakeWorld(["a"]);
  await world.request(GET);
  await world.request(GET);
  assert.deepEqual(world.reads, [["mesh:v1:it", { cacheTtl: 60 }]]);
});

test("six are asked at once; the first good answer wins, and the others are left alone", async () => {
  const world = new FakeWorld(many(6));
  for (const node of world.nodes.values()) node.summary = () => "silent";
  world.node("n3").summary = () => ({ after: 300, give: Response.json(world.live) });
  const response = await world.request(GET);
  assert.equal(await response.text(), "https://n3.example");
  assert.equal(world.elapsed, 300);
  for (const node of world.nodes.values()) assert.equal(node.asked[0]?.at, 0);
  for (const name of ["n0", "n1", "n2", "n4", "n5"]) {
    assert.ok(world.node(name).asked[0]?.init.signal?.aborted, "frees the runtime's few connections");
  }
  world.node("n3").die();
  for (let i = 0; i < 5; i++) await world.request(GET);
  assert.ok(world.nodes.size > 1 && world.node("n0").got.length > 0, "they were not held to have failed");
});

test("when one has answered, nobody else is asked", async () => {
  const world = new FakeWorld(many(32));
  for (const node of world.nodes.values()) node.summary = () => ({ after: 100, give: Response.json(world.live) });
  await world.request(GET);
  assert.equal(asked(world), 6);
});

test("a slow service after a long search stays within what a request may fetch", async () => {
  const world = new FakeWorld(many(40));
  for (const node of world.nodes.values()) node.die();
  const one = world.node("n17");
  one.answer = () => ({ after: 60_000, give: one.ok("slow") });
  one.health = () => new Response("");
  one.summary = () => Response.json(world.live);
  const response = await world.request(GET);
  assert.equal(await response.text(), "slow");
  const nodes = [...world.nodes.values()];
  const calls = nodes.reduce((sum, node) => sum + node.got.length + node.asked.length + node.questions.length, 0);
  assert.ok(calls <= 50 - 3, `${calls} calls, and a refresh may need 3`);
});

test("who fails makes room at once", async () => {
  const world = new FakeWorld(many(32));
  for (const node of world.nodes.values()) if (node.url !== "https://n17.example") node.die();
  const response = await world.request(GET);
  assert.equal(await response.text(), "https://n17.example");
  assert.equal(world.elapsed, 0);
  assert.equal(response.headers.get("x-mesh-tries"), "1");
});

test("31 of 32 are silent: every 350 ms six more are asked, and nobody is given up before 1.5 s", async () => {
  for (const slow of [0, 1_200]) {
    const world = new FakeWorld(many(32));
    for (const node of world.nodes.values()) node.die("silent");
    const one = world.node("n17");
    one.answer = () => one.ok();
    one.summary = () => ({ after: slow, give: Response.json(world.live) });
    const response = await world.request(GET);
    assert.equal(await response.text(), one.url);
    const when = one.asked[0]?.at ?? -1;
    assert.equal(when % 350, 0);
    assert.equal(world.elapsed, when + slow, "a slow node is waited for while others are asked");
    assert.ok(world.elapsed < 2_000 + slow);
    const waves = new Map<number, number>();
    for (const node of world.nodes.values()) {
      const at = node.asked[0]?.at;
      if (at !== undefined) waves.set(at, (waves.get(at) ?? 0) + 1);
    }
    for (const [at, count] of waves) assert.ok(count === 6 || at === 1_750, `${count} at ${at} ms`);
  }
});

test("40 are asked for one request at most", async () => {
  const world = new FakeWorld(many(60));
  for (const node of world.nodes.values()) node.die();
  const response = await world.request(GET);
  assert.equal(response.status, 503);
  assert.equal(asked(world), 40);
  const calls = [...world.nodes.values()].reduce((sum, { got, asked }) => sum + got.length + asked.length, 0);
  assert.ok(calls <= 44);
});

test("what is no summary of this cluster is no good answer", async () => {
  const texts = [
    "",
    "{",
    "[]",
    '{"nodes":7}',
    JSON.stringify(summary(["b"], { cluster: "other" })),
    "x".repeat(70_000),
  ];
  for (const answer of [...texts.map((text) => new Response(text)), new Response("no", { status: 404 })]) {
    const world = new FakeWorld(["a", "b"]);
    world.node("a").summary = () => answer.clone() as Response;
    const response = await world.request(GET);
    assert.equal(await response.text(), "https://b.example");
  }
});

test("a summary that never ends is given up", async () => {
  const world = new FakeWorld(["a", "b"]);
  let given = 0;
  let pulled = 0;
  const pull = (to: ReadableStreamDefaultController) => {
    pulled += 4096;
    to.enqueue(new Uint8Array(4096).fill(32));
  };
  const endless = () => new ReadableStream({ pull, cancel: () => void given++ });
  world.node("a").summary = () => new Response(endless());
  world.node("b").summary = () => ({ after: 300, give: Response.json(world.live) });
  const response = await world.request(GET);
  assert.equal(await response.text(), "https://b.example");
  assert.equal(given, 1);
  assert.ok(pulled < 200_000, `${pulled} bytes`);
});

test("a POST goes anywhere while nodes answer, and otherwise to one that is found first", async () => {
  const world = new FakeWorld(["a", "b", "c"]);
  await world.request(GET);
  for (const node of world.nodes.values()) node.asked.length = 0;
  await world.sleep(4_900);
  for (let i = 0; i < 20; i++) await world.request(GET, POST);
  for (const node of world.nodes.values()) assert.ok(node.got.length > 1, "all take their part");
  assert.equal(asked(world), 0, "nobody was asked first");
  world.node("a").die();
  world.node("b").die();
  for (let i = 0; i < 20; i++) {
    await world.sleep(5_000);
    const response = await world.request(GET, POST);
    assert.equal(await response.text(), "https://c.example");
    assert.equal(response.headers.get("x-mesh-tries"), "1");
  }
});

test("a GET of a warm edge asks nobody first", async () => {
  const world = new FakeWorld(["a", "b"]);
  await world.request(GET);
  for (const node of world.nodes.values()) node.asked.length = 0;
  await world.sleep(4_000);
  await world.request(GET);
  assert.equal(asked(world), 0);
});

test("edge_clock of a summary is mended too, and edge_signature from all is told", async () => {
  const world = new FakeWorld(["a"]);
  const a = world.node("a");
  const there = () => world.now() - 7_200_000;
  a.summary = (got) => {
    const t = Number(/t=(\d+)/.exec(got.headers.get("x-mesh-edge") ?? "")?.[1]);
    const headers = { "x-mesh-error": "edge_clock", "x-mesh-retry": "1", date: new Date(there()).toUTCString() };
    return Math.abs(t - there() / 1000) <= 60 ? Response.json(world.live) : new Response("", { status: 403, headers });
  };
  assert.equal((await world.request(GET)).status, 200);
  assert.equal(a.asked.length, 2);

  const stranger = new FakeWorld(["a", "b"]);
  for (const node of stranger.nodes.values()) {
    node.summary = () => new Response("", { status: 403, headers: { "x-mesh-error": "edge_signature" } });
  }
  const response = await stranger.request(GET);
  assert.deepEqual([response.status, response.headers.get("x-mesh-error")], [503, "edge_signature"]);
});

test("after a silent node it looks around, rather than wait for the next one", async () => {
  const world = new FakeWorld(many(10));
  await world.request(GET);
  for (const node of world.nodes.values()) if (node.url !== "https://n7.example") node.die("silent");
  const before = world.elapsed;
  const response = await world.request(GET);
  assert.equal(await response.text(), "https://n7.example");
  assert.ok(world.elapsed - before <= 2_000 + 350, `${world.elapsed - before} ms`);
});

test("where no more than six connections may wait for an answer, a live node is still found in time", async () => {
  const world = new FakeWorld(many(32));
  for (const node of world.nodes.values()) node.die("silent");
  const one = world.node("n17");
  one.answer = () => one.ok();
  one.summary = () => ({ after: 100, give: Response.json(world.live) });
  let places = 6;
  const queue: (() => void)[] = [];
  const { fetch } = world;
  world.fetch = async (url, init) => {
    if (places === 0) {
      await new Promise<void>((resolve) => {
        queue.push(resolve);
        init.signal?.addEventListener("abort", () => resolve());
      });
      init.signal?.throwIfAborted();
    }
    places -= 1;
    return fetch.call(world, url, init).finally(() => {
      places += 1;
      queue.shift()?.();
    });
  };
  const response = await world.request(GET);
  assert.equal(await response.text(), one.url);
  assert.ok(world.elapsed < 4_000, `${world.elapsed} ms`);
});
