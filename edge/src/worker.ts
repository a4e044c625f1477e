import { refuseAdmin } from "./admin.ts";
import { failure } from "./answers.ts";
import type { Env } from "./config.ts";
import { forward } from "./forward.ts";
import { Nodes } from "./nodes.ts";
import { isDue, refresh } from "./refresh.ts";
import { isSecret } from "./signature.ts";
import { Visit } from "./visit.ts";
import { runtime, type World } from "./world.ts";

export type { Env };

const SERVICE = "/api/service/";
const ADMIN = /^\/api\/admin\/(workers|services)$/;

/** The Worker of one isolate. */
export function createWorker(world: World) {
  const nodes = new Nodes();
  return {
    async fetch(request: Request, env: Env, context: Pick<ExecutionContext, "waitUntil">): Promise<Response> {
      try {
        const answer = await route(world, nodes, request, env, context);
        return request.method === "HEAD" ? new Response(null, answer) : answer;
      } catch (error) {
        console.error(error);
        return failure(502, "broken", "the edge could not forward the request");
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
  const service = named ?? (url.pathname.startsWith(SERVICE) ? (url.pathname.split("/")[3] ?? "") : null);
  if (service === null) {
    if (url.pathname === "/health") return health(request);
    if (ADMIN.test(url.pathname)) {
      const refused = await refuseAdmin(request, env.ADMIN_TOKEN);
      if (refused) return refused;
      request = new Request(request);
      request.headers.delete("authorization");
    } else if (url.pathname !== "/api/services") return failure(404, "not_found", "nothing is served at this path");
  }
  if (env.EDGE_SECRET && !isSecret(env.EDGE_SECRET)) {
    return failure(503, "edge_signature", "EDGE_SECRET of this edge is not kid:base64");
  }
  const visit = () => new Visit(world, nodes, env, request);
  if (isDue(world, nodes)) context.waitUntil(refresh(visit()));
  return forward(visit(), request, url, service);
}

function health(request: Request): Response {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return failure(405, "method", "only GET and HEAD are served here");
  }
  return Response.json({ status: "ok" }, { headers: { "cache-control": "no-store" } });
}

export default createWorker(runtime);
