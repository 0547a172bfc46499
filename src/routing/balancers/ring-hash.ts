import type { Balancer } from '../../model/cluster.ts';
import type { Hash64 } from '../../model/endpoint-view.ts';
import { murmurHash2 } from './murmur-hash-2.ts';
import { hashedNames, keyOf, weighted } from './pool.ts';
import type { OrderBy, Pool } from './pool.ts';
import { xxHash64 } from './xx-hash-64.ts';

type RingHash = Extract<Balancer, { kind: 'ring-hash' }>;

/** Points in ascending order, with their owners. A ring never changes after it is built. */
export interface Ring {
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
  readonly owners: Uint32Array;
}

/**
 * The most points of a ring. Settings may ask for 8 million points, which would stop the thread for
 * more than 10 s; 65,536 take 0.13 s on Node 24. A larger ring is scaled down as Envoy does at its
 * own maximum.
 */
const MOST_POINTS = 65_536;

const rings = new WeakMap<Pool, Ring>();

/**
 * Envoy's ketama ring: the endpoint that owns the next point at or after the key, then the owners
 * of the points that follow.
 */
export const ringHash: OrderBy<RingHash> = (pool, facts, settings) => {
  const usable = weighted(pool.weights);
  if (usable.length < 2) return usable;
  let ring = rings.get(pool);
  if (ring === undefined) rings.set(pool, (ring = buildRing(hashedNames(pool), pool.weights, settings)));
  return walk(ring, { from: pointFor(ring, keyOf(facts)), usable });
};

/**
 * Gives each name as many points as its weight's share of the ring; the lightest name gets a whole
 * number of them.
 */
export function buildRing(names: readonly string[], weights: readonly number[], settings: RingHash): Ring {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const lightest = Math.min(...weights.filter((weight) => weight > 0)) / total;
  const scaled = Math.ceil(lightest * settings.minimumRingSize) / lightest;
  const scale = Math.min(scaled, settings.maximumRingSize, MOST_POINTS);
  const hash = settings.hashFunction === 'murmur-hash-2' ? murmurHash2 : xxHash64;
  const hi: number[] = [];
  const lo: number[] = [];
  const owners: number[] = [];
  // Running sums keep the fractions of points that each name is still owed.
  let target = 0;
  for (const [owner, name] of names.entries()) {
    target += scale * ((weights[owner] ?? 0) / total);
    for (let i = 0; owners.length < target; i++) {
      const point = hash(`${name}_${i}`);
      hi.push(point.hi);
      lo.push(point.lo);
      owners.push(owner);
    }
  }
  const sorted = Uint32Array.from(owners.keys()).sort((a, b) => (hi[a] ?? 0) - (hi[b] ?? 0) || (lo[a] ?? 0) - (lo[b] ?? 0));
  return { hi: sorted.map((i) => hi[i] ?? 0), lo: sorted.map((i) => lo[i] ?? 0), owners: sorted.map((i) => owners[i] ?? 0) };
}

/** Finds the first point at or after the key; the first point follows the last. */
export function pointFor({ hi, lo }: Ring, key: Hash64): number {
  let low = 0;
  let high = hi.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const top = hi[middle] ?? 0;
    if (top < key.hi || (top === key.hi && (lo[middle] ?? 0) < key.lo)) low = middle + 1;
    else high = middle;
  }
  return low === hi.length ? 0 : low;
}

/**
 * The most steps along a ring for retries; endpoints not met by then follow in the order of the
 * list.
 */
const MOST_STEPS = 1_024;

function walk({ owners }: Ring, to: { from: number; usable: readonly number[] }): number[] {
  const order = new Set<number>();
  const steps = Math.min(owners.length, MOST_STEPS);
  for (let step = 0; step < steps && order.size < to.usable.length; step++) {
    order.add(owners[(to.from + step) % owners.length] ?? 0);
  }
  for (const index of to.usable) order.add(index);
  return [...order];
}
