// What a test may change and count at the API: faults, the clock, and how often each operation was billed.

export type Operation = "get" | "put" | "list" | "delete";

/** One `POST /client/v4/__control`; what is absent stays as it is. */
interface Change {
  /** Forgets faults, clock and counts (first, when the same request changes more); the values stay. */
  reset?: boolean;
  /** The next `left` calls are answered with this status. */
  status?: number;
  /** The next `left` operations of this kind take place, but their answer breaks off. */
  drop?: Operation;
  /** How many calls; 1 when absent. */
  left?: number;
  /** The `retry-after` of the faults, in seconds. */
  retryAfter?: number;
  /** Only operations of this kind are failed or counted down; any when absent. */
  on?: Operation;
  /** Unix seconds from which the API's clock goes on; `null` is the machine's. */
  now?: number | null;
}

interface Fault {
  on: Operation | undefined;
  left: number;
  status: number | undefined;
  retryAfter: number | undefined;
}

const NOTHING = { writes: 0, reads: 0, lists: 0, deletes: 0, limited: 0, refused: 0, edgeReads: 0 };

/** Billed operations of the API (each pair of a bulk is one); what was refused for its rate, or by a fault; reads of the Worker. */
export const counts = { ...NOTHING };

let faults: Fault[] = [];
let offset = 0;
const lastWrites = new Map<string, number>();

/** The API's clock, in unix milliseconds. */
export function now(): number {
  return Date.now() + offset;
}

/** Whether the key was written within the last second. */
export function isLimited(key: string): boolean {
  const last = lastWrites.get(key);
  const limited = last !== undefined && Math.abs(now() - last) < 1000;
  counts.limited += limited ? 1 : 0;
  return limited;
}

/** A write took place. */
export function wrote(key: string): void {
  counts.writes += 1;
  lastWrites.set(key, now());
}

/** The fault that this operation meets, if any. */
export function nextFault(operation: Operation): Fault | undefined {
  const fault = faults.find(({ on }) => on === undefined || on === operation);
  if (fault && --fault.left <= 0) {
    faults = faults.filter((other) => other !== fault);
  }
  counts.refused += fault?.status === undefined ? 0 : 1;
  return fault;
}

/** `/client/v4/__control`. */
export async function serveControl(request: Request): Promise<Response> {
  if (request.method === "POST") {
    apply((await request.json()) as Change);
  }
  return Response.json(counts);
}

function apply(change: Change): void {
  if (change.reset) {
    Object.assign(counts, NOTHING);
    faults = [];
    offset = 0;
    lastWrites.clear();
  }
  if (change.now !== undefined) {
    offset = change.now === null ? 0 : change.now * 1000 - Date.now();
  }
  if (change.status !== undefined || change.drop !== undefined) {
    const { status, retryAfter, left = 1, on = change.drop } = change;
    faults.push({ on, left, status: change.drop ? undefined : status, retryAfter });
  }
}
