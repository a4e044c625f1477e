import assert from "node:assert/strict";
import { test } from "node:test";
import { towardsClient, towardsNode } from "../src/headers.ts";

const URL_AT_EDGE = new URL("https://edge.example/api/service/rag/");

type CloudflareRequest = Parameters<typeof towardsNode>[0];
const request = (headers: [string, string][], method = "GET") =>
  new Request(URL_AT_EDGE.href, { method, headers }) as CloudflareRequest;
const sent = (headers: [string, string][], method = "GET") =>
  Object.fromEntries(towardsNode(request([...headers, ["cf-connecting-ip", "192.0.2.7"]], method), URL_AT_EDGE));

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
  const shown = (ip: string) => towardsNode(request([["cf-connecting-ip", ip]]), URL_AT_EDGE).get("x-forwarded-for");
  assert.equal(shown("2001:db8::7"), "2001:db8::7");
  for (const bad of ["", "1.2.3.4,sig=0", "x y", "1.2.3.4, 5.6.7.8"]) assert.equal(shown(bad), "127.0.0.1");
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
    ["location", "https://n1.example/x"],
  ]);
  const answer = towardsClient(new Response("body", { status: 418, headers }));
  assert.equal(answer.status, 418);
  assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
  answer.headers.delete("set-cookie");
  assert.deepEqual(Object.fromEntries(answer.headers), {
    "access-control-allow-origin": "https://app.example",
    "content-type": "text/plain;charset=UTF-8",
    etag: '"x"',
    location: "https://n1.example/x",
    "x-mesh-attempts": "2",
    "x-mesh-worker": "w",
  });
});
