// What the harness runs: the REST API of Workers KV, and for everything else the Worker as it is deployed, on one KV binding.

import type { Env } from "../src/worker.ts";
import worker from "../src/worker.ts";
import { counts } from "./control.ts";
import { type ApiEnv, serveApi } from "./shim.ts";

export default {
  async fetch(request: Request, env: Env & ApiEnv, context: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url);
    return pathname.startsWith("/client/v4/") ? serveApi(request, env) : worker.fetch(request, counting(env), context);
  },
};

/** The same binding, which counts what the Worker reads. */
function counting(env: Env): Env {
  const get = (...parameters: Parameters<KVNamespace["get"]>) => {
    counts.edgeReads += 1;
    return env.MESH.get(...parameters);
  };
  return { ...env, MESH: { get } as unknown as KVNamespace };
}
