import assert from "node:assert/strict";
import { test } from "node:test";
import edge from "../src/worker.ts";
import { FakeWorld, SECRET } from "./support/world.ts";

const reason = (response: Response) => response.headers.get("x-mesh-error");

test("the module has an entry, and loads without the runtime of Workers", () => {
  assert.equal(typeof edge.fetch, "function");
});

test("what is for the mesh goes to a node, signed, with path and query as they are", async () => {
  const world = new FakeWorld(["a"]);
  const targets = [
    "/api/service/rag/a'sk?q=%C3%A4&x=%7C",
    "/api/service/rag",
    "/api/service/rag/a//b/%2e%2e%2fc?",
    "/api/services",
    "/anything?x=1",
    "/health",
    "/api/admin/workers",
  ];
  for (const target of targets) {
    const headers: Record<string, string> = target.startsWith("/api/s")
      ? {}
      : { "x-mesh-service": "rag", "x-mesh-version": "^2" };
    assert.equal((await world.request(target, { headers })).status, 200, target);
    const got = world.node("a").got.at(-1);
    assert.equal(got?.target, target);
    const claim = /^kid=k1,t=(\d+),n=(n\d+),ip=127\.0\.0\.1,sig=([0-9a-f]{64})$/.exec(
      got?.headers.get("x-mesh-edge") ?? "",
    );
    const [, t, nonce, sig] = claim ?? [];
    const { "x-mesh-service": service = "", "x-mesh-version": version = "" } = headers;
    const message = [t, nonce, "GET", target, "a.example", "127.0.0.1", service, version, ""].join("\n");
    assert.equal(sig, await hmac("0123456789abcdef", message), target);
  }
});

async function hmac(secret: string, message: string): Promise<string> {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const key = await crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return Buffer.from(await crypto.subtle.sign("HMAC", key, bytes(message))).toString("hex");
}

test("everything else is not found, and no path leads to a node's own resources", async () => {
  const world = new FakeWorld(["a"]);
  const targets = [
    "/",
    "/.mesh/summary",
    "/api/service",
    "/api/service/../../.mesh/summary",
    "/api/service/%2e%2e/%2E%2E/.mesh/summary",
    "/api/service/..\\..\\.mesh/summary",
    "/api/admin/leader",
    "/api/admin/workers/",
    "/api/servicesx",
    "/metrics",
  ];
  for (const target of targets) {
    const response = await world.request(target);
    assert.deepEqual([response.status, reason(response)], [404, "not_found"], target);
    assert.equal(((await response.json()) as { reason: string }).reason, "not_found");
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.equal(response.headers.get("cache-control"), "no-store");
  }
  assert.equal(world.node("a").got.length + world.node("a").asked.length, 0);
});

