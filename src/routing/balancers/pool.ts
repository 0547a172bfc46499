import { addressKey } from '../../model/endpoint-view.ts';
import type { Hash64 } from '../../model/endpoint-view.ts';
import type { Balancer, Cluster } from '../../model/cluster.ts';
import type { Target } from '../candidates.ts';

/** The endpoints that a balancer orders: the usable ones of one priority of one cluster. */
export interface Pool {
  readonly targets: readonly Target[];
  /** One weight for each target; a target of weight 0 takes no traffic. */
  readonly weights: readonly number[];
}

/** Facts that a balancer may use. The same facts give the same order. */
export interface PickFacts {
  readonly turn: number;
  /** Null makes consistent hashing draw a random key. */
  readonly hashKey: Hash64 | null;
  /** Open connections, by `addressKey`; null where they are not counted. */
  readonly active: ReadonlyMap<string, number> | null;
  /** Returns another random number in [0, 1) at each call. */
  readonly next: () => number;
}

/**
 * A balancing policy. Returns indexes of the pool in the order to try: the pick first, then those
 * for retries. It contains each index with a weight above 0 once, and no other.
 */
export type OrderBy<Settings extends Balancer> = (pool: Pool, facts: PickFacts, settings: Settings) => number[];

/** Returns the indexes whose weight is above 0. */
export function weighted(weights: readonly number[]): number[] {
  const indexes: number[] = [];
  for (let i = 0; i < weights.length; i++) if ((weights[i] ?? 0) > 0) indexes.push(i);
  return indexes;
}

/**
 * Names the endpoints for consistent hashing: address and port, as in Envoy. Where two endpoints
 * share an address, the second gets a name of its own (Envoy would have dropped it).
 */
export function hashedNames({ targets }: Pool): string[] {
  const seen = new Map<string, number>();
  return targets.map(({ endpoint, ip }) => {
    const key = addressKey(ip, endpoint.port);
    const times = seen.get(key) ?? 0;
    seen.set(key, times + 1);
    return times === 0 ? key : `${key}#${times}`;
  });
}

/** Returns the client's hash key, or a random key for a client without one. */
export function keyOf({ hashKey, next }: PickFacts): Hash64 {
  return hashKey ?? { hi: Math.floor(next() * 0x1_0000_0000), lo: Math.floor(next() * 0x1_0000_0000) };
}

/**
 * The most pools kept for a cluster. Subsets, priorities and changes of health make several pools
 * out of one cluster.
 */
const POOLS_OF_A_CLUSTER = 32;

const pools = new WeakMap<Cluster, Pool[]>();

/**
 * Returns the pool of before when the content is the same. Tables and rings are stored by the
 * identity of a pool, so they are not built again.
 */
export function samePool(cluster: Cluster, pool: Pool): Pool {
  let known = pools.get(cluster);
  if (known === undefined) pools.set(cluster, (known = []));
  const at = known.findIndex((old) => sameContent(old, pool));
  const found = at < 0 ? pool : (known[at] ?? pool);
  if (at !== 0) {
    if (at > 0) known.splice(at, 1);
    known.unshift(found);
    known.length = Math.min(known.length, POOLS_OF_A_CLUSTER);
  }
  return found;
}

function sameContent(a: Pool, b: Pool): boolean {
  if (a.targets.length !== b.targets.length) return false;
  return a.targets.every((target, i) => {
    const other = b.targets[i];
    return target.endpoint === other?.endpoint && target.ip === other.ip && a.weights[i] === b.weights[i];
  });
}
