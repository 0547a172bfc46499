/**
 * Limits per cluster and per route that hold for the whole process: counters and token buckets in
 * memory that all data sides share. The control side says which cluster and which route has which
 * slot; one without a slot is not limited, which is so only while a change takes it away.
 */
import type { Clock } from '../base/clock.ts';
import { BREAKER_DEFAULTS } from '../model/cluster.ts';
import type { Cluster } from '../model/cluster.ts';
import type { RequestRateLimit } from '../model/http-route.ts';
import type { SlotChange } from '../model/messages.ts';
import type { Route } from '../model/route.ts';
import type { BreakerLimit } from '../model/session-record.ts';

/**
 * Clusters, and routes with a rate limit, that there is room for. Pages that are not touched take
 * no memory.
 */
export const SLOTS = 65_536;
/** Connections, those among them that are being made, requests, and those that are sent again. */
const COUNTERS = 4;
const CONNECTIONS = 0;
const PENDING = 1;
/** Of HTTP, that are being served. */
const REQUESTS = 2;
/** Of requests, those that are sent a second time. */
const RETRIES = 3;

/**
 * Of the buckets, then of the whole process, then of each data side, so that what a dead one held
 * can be given back.
 */
export function breakerMemory(sides: number): SharedArrayBuffer {
  const buckets = SLOTS * BigInt64Array.BYTES_PER_ELEMENT;
  return new SharedArrayBuffer(buckets + SLOTS * COUNTERS * Int32Array.BYTES_PER_ELEMENT * (1 + sides));
}

/** A place taken in a cluster. Safe to leave twice. */
export interface ConnectionPlace {
  /** The connection is made. */
  connected(): void;
  leave(): void;
}

export interface Full {
  readonly limit: BreakerLimit;
  /** A sentence. */
  readonly detail: string;
}

export class Breakers {
  readonly #clock: Clock;
  readonly #buckets: BigInt64Array;
  readonly #counts: Int32Array;
  /** Where this side's own counters begin. */
  readonly #mine: number;
  readonly #clusters = new Map<string, number>();
  readonly #routes = new Map<string, number>();

  /** `side` is the number of the data side that counts here. */
  constructor(memory: SharedArrayBuffer, options: { readonly clock: Clock; readonly side: number }) {
    this.#clock = options.clock;
    this.#buckets = new BigInt64Array(memory, 0, SLOTS);
    this.#counts = new Int32Array(memory, this.#buckets.byteLength);
    this.#mine = (1 + options.side) * SLOTS * COUNTERS;
  }

