import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSummary } from "../src/summary.ts";
import { summary } from "./support/world.ts";

const parse = (value: unknown) => parseSummary(typeof value === "string" ? value : JSON.stringify(value), "it");

test("a summary is read", () => {
  const read = parse(summary(["a"], { term: 12 }));
  assert.deepEqual(read, {
    clusterId: "c1",
    term: 12,
    entries: [{ url: "https://a.example", unseen: false }],
    services: ["rag", "notes"],
  });
});

test("of an entry only the URL must be there, and what is newer does not matter", () => {
  const nodes = [
    { url: "http://a.example:8443/", shard: { x: 1 }, unseen_since: "2026-11-22T06:00:00Z" },
    { url: "https://B.example" },
    { id: "none" },
    null,
    7,
    "https://c.example",
    { url: 5 },
    { url: "ftp://d.example" },
    { url: "https://user:pw@e.example" },
    { url: `https://${"f".repeat(130)}.example` },
    { url: "not a url" },
  ];
  const read = parse({ v: 99, nodes, services: 7, term: "high", cluster_id: 7, more: [[]] });
  assert.deepEqual(read?.entries, [
    { url: "http://a.example:8443", unseen: true },
    { url: "https://b.example", unseen: false },
  ]);
  assert.deepEqual([read?.term, read?.clusterId, read?.services], [0, "7", []]);
});

test("what is no summary of the cluster counts as none", () => {
  for (const text of ["", "{", "\u0000\ufffd", "<html>"]) assert.throws(() => parse(text), SyntaxError, text);
  const none = ["null", "7", '"x"', "[]", "{}", '{"nodes":null}', '{"nodes":{"a":1}}'];
  for (const text of [...none, { ...summary(["a"]), cluster: "other" }, { ...summary(["a"]), cluster: 7 }]) {
    assert.equal(parse(text), undefined, JSON.stringify(text));
  }
  assert.deepEqual(parse({ nodes: [] })?.entries, [], "an empty list is one");
});

test("a list that is too long is cut", () => {
  assert.equal(parse(summary(Array.from({ length: 1000 }, (_, n) => `n${n}`)))?.entries.length, 64);
});

test("URLs of nodes compare as they are written most plainly", () => {
  const plain = (url: string) => parse({ nodes: [{ url }] })?.entries[0]?.url;
  assert.equal(plain("HTTPS://N1.Example:443/"), "https://n1.example");
  assert.equal(plain("http://[::1]:8080/base//"), "http://[::1]:8080/base");
});