test("the edge answers for its own health without the mesh", async () => {
  const world = new FakeWorld();
  assert.equal((await world.request("/health")).status, 200);
  const asked = await world.request("/health", { headers: { "x-mesh-edge": "x" } });
  assert.deepEqual([asked.status, asked.headers.get("x-mesh-tries")], [200, "0"], "so no edge takes it for a node");
  const head = await world.request("/health", { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
  assert.equal(world.reads.length, 0);
});

test("the admin API needs the token, which stays here", async () => {
  const world = new FakeWorld(["a"]);
  for (const target of ["/api/admin/workers", "/api/admin/services?x=1"]) {
    const ask = (authorization?: string, method = "GET") =>
      world.request(target, { method, headers: authorization ? { authorization } : {} });
    delete world.env.ADMIN_TOKEN;
    assert.equal(reason(await ask("Bearer ")), "not_found", "no token is configured");
    world.env.ADMIN_TOKEN = "s3cret";
    for (const wrong of [undefined, "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret"]) {
      const response = await ask(wrong);
      assert.deepEqual([response.status, reason(response)], [401, "unauthorized"], wrong);
      assert.equal(response.headers.get("www-authenticate"), "Bearer");
    }
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      const response = await ask("Bearer s3cret", method);
      assert.deepEqual(
        [response.status, reason(response), response.headers.get("allow")],
        [405, "method", "GET, HEAD"],
      );
    }
    assert.equal(world.node("a").got.length, 0);
    assert.equal((await ask("Bearer s3cret")).status, 200);
    const got = world.node("a").got.pop();
    assert.deepEqual([got?.target, got?.headers.get("authorization")], [target, null]);
  }
});

test("a service keeps the credentials that are for it", async () => {
  const world = new FakeWorld(["a"]);
  world.env.ADMIN_TOKEN = "s3cret";
  await world.request("/api/service/rag/", { headers: { authorization: "Bearer s3cret" } });
  assert.equal(world.node("a").got[0]?.headers.get("authorization"), "Bearer s3cret");
});

test("when no node answers, the 503 says all that a node's would, and names no node", async () => {
  for (const [target, headers] of [
    ["/api/service/rag/x", {}],
    ["/x", { "x-mesh-service": "rag" }],
  ] as const) {
    const world = new FakeWorld(["a", "b", "c"]);
    for (const node of world.nodes.values()) node.die();
    const response = await world.request(target, { headers });
    assert.equal(response.status, 503);
    assert.equal(response.headers.get("retry-after"), "5");
    assert.equal(response.headers.get("x-mesh-retry"), "1", "nobody got it");
    const text = await response.text();
    assert.deepEqual(JSON.parse(text), {
      error: "no node of the mesh answers",
      reason: "no_node",
      service: "rag",
      available_services: ["rag", "notes"],
      instances: [],
      suggestion: "try again in 5 s",
      retry_after: 5,
      tried: 3,
    });
    const shown = text + JSON.stringify([...response.headers]);
    for (const node of world.nodes.values()) assert.ok(!shown.includes(new URL(node.url).host));
  }
});

test("a 503 after tries that may have been started does not offer to repeat", async () => {
  const world = new FakeWorld(["a", "b"]);
  await world.request("/api/service/rag/");
  for (const node of world.nodes.values()) node.die();
  const response = await world.request("/api/service/rag/");
  assert.deepEqual([response.status, reason(response), response.headers.get("x-mesh-retry")], [503, "no_node", null]);
});

test("a secret that is none is told at once; without one nothing is signed", async () => {
  const world = new FakeWorld(["a"]);
  world.env.EDGE_SECRET = `${SECRET}\u0000`;
  const response = await world.request("/api/service/rag/");
  assert.deepEqual([response.status, reason(response)], [503, "edge_signature"]);
  delete world.env.EDGE_SECRET;
  assert.equal((await world.request("/api/service/rag/")).status, 200);
  assert.equal(world.node("a").got[0]?.headers.get("x-mesh-edge"), "unsigned");
});

test("another secret signs from the next request on", async () => {
  const world = new FakeWorld(["a"]);
  await world.request("/api/service/rag/");
  world.env.EDGE_SECRET = `k2:${btoa("fedcba9876543210")}`;
  await world.request("/api/service/rag/");
  assert.match(world.node("a").got[1]?.headers.get("x-mesh-edge") ?? "", /^kid=k2,/);
});

test("what is signed is text that nodes can read, or a bad request", async () => {
  const world = new FakeWorld(["a"]);
  for (const name of ["x-mesh-service", "x-mesh-version", "x-mesh-worker"]) {
    for (const value of ["\xff", "rag\x7f", "r\x01ag", "1\x80"]) {
      const response = await world.request("/api/services", { headers: { [name]: value } });
      assert.deepEqual([response.status, reason(response)], [400, "bad_request"], `${name}: ${JSON.stringify(value)}`);
    }
    assert.equal(world.node("a").got.length, 0);
    assert.equal((await world.request("/api/services", { headers: { [name]: "a\t ~" } })).status, 200);
    world.node("a").got.length = 0;
  }
});

test("a request that an edge has signed is a loop, whatever it is for", async () => {
  const world = new FakeWorld(["a"]);
  for (const target of ["/api/service/rag/", "/api/services", "/api/admin/workers", "/.mesh/summary", "/"]) {
    const response = await world.request(target, { headers: { "x-mesh-edge": "" } });
    const seen = [response.status, reason(response), response.headers.get("x-mesh-tries")];
    assert.deepEqual(seen, [508, "loop", "0"], target);
  }
  const named = { "x-mesh-edge": "x", "x-mesh-service": "rag" };
  assert.equal((await world.request("/health", { headers: named })).status, 508);
  assert.equal(world.node("a").got.length, 0);
});
