/**
 * Limits per cluster and per route for the whole process: counters and token buckets in memory that
 * all data sides share. The control side assigns a slot to each cluster and route. One without a
 * slot is not limited; that happens only while a change removes it.
 */
import type { Clock } from '../base/clock.ts';
import { takeToken } from '../base/token-bucket.ts';
import type { BucketTake } from '../base/token-bucket.ts';
import { BREAKER_DEFAULTS } from '../model/cluster.ts';
import type { Cluster } from '../model/cluster.ts';
import type { RequestRateLimit } from '../model/http-route.ts';
import type { SlotChange } from '../model/messages.ts';
import type { Route } from '../model/route.ts';
import type { BreakerLimit } from '../model/session-record.ts';

/** The most clusters, plus routes with a rate limit. Untouched pages take no memory. */
export const SLOTS = 65_536;
/** Counts connections, connections being made, requests, and retries. */
const COUNTERS = 4;
const CONNECTIONS = 0;
const PENDING = 1;
/** Index of the counter of HTTP requests in progress. */
const REQUESTS = 2;
/** Index of the counter of requests that are sent a second time. */
const RETRIES = 3;

/**
 * Memory for the buckets, then for the counters of the whole process, then for those of each data
 * side, so that the places of a dead one can be returned.
 */
export function breakerMemory(sides: number): SharedArrayBuffer {
  const buckets = SLOTS * BigInt64Array.BYTES_PER_ELEMENT;
  return new SharedArrayBuffer(buckets + SLOTS * COUNTERS * Int32Array.BYTES_PER_ELEMENT * (1 + sides));
}

/** A place taken in a cluster. It may be left twice. */
export interface ConnectionPlace {
  /** Call it when the connection is made. */
  connected(): void;
  leave(): void;
}

export interface Full {
  readonly limit: BreakerLimit;
  /** One sentence. */
  readonly detail: string;
}

export class Breakers {
  readonly #clock: Clock;
  readonly #buckets: BigInt64Array;
  readonly #counts: Int32Array;
  /** Offset of this side's own counters. */
  readonly #mine: number;
  readonly #clusters = new Map<string, number>();
  readonly #routes = new Map<string, number>();

  /** `side` is the number of the data side that counts. */
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
   * Takes a place for one connection of a cluster, or returns the open breaker. `over` also takes
   * one above the limit of connections.
   */
  enter(cluster: Cluster, over = false): ConnectionPlace | Full {
    const slot = this.#clusters.get(cluster.name);
    if (slot === undefined) return NO_PLACE;
    const { maxConnections = BREAKER_DEFAULTS.maxConnections, maxPendingRequests = BREAKER_DEFAULTS.maxPendingRequests } =
      cluster.circuitBreaker ?? BREAKER_DEFAULTS;
    if (!this.#enter(slot, CONNECTIONS, over ? Infinity : maxConnections)) {
      return tooManyConnections(cluster.name, maxConnections);
    }
    if (!this.#enter(slot, PENDING, maxPendingRequests)) {
      this.#leave(slot, CONNECTIONS);
      return tooManyPending(cluster.name, maxPendingRequests);
    }
    return new TakenPlace(this, slot);
  }

  /**
   * Takes a place for one request of a cluster. Returns the function that leaves it, which may be
   * called twice; null where all places are taken.
   */
  enterRequest(cluster: Cluster): (() => void) | null {
    return this.#place(cluster, REQUESTS, cluster.circuitBreaker?.maxRequests ?? BREAKER_DEFAULTS.maxRequests);
  }

  /** Takes a place for a request that waits because no connection may be made. */
  enterPending(cluster: Cluster): (() => void) | null {
    return this.#place(cluster, PENDING, cluster.circuitBreaker?.maxPendingRequests ?? BREAKER_DEFAULTS.maxPendingRequests);
  }

  /** Takes a place for a request that is sent a second time. */
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
   * Takes a token for a request of a route from the limit at this place of its list; false where
   * none is left.
   */
  admitRequest(route: Route, { requests, intervalMs }: RequestRateLimit, index: number): boolean {
    const slot = this.#routes.get(requestLimitName(route.serverName, index));
    return slot === undefined || this.#takeToken(slot, requests, intervalMs);
  }

