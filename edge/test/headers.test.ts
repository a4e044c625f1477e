import assert from "node:assert/strict";
import { test } from "node:test";
import { clientAddress, towardsClient, towardsNode } from "../src/headers.ts";

const URL_AT_EDGE = new URL("https://edge.example/api/service/rag/");
const NODE = "https://n1.example";

type CloudflareRequest = Parameters<typeof towardsNode>[0];
const request = (headers: [string, string][], method = "GET") =>
  new Request(URL_AT_EDGE.href, { method, headers }) as CloudflareRequest;
const sent = (headers: [string, string][], method = "GET") =>
  Object.fromEntries(towardsNode(request(headers, method), URL_AT_EDGE, "192.0.2.7"));

const OWN = {
  "x-forwarded-for": "192.0.2.7",
  "x-forwarded-host": "edge.example",
  "x-forwarded-proto": "https",
};

test("what a client says of itself or of the mesh is dropped", () => {
  const spoofed: [string, string][] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
    "cf-ray",
    "cf-ipcountry",
    "cf-worker",
    "true-client-ip",
    "x-mesh-edge",
    "x-mesh-hop",
    "x-mesh-retry",
    "x-mesh-error",
    "x-mesh-tries",
    "x-mesh-load",
    "x-mesh-services",
    "x-mesh-",
    "X-Mesh-Edge2",
    "expect",
    "host",
    "content-length",
  ].map((name) => [name, "spoofed"]);
  assert.deepEqual(sent(spoofed), OWN);
});

test("what a client may say passes", () => {
  const kept = {
    "x-mesh-service": "rag",
    "x-mesh-version": "^2",
    "x-mesh-worker": "w",
    "x-mesh-explain": "1",
    authorization: "Bearer x",
    cookie: "a=1; b=2",
    "x-request-id": "7",
    via: "1.1 x",
    origin: "https://app.example",
  };
  assert.deepEqual(sent(Object.entries(kept)), { ...kept, ...OWN });
});

test("headers of the hop go, and those that Connection names, on every line", () => {
  const hop: [string, string][] = [
    ["connection", "close, X-Private"],
    ["connection", " x-other ,,bad name,(,"],
    ["x-private", "1"],
    ["x-other", "1"],
    ["x-kept", "1"],
    ...[
      "keep-alive",
      "proxy-connection",
      "proxy-authenticate",
      "proxy-authorization",
      "te",
      "trailer",
      "transfer-encoding",
      "upgrade",
      "http2-settings",
    ].map((name): [string, string] => [name, "x"]),
  ];
  assert.deepEqual(sent(hop), { "x-kept": "1", ...OWN });
});

test("Connection cannot name what others decide by", () => {
  const headers: [string, string][] = [
    ["connection", "x-mesh-service, authorization, x-forwarded-for, host, content-length"],
    ["x-mesh-service", "rag"],
    ["authorization", "Bearer x"],
  ];
  assert.deepEqual(sent(headers), { "x-mesh-service": "rag", authorization: "Bearer x", ...OWN });
});

test("only a GET can ask for a WebSocket", () => {
  const upgrade: [string, string][] = [
    ["connection", "Upgrade"],
    ["upgrade", "WebSocket"],
    ["sec-websocket-key", "k"],
  ];
  assert.deepEqual(sent(upgrade), { upgrade: "websocket", "sec-websocket-key": "k", ...OWN });
  assert.equal(sent(upgrade, "POST").upgrade, undefined);
  assert.equal(sent([["upgrade", "h2c"]]).upgrade, undefined);
});

test("the client's address is Cloudflare's word, and nothing but an address", () => {
  assert.equal(clientAddress(request([["cf-connecting-ip", "2001:db8::7"]])), "2001:db8::7");
  for (const bad of ["", "1.2.3.4,sig=0", "x y", "1.2.3.4\t"]) {
    const ip = clientAddress(request([["cf-connecting-ip", bad]]));
    assert.match(ip, /^(127\.0\.0\.1|1\.2\.3\.4)$/, bad);
  }
});

test("towards the client everything passes but what concerns the hop", () => {
  const headers = new Headers([
    ["connection", "x-hop"],
    ["x-hop", "1"],
    ["keep-alive", "timeout=5"],
    ["proxy-authenticate", "x"],
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
    ["x-mesh-worker", "w"],
    ["x-mesh-attempts", "2"],
    ["access-control-allow-origin", "https://app.example"],
    ["etag", '"x"'],
  ]);
  const answer = towardsClient(new Response("body", { status: 418, headers }), NODE, URL_AT_EDGE, 3);
  assert.equal(answer.status, 418);
  assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
  answer.headers.delete("set-cookie");
  assert.deepEqual(Object.fromEntries(answer.headers), {
    "access-control-allow-origin": "https://app.example",
    "content-type": "text/plain;charset=UTF-8",
    etag: '"x"',
    "x-mesh-attempts": "2",
    "x-mesh-tries": "3",
    "x-mesh-worker": "w",
  });
});

test("a redirect to the node is one to the edge, and any other passes", () => {
  const redirected = (location: string) =>
    towardsClient(new Response(null, { status: 302, headers: { location } }), NODE, URL_AT_EDGE, 1).headers.get(
      "location",
    );
  assert.equal(redirected("https://n1.example/login?next=%2F"), "https://edge.example/login?next=%2F");
  assert.equal(redirected("http://N1.example/x"), "https://edge.example/x");
  assert.equal(redirected("//n1.example/x"), "https://edge.example/x");
  for (const other of [
    "/login",
    "../x",
    "https://other.example/x",
    "mailto:a@n1.example",
    "https://",
    "https://n1.example.org/",
  ]) {
    assert.equal(redirected(other), other);
  }
});
