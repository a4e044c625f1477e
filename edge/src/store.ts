import { parseSummary } from "./summary.ts";
import type { Visit } from "./visit.ts";
import { pause } from "./world.ts";

/** The store is asked at most once in so many milliseconds. */
const APART = 5_000;

/** For how long the store may take, in milliseconds. */
const PATIENCE = 3_000;

/** How often it is looked whether another request has read the store, in milliseconds. */
const GLANCE = 20;

/** Reads the stored list, or waits for another request that does. */
export async function readStore(visit: Visit): Promise<void> {
  const { world, nodes, env } = visit;
  if (world.now() - nodes.storeAskedAt < APART) return awaitOther(visit);
  nodes.storeAskedAt = world.now();
  nodes.storePending = true;
  const limit = pause(world, PATIENCE);
  try {
    const read = env.MESH.get(`mesh:v1:${env.CLUSTER}`, { type: "text", cacheTtl: 60 });
    const summary = parseSummary((await Promise.race([read, limit.over])) ?? "", env.CLUSTER);
    if (summary) nodes.adoptStored(summary);
  } catch (error) {
    console.warn("the store cannot be read", error);
  } finally {
    limit.cancel();
    nodes.storePending = false;
  }
}

/** Requests share no promise, and the other one may have been cancelled: so it looks, and not for ever. */
async function awaitOther({ world, nodes }: Visit): Promise<void> {
  while (nodes.storePending && world.now() - nodes.storeAskedAt < PATIENCE) await pause(world, GLANCE).over;
}
