import assert from "node:assert/strict";
import { test } from "node:test";
import { type Deed, type FakeNode, FakeWorld, type Got } from "./support/world.ts";

const NAMES = ["a", "b", "c", "d", "e"];
const SHORT = { method: "POST", body: "short", headers: { "content-length": "5" } };
const stream = () => new Blob(["streamed"]).stream();

/** A world that knows its live list, and where every node answered just now. */
async function warm(names = NAMES): Promise<FakeWorld> {
  const world = new FakeWorld(names);
  for (let i = 0; i < 12; i++) await world.request("/api/service/rag/");
  for (const node of world.nodes.values()) node.got.length = node.asked.length = 0;
  return world;
}

/** The first node that gets the request does this, and all others answer. */
function first(world: FakeWorld, deed: (node: FakeNode, got: Got) => Deed): { node: FakeNode | undefined } {
  const met: { node: FakeNode | undefined } = { node: undefined };
  for (const node of world.nodes.values()) {
    node.answer = (got) => {
      met.node ??= node;
      return met.node === node ? deed(node, got) : node.ok();
    };
  }
  return met;
}

/** Every node does this. */
function all(world: FakeWorld, deed: (node: FakeNode, got: Got) => Deed): void {
  for (const node of world.nodes.values()) node.answer = (got) => deed(node, got);
}

const tries = (response: Response) => response.headers.get("x-mesh-tries");
const reason = (response: Response) => response.headers.get("x-mesh-error");
const total = (world: FakeWorld) => [...world.nodes.values()].reduce((sum, node) => sum + node.got.length, 0);

test("a lost connection: the next one gets what may be repeated, and the client hears of the rest", async () => {
  for (const method of ["GET", "HEAD", "OPTIONS", "DELETE", "PUT"]) {
    const world = await warm();
    first(world, () => "lost");
    const response = await world.request("/api/service/rag/", { method });
    assert.deepEqual([response.status, tries(response)], [200, "2"], method);
  }
  for (const method of ["POST", "PATCH"]) {
    const world = await warm();
    first(world, () => "lost");
    const response = await world.request("/api/service/rag/", { ...SHORT, method });
    assert.deepEqual([response.status, reason(response), tries(response)], [502, "broken", "1"], method);
    assert.equal(response.headers.get("x-mesh-retry"), null);
    assert.equal(total(world), 1, "not repeated");
  }
});

test("a body is kept when it is known to be short, and sent again whole", async () => {
  const world = await warm();
  first(world, () => "lost");
  const body = new Uint8Array(262_144).fill(7);
  const put = { method: "PUT", body, headers: { "content-length": "262144" } };
  const response = await world.request("/api/service/rag/", put);
  assert.deepEqual([response.status, tries(response)], [200, "2"]);
  for (const got of [...world.nodes.values()].flatMap((node) => node.got)) {
    assert.deepEqual(new Uint8Array(got.body as ArrayBuffer), body);
    assert.equal(got.headers.get("content-length"), null, "the runtime says how long it is");
  }
});

test("a longer body, and one of unknown length, is streamed once", async () => {
  const long = { method: "PUT", body: new Uint8Array(262_145), headers: { "content-length": "262145" } };
  for (const init of [long, { method: "PUT", body: stream() }, { method: "POST", body: stream() }]) {
    const world = await warm();
    const met = first(world, () => "lost");
    const response = await world.request("/api/service/rag/", init);
    assert.deepEqual([response.status, reason(response), tries(response)], [502, "broken", "1"]);
    assert.ok(met.node?.got[0]?.body instanceof ReadableStream, "as it comes");
    assert.equal(total(world), 1);
  }
});

test("a gateway's status: the next one, but what may have been delivered is not repeated", async () => {
  const undelivered = [521, 523, 525, 526, 530];
  for (const status of [500, 502, 503, 504, 520, 522, 524, 527, ...undelivered]) {
    const gateway = (node: FakeNode) => node.watched(status, { server: "cloudflare", "x-mesh-retry": "0" });
    const repeated = await warm();
    const met = first(repeated, gateway);
    const response = await repeated.request("/api/service/rag/");
    assert.deepEqual([response.status, tries(response)], [200, "2"], `${status}`);
    assert.equal(met.node?.closed, 1, "the answer that was given up is closed");

    const once = await warm();
    first(once, gateway);
    const post = await once.request("/api/service/rag/", SHORT);
    const expected = undelivered.includes(status) ? [200, null, "2"] : [502, "broken", "1"];
    assert.deepEqual([post.status, reason(post), tries(post)], expected, `POST ${status}`);

    const streamed = await warm();
    first(streamed, gateway);
    const upload = await streamed.request("/api/service/rag/", { method: "POST", body: stream() });
    const sure = undelivered.includes(status) ? [503, "no_node", "1", "1"] : [502, "broken", "1", null];
    const seen = [upload.status, reason(upload), tries(upload), upload.headers.get("x-mesh-retry")];
    assert.deepEqual(seen, sure, `streamed ${status}`);
  }
});

