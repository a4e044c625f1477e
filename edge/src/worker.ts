import { refuseAdmin } from "./admin.ts";
import { failure, notFound, onlyReading } from "./answers.ts";
import type { Env } from "./config.ts";
import { forward } from "./forward.ts";
import { type Nodes, unknown } from "./nodes.ts";
import { isDue, refresh } from "./refresh.ts";
import { isSecret } from "./signature.ts";
import { begin } from "./visit.ts";
import { runtime, type World } from "./world.ts";

export type { Env };

const SERVICE = /^\/api\/service\/([^/]*)/;
const ADMIN = /^\/api\/admin\/(workers|services)$/;

/** The Worker of one isolate. */
export function createWorker(world: World) {
  const nodes = unknown();
  return {
    async fetch(request: Request, env: Env, context: Pick<ExecutionContext, "waitUntil">): Promise<Response> {
      try {
        const answer = await route(world, nodes, request, env, context);
        return request.method === "HEAD" ? new Response(null, answer) : answer;
      } catch (error) {
        console.error(error);
        return failure(502, "broken", "the edge failed");
      }
    },
  };
}

async function route(
  world: World,
  nodes: Nodes,
  request: Request,
  env: Env,
  context: Pick<ExecutionContext, "waitUntil">,
): Promise<Response> {
  // Parsed, so that no path leads elsewhere at the node than it seemed to here.
  const url = new URL(request.url);
  const named = request.headers.get("x-mesh-service");
  const service = named ?? SERVICE.exec(url.pathname)?.[1] ?? null;
  if (service === null) {
    if (url.pathname === "/health") return health(request);
    if (ADMIN.test(url.pathname)) {
      const refused = await refuseAdmin(request, env.ADMIN_TOKEN);
      if (refused) return refused;
      request = new Request(request);
      request.headers.delete("authorization");
    } else if (url.pathname !== "/api/services") return notFound();
  }
  if (env.EDGE_SECRET && !isSecret(env.EDGE_SECRET)) {
    return failure(503, "edge_signature", "EDGE_SECRET is not kid:base64");
  }
  const visit = begin(world, nodes, env);
  if (isDue(visit)) context.waitUntil(refresh(begin(world, nodes, env)));
  return forward(visit, request, url, service);
}

function health({ method }: Request): Response {
  if (method !== "GET" && method !== "HEAD") return onlyReading();
  return Response.json({ status: "ok" }, { headers: { "cache-control": "no-store" } });
}

export default createWorker(runtime);