  setSlots(clusters: SlotChange, routes: SlotChange): void {
    change(this.#clusters, clusters);
    change(this.#routes, routes);
  }

  /**
   * Takes a place for one connection of a cluster, or says which breaker is open. `over`: also one
   * above the limit of connections.
   */
  enter(cluster: Cluster, over = false): ConnectionPlace | Full {
    const slot = this.#clusters.get(cluster.name);
    if (slot === undefined) return NO_PLACE;
    const { maxConnections, maxPendingRequests } = { ...BREAKER_DEFAULTS, ...cluster.circuitBreaker };
    if (!this.#enter(slot, CONNECTIONS, over ? Infinity : maxConnections)) {
      return tooManyConnections(cluster.name, maxConnections);
    }
    if (!this.#enter(slot, PENDING, maxPendingRequests)) {
      this.#leave(slot, CONNECTIONS);
      return tooManyPending(cluster.name, maxPendingRequests);
    }
    let pending = true;
    let open = true;
    const connected = (): void => {
      if (pending) this.#leave(slot, PENDING);
      pending = false;
    };
    return {
      connected,
      leave: () => {
        connected();
        if (open) this.#leave(slot, CONNECTIONS);
        open = false;
      },
    };
  }

  /**
   * Takes a place for one request of a cluster and gives back how it is left, safe to call twice;
   * null where all are taken.
   */
  enterRequest(cluster: Cluster): (() => void) | null {
    return this.#place(cluster, REQUESTS, cluster.circuitBreaker?.maxRequests ?? BREAKER_DEFAULTS.maxRequests);
  }

  /** The same for a request that waits for a connection which may not be made. */
  enterPending(cluster: Cluster): (() => void) | null {
    return this.#place(cluster, PENDING, cluster.circuitBreaker?.maxPendingRequests ?? BREAKER_DEFAULTS.maxPendingRequests);
  }

  /** The same for a request that is sent a second time. */
  enterRetry(cluster: Cluster): (() => void) | null {
    return this.#place(cluster, RETRIES, cluster.circuitBreaker?.maxRetries ?? BREAKER_DEFAULTS.maxRetries);
  }

  #place(cluster: Cluster, counter: number, limit: number): (() => void) | null {
    const slot = this.#clusters.get(cluster.name);
    if (slot === undefined) return () => {};
    if (!this.#enter(slot, counter, limit)) return null;
    let entered = true;
    return () => {
      if (entered) this.#leave(slot, counter);
      entered = false;
    };
  }

  /**
   * Takes a token for a request of a route under the limit at this place of its list; false where
   * there is none.
   */
  admitRequest(route: Route, { requests, intervalMs }: RequestRateLimit, index: number): boolean {
    const slot = this.#routes.get(requestLimitName(route.serverName, index));
    return slot === undefined || this.#takeToken(slot, requests, intervalMs);
  }

  /** Takes a token for a new connection of a route; null where there is one or none is needed. */
  admit(route: Route): Full | null {
    if (route.kind !== 'terminate' || route.rateLimit === undefined) return null;
    const { connections, intervalMs } = route.rateLimit;
    const slot = this.#routes.get(route.serverName);
    if (slot === undefined || this.#takeToken(slot, connections, intervalMs)) return null;
    return tooFast(route.destination, connections, intervalMs);
  }

  /** What `enter` would say now; takes no place. */
  wouldEnter(cluster: Cluster): Full | null {
    const { connections, pending } = this.counts(cluster.name);
    const { maxConnections, maxPendingRequests } = { ...BREAKER_DEFAULTS, ...cluster.circuitBreaker };
    if (!this.#clusters.has(cluster.name)) return null;
    if (connections >= maxConnections) return tooManyConnections(cluster.name, maxConnections);
    return pending >= maxPendingRequests ? tooManyPending(cluster.name, maxPendingRequests) : null;
  }

  /** What `admit` would say now; takes no token. */
  wouldAdmit(route: Route): Full | null {
    if (route.kind !== 'terminate' || route.rateLimit === undefined) return null;
    const slot = this.#routes.get(route.serverName);
    if (slot === undefined) return null;
    const { connections, intervalMs } = route.rateLimit;
    const { admitted } = this.#bucket(Atomics.load(this.#buckets, slot), connections, intervalMs);
    return admitted ? null : tooFast(route.destination, connections, intervalMs);
  }

  /**
   * Connections of a cluster in the whole process, those being made, and requests of HTTP that are
   * being served.
   */
  counts(cluster: string): { readonly connections: number; readonly pending: number; readonly requests: number } {
    const slot = this.#clusters.get(cluster);
    if (slot === undefined) return { connections: 0, pending: 0, requests: 0 };
    return {
      connections: this.#count(slot, CONNECTIONS),
      pending: this.#count(slot, PENDING),
      requests: this.#count(slot, REQUESTS),
    };
  }

  /** Whether no place is held there any more, so that the slot may be given away. */
  isFree(slot: number): boolean {
    return [CONNECTIONS, PENDING, REQUESTS, RETRIES].every((counter) => this.#count(slot, counter) === 0);
  }

  /** A full bucket, for the route that gets the slot next. */
  refill(slot: number): void {
    Atomics.store(this.#buckets, slot, 0n);
  }

  /** A data side died: what it held is given back. */
  forgetSide(side: number): void {
    const from = (1 + side) * SLOTS * COUNTERS;
    for (let i = 0; i < SLOTS * COUNTERS; i++) {
      const held = Atomics.exchange(this.#counts, from + i, 0);
      if (held !== 0) Atomics.sub(this.#counts, i, held);
    }
  }

  #count(slot: number, counter: number): number {
    return Atomics.load(this.#counts, slot * COUNTERS + counter);
  }

  #enter(slot: number, counter: number, limit: number): boolean {
    const index = slot * COUNTERS + counter;
    if (Atomics.add(this.#counts, index, 1) >= limit) {
      Atomics.sub(this.#counts, index, 1);
      return false;
    }
    Atomics.add(this.#counts, this.#mine + index, 1);
    return true;
  }

  #leave(slot: number, counter: number): void {
    const index = slot * COUNTERS + counter;
    Atomics.sub(this.#counts, index, 1);
    Atomics.sub(this.#counts, this.#mine + index, 1);
  }

  /**
   * The bucket is one number: the moment when it was empty, in microseconds; what has passed since
   * is what is in it. The wall clock, because threads share no other: a step of it forward fills
   * the bucket once, one back empties it once.
   */
  #takeToken(slot: number, tokens: number, intervalMs: number): boolean {
    for (;;) {
      const seen = Atomics.load(this.#buckets, slot);
      const { admitted, next, isAhead } = this.#bucket(seen, tokens, intervalMs);
      if (!admitted && !isAhead) return false;
      if (Atomics.compareExchange(this.#buckets, slot, seen, BigInt(next)) === seen) return admitted;
    }
  }

  /** `isAhead`: the clock went back since; the bucket begins anew. */
  #bucket(
    seen: bigint,
    tokens: number,
    intervalMs: number,
  ): { readonly admitted: boolean; readonly next: number; readonly isAhead: boolean } {
    const now = Math.round(this.#clock.wall() * 1_000);
    const whole = intervalMs * 1_000;
    const one = whole / tokens;
    const empty = Math.min(now, Math.max(Number(seen), now - whole));
    // Rounded in favour of the client, so that a third of an interval three times is an interval.
    const admitted = now - empty >= Math.floor(one);
    return { admitted, next: admitted ? Math.floor(empty + one) : empty, isAhead: Number(seen) > now };
  }
}

/** The token buckets that a route needs, by the names that their slots go by. */
export function bucketsOf(route: Route): readonly string[] {
  if (route.kind !== 'terminate') return [];
  const requests = (route.http?.rateLimits ?? []).map((_, index) => requestLimitName(route.serverName, index));
  return route.rateLimit === undefined ? requests : [route.serverName, ...requests];
}

/** No server name has a line break. */
function requestLimitName(serverName: string, index: number): string {
  return `${serverName}\n${index}`;
}

function tooManyConnections(cluster: string, limit: number): Full {
  return { limit: 'max-connections', detail: `${cluster} has ${limit} connections open (maxConnections ${limit})` };
}

function tooManyPending(cluster: string, limit: number): Full {
  return { limit: 'max-pending', detail: `${cluster} has ${limit} connections being made (maxPendingRequests ${limit})` };
}

function tooFast(destination: string, tokens: number, intervalMs: number): Full {
  return { limit: 'rate', detail: `${destination} had its ${tokens} new connections in ${intervalMs} ms (rate limit)` };
}

const NO_PLACE: ConnectionPlace = { connected: () => {}, leave: () => {} };

function change(slots: Map<string, number>, { set, removed }: SlotChange): void {
  for (const name of removed) slots.delete(name);
  for (const [name, slot] of set) slots.set(name, slot);
}