test("an answer that an edge made is no node's: the next one, and a loop was surely not started", async () => {
  for (const [status, headers, post] of [
    [508, { "x-mesh-error": "loop", "x-mesh-tries": "0" }, [200, null, "2"]],
    [508, { "x-mesh-error": "other", "x-mesh-tries": "0" }, [502, "broken", "1"]],
    [200, { "x-mesh-worker": "w", "x-mesh-tries": "1" }, [502, "broken", "1"]],
    [503, { "x-mesh-error": "no_node", "x-mesh-retry": "1", "x-mesh-tries": "4" }, [502, "broken", "1"]],
  ] as const) {
    for (const [init, expected] of [
      [{}, [200, null, "2"]],
      [SHORT, post],
    ] as const) {
      const world = await warm();
      const met = first(world, (node) => node.watched(status, headers));
      const response = await world.request("/api/service/rag/", init);
      assert.deepEqual([response.status, reason(response), tries(response)], expected);
      assert.equal(met.node?.closed, 1, "the answer that was given up is closed");
      for (let i = 0; i < 10; i++) await world.request("/api/service/rag/");
      assert.equal(met.node?.got.length, 1, "it has failed");
    }
  }
  const world = await warm();
  first(world, () => new Response("", { status: 508, headers: { "x-mesh-error": "loop" } }));
  const own = await world.request("/api/service/rag/");
  assert.deepEqual([own.status, tries(own)], [508, "1"], "a node's own");
});

test("a node's own errors and those of backends pass, whatever their status", async () => {
  const marks: Record<string, string>[] = [{ "x-mesh-worker": "w" }, { "x-mesh-error": "timeout" }];
  for (const status of [400, 403, 404, 429, 500, 502, 503, 504, 521, 530]) {
    for (const mark of marks) {
      const world = await warm();
      first(world, () => new Response("sorry", { status, headers: mark }));
      const response = await world.request("/api/service/rag/");
      assert.deepEqual([response.status, tries(response), await response.text()], [status, "1", "sorry"]);
    }
  }
  for (const [status, headers] of [
    [403, {}],
    [409, { "x-mesh-error": "edge_clock" }],
  ] as const) {
    const world = await warm();
    first(world, () => new Response("", { status, headers }));
    assert.equal((await world.request("/api/service/rag/")).status, status);
  }
});

test("x-mesh-retry on a 503: the next one, for any method, while the body was not streamed", async () => {
  const refuse = (node: FakeNode) => node.watched(503, { "x-mesh-error": "draining", "x-mesh-retry": "1" });
  for (const init of [{}, SHORT, { method: "POST" }]) {
    const world = await warm();
    const met = first(world, refuse);
    const response = await world.request("/api/service/rag/", init);
    assert.deepEqual([response.status, tries(response)], [200, "2"]);
    assert.equal(met.node?.closed, 1, "the answer that was given up is closed");
  }
  const world = await warm();
  first(world, refuse);
  const upload = await world.request("/api/service/rag/", { method: "POST", body: stream() });
  assert.deepEqual([upload.status, reason(upload), tries(upload)], [503, "draining", "1"], "it passes");
  assert.equal(upload.headers.get("x-mesh-retry"), "1");
});

test("x-mesh-retry from every node: the last answer passes, and no node is held to have failed", async () => {
  const world = await warm();
  let count = 0;
  all(world, (node) => {
    count += 1;
    return count < 4
      ? node.watched(503, { "x-mesh-error": "no_route", "x-mesh-retry": "1" })
      : new Response("the last", { status: 503, headers: { "x-mesh-error": "no_route", "x-mesh-retry": "1" } });
  });
  const response = await world.request("/api/service/none/");
  assert.deepEqual([response.status, reason(response), tries(response)], [503, "no_route", "4"]);
  assert.equal(await response.text(), "the last");
  assert.equal(response.headers.get("x-mesh-retry"), "1");
  assert.equal(
    [...world.nodes.values()].reduce((sum, node) => sum + node.closed, 0),
    3,
  );
  assert.equal(world.reads.length, 1, "the store is not read again");
});

test("a refusal that is held back is closed when the next try of a POST is lost", async () => {
  const world = await warm(["a", "b"]);
  const met = first(world, (node) => node.watched(503, { "x-mesh-error": "draining", "x-mesh-retry": "1" }));
  for (const node of world.nodes.values()) {
    const refuse = node.answer;
    node.answer = (got) => (met.node ? "lost" : refuse(got));
  }
  const response = await world.request("/api/service/rag/", SHORT);
  assert.deepEqual([response.status, reason(response), tries(response)], [502, "broken", "2"]);
  assert.equal(met.node?.closed, 1);
});