  /** Takes a token for a new connection of a route; null where it got one or needs none. */
  admit(route: Route): Full | null {
    if (route.kind !== 'terminate' || route.rateLimit === undefined) return null;
    const { connections, intervalMs } = route.rateLimit;
    const slot = this.#routes.get(route.serverName);
    if (slot === undefined || this.#takeToken(slot, connections, intervalMs)) return null;
    return tooFast(route.destination, connections, intervalMs);
  }

  /** Returns what `enter` would return now; takes no place. */
  wouldEnter(cluster: Cluster): Full | null {
    const { connections, pending } = this.counts(cluster.name);
    const { maxConnections, maxPendingRequests } = { ...BREAKER_DEFAULTS, ...cluster.circuitBreaker };
    if (!this.#clusters.has(cluster.name)) return null;
    if (connections >= maxConnections) return tooManyConnections(cluster.name, maxConnections);
    return pending >= maxPendingRequests ? tooManyPending(cluster.name, maxPendingRequests) : null;
  }

  /** Returns what `admit` would return now; takes no token. */
  wouldAdmit(route: Route): Full | null {
    if (route.kind !== 'terminate' || route.rateLimit === undefined) return null;
    const slot = this.#routes.get(route.serverName);
    if (slot === undefined) return null;
    const { connections, intervalMs } = route.rateLimit;
    const { admitted } = this.#bucket(Atomics.load(this.#buckets, slot), connections, intervalMs);
    return admitted ? null : tooFast(route.destination, connections, intervalMs);
  }

  /**
   * Counts, in the whole process, the connections of a cluster, those being made, and the HTTP
   * requests in progress.
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

  /** Tells whether no place is held in the slot, so that it may be assigned again. */
  isFree(slot: number): boolean {
    return [CONNECTIONS, PENDING, REQUESTS, RETRIES].every((counter) => this.#count(slot, counter) === 0);
  }

  /** Fills the bucket for the next route that gets the slot. */
  refill(slot: number): void {
    Atomics.store(this.#buckets, slot, 0n);
  }

  /** Returns the places of a data side that died. */
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

  /** For the place itself. */
  leave(slot: number, counter: typeof CONNECTIONS | typeof PENDING): void {
    this.#leave(slot, counter);
  }

  #leave(slot: number, counter: number): void {
    const index = slot * COUNTERS + counter;
    Atomics.sub(this.#counts, index, 1);
    Atomics.sub(this.#counts, this.#mine + index, 1);
  }

  /**
   * Uses the wall clock, the only clock that threads share: a step forward fills the bucket once, a
   * step back empties it once.
   */
  #takeToken(slot: number, tokens: number, intervalMs: number): boolean {
    for (;;) {
      const seen = Atomics.load(this.#buckets, slot);
      const { admitted, next, isAhead } = this.#bucket(seen, tokens, intervalMs);
      if (!admitted && !isAhead) return false;
      if (Atomics.compareExchange(this.#buckets, slot, seen, BigInt(next)) === seen) return admitted;
    }
  }

  #bucket(seen: bigint, tokens: number, intervalMs: number): BucketTake {
    return takeToken(Number(seen), { wallMs: this.#clock.wall(), tokens, intervalMs });
  }
}

class TakenPlace implements ConnectionPlace {
  readonly #breakers: Breakers;
  readonly #slot: number;
  #pending = true;
  #open = true;

  constructor(breakers: Breakers, slot: number) {
    this.#breakers = breakers;
    this.#slot = slot;
  }

  connected(): void {
    if (this.#pending) this.#breakers.leave(this.#slot, PENDING);
    this.#pending = false;
  }

  leave(): void {
    this.connected();
    if (this.#open) this.#breakers.leave(this.#slot, CONNECTIONS);
    this.#open = false;
  }
}

/** Names the token buckets of a route; their slots are assigned by these names. */
export function bucketsOf(route: Route): readonly string[] {
  if (route.kind !== 'terminate') return [];
  const requests = (route.http?.rateLimits ?? []).map((_, index) => requestLimitName(route.serverName, index));
  return route.rateLimit === undefined ? requests : [route.serverName, ...requests];
}

/** A server name never contains a line break, so it separates the two parts. */
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
