// Runs the Worker beside the REST API of Workers KV in Cloudflare's own runtime, on loopback, without Cloudflare.
// `edge/README.md` has its variables. It prints `READY {"url": …}` once it serves, and ends on SIGTERM or SIGINT.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { build } from "esbuild";
import { Log, LogLevel, Miniflare, supportedCompatibilityDate } from "miniflare";

const {
  PORT = "0",
  STATE,
  CLUSTER = "it",
  ACCOUNT = "acct1",
  NAMESPACE = "0123456789abcdef0123456789abcdef",
  TOKEN = "test-token",
  EDGE_SECRET,
  ADMIN_TOKEN,
  SEEDS,
} = process.env;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

if (!STATE) {
  console.error("harness: STATE must name the directory of the KV store");
  process.exit(2);
}

const bundle = await build({
  entryPoints: [here("entry.ts")],
  bundle: true,
  format: "esm",
  target: "es2024",
  write: false,
});
// JSON with comments is an expression of JavaScript, and this file is our own.
const deployed = runInNewContext(`(${await readFile(here("../wrangler.jsonc"), "utf8")})`);

const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: Number(PORT),
  // Neither a look-up of where this machine is, nor an inspector.
  cf: false,
  log: new Log(LogLevel.WARN),
  modules: true,
  script: bundle.outputFiles[0].text,
  // The runtime here may be older than the date for which the Worker is deployed.
  compatibilityDate: [deployed.compatibility_date, supportedCompatibilityDate].sort()[0],
  compatibilityFlags: deployed.compatibility_flags,
  kvNamespaces: { MESH: NAMESPACE },
  kvPersist: STATE,
  bindings: {
    CLUSTER,
    API_ACCOUNT: ACCOUNT,
    API_NAMESPACE: NAMESPACE,
    API_TOKEN: TOKEN,
    ...(EDGE_SECRET && { EDGE_SECRET }),
    ...(ADMIN_TOKEN && { ADMIN_TOKEN }),
    ...(SEEDS && { SEEDS }),
  },
});

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => miniflare.dispose().then(() => process.exit(0)));
}
const url = await miniflare.ready;
console.log(`READY ${JSON.stringify({ url: url.origin })}`);