test("after a lost try, a refusal does not say that nothing was started", async () => {
  const world = await warm(["a", "b"]);
  let count = 0;
  all(world, () => {
    count += 1;
    return count === 1
      ? "lost"
      : new Response("", { status: 503, headers: { "x-mesh-error": "x", "x-mesh-retry": "1" } });
  });
  const response = await world.request("/api/service/rag/");
  assert.deepEqual([response.status, reason(response), response.headers.get("x-mesh-retry")], [503, "x", null]);
});

const refused = (why: string, date?: string) =>
  new Response("", { status: 403, headers: { "x-mesh-error": why, "x-mesh-retry": "1", ...(date ? { date } : {}) } });

test("edge_signature: the next one, and when all refuse, the edge says so", async () => {
  const world = await warm();
  first(world, () => refused("edge_signature"));
  const response = await world.request("/api/service/rag/", SHORT);
  assert.deepEqual([response.status, tries(response)], [200, "2"]);
  all(world, () => refused("edge_signature"));
  for (const init of [{}, { method: "POST", body: stream() }]) {
    const none = await world.request("/api/service/rag/", init);
    assert.deepEqual([none.status, reason(none), none.headers.get("x-mesh-retry")], [503, "edge_signature", "1"]);
  }
});

test("edge_clock: the same node once more, with the time that it showed, which is kept", async () => {
  const world = await warm();
  const ahead = 3_600_000;
  let closed = 0;
  const strict = (_: FakeNode, got: Got) => {
    const t = Number(/t=(\d+)/.exec(got.headers.get("x-mesh-edge") ?? "")?.[1]);
    const there = world.now() + ahead;
    if (Math.abs(t - there / 1000) <= 60) return new Response("ok");
    const headers = { "x-mesh-error": "edge_clock", "x-mesh-retry": "1", date: new Date(there).toUTCString() };
    return new Response(new ReadableStream({ cancel: () => void closed++ }), { status: 403, headers });
  };
  all(world, strict);
  const response = await world.request("/api/service/rag/", SHORT);
  assert.deepEqual([response.status, tries(response)], [200, "1"]);
  assert.equal(closed, 1, "the answer that was given up is closed");
  const twice = [...world.nodes.values()].find((node) => node.got.length > 0)?.got ?? [];
  const nonces = twice.map((got) => /n=([^,]+)/.exec(got.headers.get("x-mesh-edge") ?? "")?.[1]);
  assert.equal(new Set(nonces).size, 2, "each try has a new nonce");
  await world.request("/api/service/rag/");
  assert.equal(total(world), 3, "the offset is known now");
});

test("edge_clock that time does not mend: once more, then the next one, and in the end the edge says so", async () => {
  const world = await warm();
  all(world, () => refused("edge_clock", "Mon, 23 Nov 2026 00:00:00 GMT"));
  const response = await world.request("/api/service/rag/");
  assert.deepEqual([response.status, reason(response), tries(response)], [503, "edge_clock", "4"]);
  assert.equal(total(world), 8);
  for (const node of world.nodes.values()) node.got.length = 0;
  const upload = await world.request("/api/service/rag/", { method: "POST", body: stream() });
  assert.deepEqual([upload.status, reason(upload), tries(upload)], [503, "edge_clock", "1"]);
  assert.equal(total(world), 1, "a stream is sent once");
});

test("a clock that was mended is no reason any more", async () => {
  const world = await warm(["a"]);
  let count = 0;
  all(world, () => {
    count += 1;
    return count === 1 ? refused("edge_clock", "Mon, 23 Nov 2026 01:00:00 GMT") : "lost";
  });
  const response = await world.request("/api/service/rag/");
  assert.deepEqual([response.status, reason(response)], [503, "no_node"]);
});

test("silence of a node that does not answer for itself: after 2 s the next one, or 504", async () => {
  for (const [init, expected] of [
    [{}, [200, null, "2"]],
    [SHORT, [504, "timeout", "1"]],
  ] as const) {
    const world = await warm();
    const met = first(world, (node) => {
      node.die("silent");
      return "silent";
    });
    const before = world.elapsed;
    const response = await world.request("/api/service/rag/", init);
    assert.deepEqual([response.status, reason(response), tries(response)], expected);
    assert.equal(world.elapsed - before, 2_000);
    assert.ok(met.node?.got[0]?.init.signal?.aborted, "given up, it is closed");
    assert.equal(met.node?.questions[0]?.headers.get("x-mesh-edge"), null, "health needs no signature");
  }
});

