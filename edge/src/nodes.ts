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
  /** When the store was asked last, and whether that goes on; times are Unix milliseconds. */
  storeAskedAt = Number.NEGATIVE_INFINITY;
  storePending = false;
  /** When a live node was asked last. */
  refreshedAt = Number.NEGATIVE_INFINITY;
  /** How far the clock of the nodes is ahead, in milliseconds. */
  clockOffset = 0;

  #failedAt = new Map<string, number>();
  #answeredAt = new Map<string, number>();

  /** The known nodes, in the order in which to try them. Fresh ones come first when `preferFresh`. */
  order(world: World, seeds: string[], preferFresh = false): string[] {
    const now = world.now();
    const ranks = new Map<string, number>();
    const add = (entries: Entry[], rank: number) => {
      for (const { url, unseen } of entries) {
        if (ranks.has(url)) continue;
        const first = preferFresh && this.isFresh(url, now) ? -10 : 0;
        ranks.set(url, rank + (unseen ? 1 : 0) + (this.#isWithin(this.#failedAt, url, now, PENALTY) ? 10 : first));
      }
    };
    add(this.live?.entries ?? [], 0);
    add(this.stored?.entries ?? [], 2);
    add(
      seeds.map((url) => ({ url, unseen: false })),
      4,
    );
    const shuffled = [...ranks].map(([url, rank]) => ({ url, rank, dice: world.random() }));
    return shuffled.sort((a, b) => a.rank - b.rank || a.dice - b.dice).map(({ url }) => url);
  }

  /** Whether the node answered of late, and has not failed since. */
  isFresh(url: string | undefined, now: number): boolean {
    return url !== undefined && this.#isWithin(this.#answeredAt, url, now, FRESH);
  }

  /** The node answered. */
  answered(url: string, now: number): void {
    this.#failedAt.delete(url);
    remember(this.#answeredAt, url, now);
  }

  /** The node failed. */
  failed(url: string, now: number): void {
    this.#answeredAt.delete(url);
    remember(this.#failedAt, url, now);
  }

  /** Whether a live answer speaks of another cluster than the store does. */
  isForeign(summary: Summary): boolean {
    const known = this.stored?.clusterId;
    return known !== undefined && summary.clusterId !== known;
  }

  /** Takes over what a live node said, unless it is of another cluster, or behind. */
  adoptLive(summary: Summary): void {
    const behind = summary.clusterId === this.live?.clusterId && summary.term < (this.live?.term ?? 0);
    if (!behind && !this.isForeign(summary)) this.live = summary;
  }

  /** Takes over what the store said. */
  adoptStored(summary: Summary): void {
    this.stored = summary;
    if (this.live && this.isForeign(this.live)) this.live = undefined;
  }

  /** The services of which the last summary told. */
  services(): string[] {
    return (this.live ?? this.stored)?.services ?? [];
  }

  #isWithin(times: Map<string, number>, url: string, now: number, span: number): boolean {
    return now - (times.get(url) ?? Number.NEGATIVE_INFINITY) < span;
  }
}

function remember(times: Map<string, number>, url: string, now: number): void {
  if (times.size >= MAX_REMEMBERED) times.clear();
  times.set(url, now);
}
