import type { Entry, Summary } from "./summary.ts";
import type { World } from "./world.ts";

/** For how long a node that failed is tried last, in milliseconds. */
const PENALTY = 10_000;

/** For how long a node that answered counts as fresh, in milliseconds. */
const FRESH = 5_000;

/** Of how many nodes it is remembered how they did. */
const MAX_REMEMBERED = 256;

/** What one isolate knows of nodes. Plain data only: requests share it, and may share no promise. */
export class Nodes {
  /** What a live node said last. */
  live: Summary | undefined;
  /** What the store said last. */
  stored: Summary | undefined;
  /** When the store was asked last, in Unix milliseconds as all times here; and whether that goes on. */
  readAt = 0;
  isReading = false;
  /** When a live node was asked last. */
  refreshedAt = 0;
  /** How far the clock of the nodes is ahead, in milliseconds. */
  clockOffset = 0;

  #failedAt = new Map<string, number>();
  #answeredAt = new Map<string, number>();

  /** The known nodes, in the order in which to try them; fresh ones first when `preferFresh`. */
  order(world: World, seeds: Entry[], preferFresh = false): string[] {
    const now = world.now();
    const ranks = new Map<string, number>();
    for (const [rank, entries = []] of [this.live?.entries, this.stored?.entries, seeds].entries()) {
      for (const { url, unseen } of entries) {
        if (ranks.has(url)) continue;
        const fresh = preferFresh && this.isFresh(url, now) ? 10 : 0;
        const penalty = now - (this.#failedAt.get(url) ?? 0) < PENALTY ? 10 : 0;
        // The fraction shuffles those of one rank.
        ranks.set(url, rank * 2 + Number(unseen) + penalty - fresh + world.random());
      }
    }
    return [...ranks].sort(([, a], [, b]) => a - b).map(([url]) => url);
  }

  /** Whether the node answered of late, and has not failed since. */
  isFresh(url: string | undefined, now: number): boolean {
    return now - (this.#answeredAt.get(url ?? "") ?? 0) < FRESH;
  }

  /** Notes that a node answered, or failed. */
  note(url: string, didAnswer: boolean, now: number): void {
    const [times, others] = didAnswer ? [this.#answeredAt, this.#failedAt] : [this.#failedAt, this.#answeredAt];
    others.delete(url);
    if (times.size >= MAX_REMEMBERED) times.clear();
    times.set(url, now);
  }

  /** Whether a live answer speaks of another cluster than the store does. */
  isForeign(summary: Summary): boolean {
    const known = this.stored?.clusterId;
    return Boolean(known) && summary.clusterId !== known;
  }

  /** Takes over what a live node said, unless it is of another cluster, or behind. */
  adoptLive(summary: Summary): void {
    const { live } = this;
    const isBehind = live && summary.clusterId === live.clusterId && summary.term < live.term;
    if (!isBehind && !this.isForeign(summary)) this.live = summary;
  }

  /** Takes over what the store said. */
  adoptStored(summary: Summary): void {
    this.stored = summary;
    if (this.live && this.isForeign(this.live)) this.live = undefined;
  }
}
