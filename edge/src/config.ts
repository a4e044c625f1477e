import { type Entry, entry } from "./summary.ts";

/** The bindings of the Worker, as wrangler.jsonc names them. */
export interface Env {
  MESH: Pick<KVNamespace, "get">;
  /** The cluster's name. */
  CLUSTER: string;
  /** URLs of nodes, separated by commas. */
  SEEDS?: string;
  /** `kid:base64`; without it nothing is signed. */
  EDGE_SECRET?: string;
  /** Opens the admin API; without it there is none. */
  ADMIN_TOKEN?: string;
}

/** The seeds that are URLs of nodes. */
export function seeds({ SEEDS = "" }: Env): Entry[] {
  return SEEDS.split(",").flatMap((url) => entry({ url: url.trim() }));
}
