// Packs the Worker as `wrangler deploy` would, without uploading or asking anyone, and fails when it has grown too large.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The largest upload, in KiB. */
const MAX = 10;

const home = mkdtempSync(join(tmpdir(), "mesh-edge-"));
// Without these wrangler reports to Cloudflare, looks for updates and writes to the user's home.
const silent = {
  HOME: home,
  XDG_CONFIG_HOME: home,
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  CI: "1",
  NO_COLOR: "1",
};
const wrangler = join(import.meta.dirname, "node_modules/wrangler/bin/wrangler.js");
const packed = spawnSync(process.execPath, [wrangler, "deploy", "--dry-run", "--outdir", "dist"], {
  cwd: import.meta.dirname,
  env: { PATH: process.env.PATH, ...silent },
  encoding: "utf8",
});
rmSync(home, { recursive: true });

const size = /Total Upload: ([\d.]+) KiB \/ gzip: ([\d.]+) KiB/.exec(packed.stdout);
if (packed.status !== 0 || !size) {
  console.error(packed.stdout, packed.stderr);
  process.exit(1);
}
console.log(`upload ${size[1]} KiB, gzip ${size[2]} KiB, at most ${MAX} KiB`);
process.exit(Number(size[1]) > MAX ? 1 : 0);
