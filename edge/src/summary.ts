/** The longest URL of a node, in bytes. */
const MAX_URL = 128;

/** The most entries that are read; the mesh lists 32. */
const MAX_ENTRIES = 64;

/** What the Worker needs of a summary. */
export interface Summary {
  clusterId: string | undefined;
  term: number;
  entries: Entry[];
  services: string[];
}

/** A node to which requests may go. */
export interface Entry {
  url: string;
  /** No node has seen it of late. */
  unseen: boolean;
}

/** Reads a summary of `cluster`; nothing when it is none, whatever else it may be. */
export function parseSummary(text: string, cluster: string): Summary | undefined {
  const value = object(json(text));
  if (!Array.isArray(value.nodes) || (value.cluster ?? cluster) !== cluster) return undefined;
  return {
    clusterId: typeof value.cluster_id === "string" ? value.cluster_id : undefined,
    term: typeof value.term === "number" ? value.term : 0,
    entries: value.nodes.slice(0, MAX_ENTRIES).flatMap(entry),
    services: Object.keys(object(value.services)),
  };
}

/** The URL of a node in the form in which it is compared; nothing when requests cannot go there. */
export function nodeUrl(text: unknown): string | undefined {
  if (typeof text !== "string" || text.length > MAX_URL || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const fits = /^https?:$/.test(url.protocol) && !url.username && !url.password;
  return fits ? (url.origin + url.pathname).replace(/\/+$/, "") : undefined;
}

function entry(value: unknown): Entry[] {
  const { url, unseen_since } = object(value);
  const known = nodeUrl(url);
  return known === undefined ? [] : [{ url: known, unseen: unseen_since != null }];
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function object(value: unknown): Record<string, unknown> {
  return value !== null && typeof value === "object" ? (value as Record<string, unknown>) : {};
}
