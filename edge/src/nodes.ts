import type { Summary } from "./summary.ts";

/** Of how many nodes it is remembered that they failed. */
const MAX_REMEMBERED = 256;

/**
 * What one isolate knows of nodes. Plain data only: requests share it, and may share no promise. Times are Unix
 * milliseconds.
 */
export interface Nodes {
  /** What a live node said last. */
  live?: Summary | undefined;
  /** What the store said last. */
  stored?: Summary;
  /** When the store was asked last. */
  readAt: number;
  /** Whether the store has not answered yet. */
  isReading?: boolean;
  /** When a live node was asked last. */
  refreshedAt: number;
  /** How far the clock of the nodes is ahead, in milliseconds. */
  clockOffset: number;
  /** When nodes failed that have not answered since. */
  failedAt: Map<string, number>;
  /** When any of them answered last. */
  answeredAt: number;
}

export function unknown(): Nodes {
  return { readAt: 0, refreshedAt: 0, clockOffset: 0, answeredAt: 0, failedAt: new Map() };
}

/** Remembers that a node answered, or failed. */
export function remember(nodes: Nodes, url: string, didAnswer: boolean, now: number): void {
  if (didAnswer) {
    nodes.answeredAt = now;
    nodes.failedAt.delete(url);
  } else {
    if (nodes.failedAt.size >= MAX_REMEMBERED) nodes.failedAt.clear();
    nodes.failedAt.set(url, now);
  }
}

/** Whether a live answer speaks of another cluster than the store does. */
export function isForeign({ stored }: Nodes, summary: Summary): boolean {
  const known = stored?.clusterId;
  return !!known && known !== summary.clusterId;
}

/** Takes over what a live node said, unless it is of another cluster, or behind. */
export function adoptLive(nodes: Nodes, summary: Summary): void {
  const { live } = nodes;
  const isBehind = live?.clusterId === summary.clusterId && summary.term < live.term;
  if (!isBehind && !isForeign(nodes, summary)) nodes.live = summary;
}

/** Takes over what the store said. */
export function adoptStored(nodes: Nodes, summary: Summary): void {
  nodes.stored = summary;
  if (nodes.live && isForeign(nodes, nodes.live)) nodes.live = undefined;
}
