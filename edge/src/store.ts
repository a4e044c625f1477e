import { adoptStored } from "./nodes.ts";
import { parseSummary } from "./summary.ts";
import type { Visit } from "./visit.ts";
import { within } from "./world.ts";

/** The store is asked at most once in so many milliseconds. */
const APART = 5_000;

/** For how long the store may take, in milliseconds. */
const PATIENCE = 3_000;

/** How often it is looked whether another request has read the store, in milliseconds. */
const GLANCE = 20;

/** Reads the stored list, or waits for another request that does. */
export async function readStore(visit: Visit): Promise<void> {
  const { nodes, now } = visit;
  if (now() - nodes.readAt < APART) {
    // Requests share no promise, and the runtime may have ended the other one: so this one looks, and not for ever.
    while (nodes.isReading && now() - nodes.readAt <= PATIENCE + GLANCE) await within(visit, GLANCE);
    if (!nodes.isReading) return;
  }
  nodes.readAt = now();
  nodes.isReading = true;
  const reading = read(visit);
  // Others wait for it, though this client may leave.
  visit.context.waitUntil(reading);
  await reading;
}

async function read(visit: Visit): Promise<void> {
  const { nodes, env } = visit;
  try {
    const value = env.MESH.get(`mesh:v1:${env.CLUSTER}`, { cacheTtl: 60 });
    const summary = parseSummary((await within(visit, PATIENCE, value)) ?? "null", env.CLUSTER);
    // An empty list is no reason to forget a good one.
    if (summary?.entries[0]) adoptStored(nodes, summary);
  } catch (error) {
    console.warn(error);
  }
  nodes.isReading = false;
}
