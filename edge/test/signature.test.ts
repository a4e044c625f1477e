import assert from "node:assert/strict";
import { test } from "node:test";
import { isSecret, signature } from "../src/signature.ts";

// The same values are in src/router/proxy/edge_tests.rs: both sides agree, or one of the tests fails.
const GOLDEN =
  "kid=k1,t=1800000000,n=n1,ip=192.0.2.7,sig=c7d925239ef12c1cc95313ccc16aedcc8a181a9f6871c41bf39d40985b1184b9";
const GOLDEN_PLAIN =
  "kid=k2,t=1800000000,n=n2,ip=2001:db8::7,sig=a34e5964b9fa83272292d8673a2ad699ea29d11137fa9f355db9cf3b06e4abef";

test("a signature is what nodes compute", async () => {
  const k1 = `k1:${btoa("0123456789abcdef")}`;
  const k2 = `k2:${btoa("fedcba9876543210")}`;
  const first = () =>
    signature(k1, [1_800_000_000, "n1", "GET", "/a?b", "host.example", "192.0.2.7", "rag", "^2", null]);
  assert.equal(await first(), GOLDEN);
  const target = "/api/service/rag/ask?q=%C3%A4";
  const plain = signature(k2, [
    1_800_000_000,
    "n2",
    "POST",
    target,
    "[2001:db8::1]:8443",
    "2001:db8::7",
    null,
    undefined,
    "",
  ]);
  assert.equal(await plain, GOLDEN_PLAIN);
  assert.equal(await first(), GOLDEN, "after another secret");
});

test("only what nodes would take is a secret", () => {
  const good = btoa("0123456789abcdef");
  assert.ok(isSecret(`k-1_A:${good}`));
  for (const bad of ["", good, `:${good}`, `k 1:${good}`, `k1:${btoa("short")}`, "k1:%%%%", `k1:${good}:x`]) {
    assert.ok(!isSecret(bad), bad);
  }
});
