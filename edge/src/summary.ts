/** The longest URL of a node, in bytes. */
const MAX_URL = 128;

/** The most entries that are read; the mesh lists 32. */
const MAX_ENTRIES = 64;

/** What the Worker needs of a summary. */
export interface Summary {
  /** Empty when it is not told. */
  clusterId: string;
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

/** Reads a summary of `cluster`; nothing when it is another thing, and an exception when it is no JSON at all. */
export function parseSummary(text: string, cluster: string): Summary | undefined {
  const value = object(JSON.parse(text));
  if (!Array.isArray(value.nodes) || (value.cluster ?? cluster) !== cluster) return undefined;
  return {
    clusterId: String(value.cluster_id ?? ""),
    term: Number(value.term) || 0,
    entries: value.nodes.slice(0, MAX_ENTRIES).flatMap(entry),
    services: Object.keys(object(value.services)),
  };
}

/** The entry, if requests can go to its URL, in the form in which URLs are compared. */
export function entry(value: unknown): Entry[] {
  const { url: text, unseen_since } = object(value);
  const url = typeof text === "string" && text.length <= MAX_URL && URL.parse(text);
  if (!url || !/^https?:\/\/[^/@]+\//.test(url.href)) return [];
  return [{ url: (url.origin + url.pathname).replace(/\/+$/, ""), unseen: unseen_since != null }];
}

/** Something with properties, if only with none. */
function object(value: unknown): Record<string, unknown> {
  return Object(value);
}