test("silence of a node that answers for itself is a slow service, and any answer of its health will do", async () => {
  for (const status of [200, 503]) {
    const world = await warm();
    const met = first(world, (node) => {
      node.health = () => new Response("", { status });
      return { after: 100_000, give: node.ok("slow") };
    });
    const response = await world.request("/api/service/rag/", SHORT);
    assert.equal(await response.text(), "slow");
    const began = met.node?.got[0]?.at ?? 0;
    const asked = met.node?.questions.map((question) => (question.at - began) / 1000);
    assert.deepEqual(asked, [1, 3, 7, 15, 31, 47, 63, 79, 95]);
  }
});

test("a node that is no node any more is given up when it is asked", async () => {
  for (const status of [404, 502, 521]) {
    const world = await warm();
    first(world, (node) => {
      node.health = () => new Response("", { status });
      return "silent";
    });
    const response = await world.request("/api/service/rag/");
    assert.deepEqual([response.status, tries(response)], [200, "2"]);
  }
  const world = await warm();
  first(world, (node) => {
    node.health = () => new Response("", { headers: { "x-mesh-tries": "0" } });
    return "silent";
  });
  assert.equal(tries(await world.request("/api/service/rag/")), "2", "an edge is none");
});

test("a node that stops to answer later is given up then", async () => {
  const world = await warm();
  first(world, (node) => {
    node.health = () => (node.questions.length <= 3 ? new Response("") : "silent");
    return "silent";
  });
  const before = world.elapsed;
  assert.equal((await world.request("/api/service/rag/")).status, 200);
  assert.equal(world.elapsed - before, 16_000);
});

test("an answer that comes while the node is asked counts", async () => {
  const world = await warm();
  const met = first(world, (node) => {
    node.health = () => "silent";
    return { after: 1_900, give: node.ok("late") };
  });
  const response = await world.request("/api/service/rag/", SHORT);
  assert.equal(await response.text(), "late");
  assert.ok(met.node?.questions[0]?.init.signal?.aborted, "nobody waits for the question");
});

test("a node is asked while there are calls left, and given up 60 s later", async () => {
  for (const [init, expected] of [
    [{}, [200, null, "2"]],
    [SHORT, [504, "timeout", "1"]],
  ] as const) {
    const world = await warm();
    const met = first(world, () => "silent");
    const before = world.elapsed;
    const response = await world.request("/api/service/rag/", init);
    assert.deepEqual([response.status, reason(response), tries(response)], expected);
    assert.equal(met.node?.questions.length, 41);
    assert.equal(met.node?.questions.at(-1)?.at, before + 607_000);
    assert.equal(world.elapsed - before, 667_000);
    assert.ok(met.node?.got[0]?.init.signal?.aborted, "given up, it is closed");
  }
});

test("an answer after the last question counts", async () => {
  const world = await warm();
  first(world, (node) => ({ after: 660_000, give: node.ok("very slow") }));
  const response = await world.request("/api/service/rag/", SHORT);
  assert.equal(await response.text(), "very slow");
});

test("no timer outlives the head of an answer, or an event stream would end by it", async () => {
  const world = await warm();
  const response = await world.run(world.start("/api/service/rag/"));
  assert.equal(response.status, 200);
  assert.equal(world.timers, 0);
  const signal = [...world.nodes.values()].flatMap((node) => node.got).at(-1)?.init.signal;
  await world.sleep(60_000);
  assert.equal(signal?.aborted, false);
});

test("four nodes at most are tried, and a live one is found among many that died", async () => {
  const names = Array.from({ length: 32 }, (_, n) => `n${n}`);
  const world = await warm(names);
  for (const node of world.nodes.values()) if (node.url !== "https://n17.example") node.die();
  const response = await world.request("/api/service/rag/");
  assert.equal(await response.text(), "https://n17.example");
  assert.ok(Number(tries(response)) <= 4);
});

test("a node that failed is tried last for 10 s", async () => {
  const world = await warm(["a", "b"]);
  const dead = world.node("a");
  dead.die();
  while (dead.got.length === 0) await world.request("/api/service/rag/");
  for (let i = 0; i < 10; i++) await world.request("/api/service/rag/");
  assert.equal(dead.got.length, 1);
  await world.sleep(10_000);
  dead.answer = () => dead.ok();
  for (let i = 0; i < 20; i++) await world.request("/api/service/rag/");
  assert.ok(dead.got.length > 1);
});

test("redirects are the client's, and caches are passed by", async () => {
  const world = await warm();
  first(world, () => new Response(null, { status: 302, headers: { location: "/login" } }));
  const response = await world.request("/api/service/rag/");
  assert.deepEqual([response.status, response.headers.get("location")], [302, "/login"]);
  for (const got of [...world.nodes.values()].flatMap((node) => [...node.got, ...node.asked])) {
    assert.deepEqual([got.init.redirect, got.init.cache], ["manual", "no-store"]);
  }
});
