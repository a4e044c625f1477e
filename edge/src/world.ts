/** What the Worker takes from outside: the network, time and randomness. Tests bring their own. */
export interface World {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Unix time in milliseconds. */
  now(): number;
  /** Calls `then` after so many milliseconds; what it returns cancels that. */
  after(ms: number, then: () => void): () => void;
  /** From 0 up to, but not including, 1. */
  random(): number;
  /** A text that nobody used before. */
  nonce(): string;
}

export const runtime: World = {
  fetch: (url, init) => fetch(url, init),
  now: Date.now,
  after: (ms, then) => {
    const timer = setTimeout(then, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
  nonce: () => crypto.randomUUID(),
};

/** What a promise gives, if it does so within so many milliseconds. */
export function within<T>(world: World, ms: number, promise?: Promise<T>): Promise<T | undefined> {
  let cancel: (() => void) | undefined;
  const over = new Promise<undefined>((resolve) => {
    cancel = world.after(ms, () => resolve(undefined));
  });
  return Promise.race([promise ?? over, over]).finally(cancel);
}
