import { refuseAdmin } from "./admin.ts";
import { failure, notFound, onlyReading } from "./answers.ts";
import type { Env } from "./config.ts";
import { forward } from "./forward.ts";
import { TRIES } from "./headers.ts";
import { isReading } from "./methods.ts";
import { unknown } from "./nodes.ts";
import { isDue, refresh } from "./refresh.ts";
import { isSecret, SIGNED } from "./signature.ts";
import { begin, type Context, type Visit } from "./visit.ts";
import type { World } from "./world.ts";

const SERVICE = /^\/api\/service\/([^/]*)/;
const ADMIN = /^\/api\/admin\/(workers|services)$/;

/** What nodes read as text; of all else they refuse the signature. */
const TEXT = /^[\t -~]*$/;

/** The edge of one isolate. */
export function createEdge(world: World) {
  const nodes = unknown();
  return {
    async fetch(request: Request, env: Env, context: Context): Promise<Response> {
      try {
        const answer = await route(request, env, () => begin(world, nodes, env, context));
        return request.method === "HEAD" ? new Response(null, answer) : answer;
      } catch (error) {
        console.error(error);
        return failure(502, "broken", "the edge failed");
      }
    },
  };
}

async function route(request: Request, env: Env, begun: () => Visit): Promise<Response> {
  // Parsed, so that no path leads elsewhere at the node than it seemed to here.
  const url = new URL(request.url);
  const { pathname } = url;
  const service = request.headers.get("x-mesh-service") ?? SERVICE.exec(pathname)?.[1] ?? null;
  if (service === null && pathname === "/health") return isReading(request) ? healthy() : onlyReading();
  if (request.headers.has("x-mesh-edge")) return failure(508, "loop", "an edge is no node");
  if (service === null) {
    if (ADMIN.test(pathname)) {
      const refused = await refuseAdmin(request, env.ADMIN_TOKEN);
      if (refused) return refused;
      request = new Request(request);
      request.headers.delete("authorization");
    } else if (pathname !== "/api/services") return notFound();
  }
  if (!SIGNED.every((name) => TEXT.test(request.headers.get(name) ?? ""))) {
    return failure(400, "bad_request", "x-mesh-* must be ASCII");
  }
  if (env.EDGE_SECRET && !isSecret(env.EDGE_SECRET)) {
    return failure(503, "edge_signature", "EDGE_SECRET is not kid:base64");
  }
  const visit = begun();
  if (isDue(visit)) visit.context.waitUntil(refresh(begun()));
  return forward(visit, request, url, service);
}

function healthy(): Response {
  return Response.json({ status: "ok" }, { headers: { "cache-control": "no-store", [TRIES]: "0" } });
}
