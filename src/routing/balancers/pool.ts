import { addressKey } from '../../model/endpoint-view.ts';
import type { Hash64 } from '../../model/endpoint-view.ts';
import type { Balancer, Cluster } from '../../model/cluster.ts';
import type { Target } from '../candidates.ts';

/** The endpoints that a balancer orders: the usable ones of one priority of one cluster. */
export interface Pool {
  readonly targets: readonly Target[];
  /** One for each target; what has 0 takes no traffic. */
  readonly weights: readonly number[];
}

/** What a balancer may go by. The same facts give the same order. */
export interface PickFacts {
  readonly turn: number;
  /** Null: hash at random. */
  readonly hashKey: Hash64 | null;
  /** Open connections, by `addressKey`; null where nobody counts. */
  readonly active: ReadonlyMap<string, number> | null;
  /** Random numbers in [0, 1), each another. */
  readonly next: () => number;
}

/**
 * One balancing policy: the pool's indexes in the order to try, the pick first, then what a retry
 * takes. Each index with a weight above 0 once, no other.
 */
export type OrderBy<Settings extends Balancer> = (pool: Pool, facts: PickFacts, settings: Settings) => number[];

/** The indexes that may be picked. */
export function weighted(weights: readonly number[]): number[] {
  const indexes: number[] = [];
  for (let i = 0; i < weights.length; i++) if ((weights[i] ?? 0) > 0) indexes.push(i);
  return indexes;
}

/**
 * What consistent hashing places: address and port, as in Envoy. Where two endpoints share an
 * address the second is placed apart from the first (Envoy would have dropped it).
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

/** A key of its own for whoever brings none. */
export function keyOf({ hashKey, next }: PickFacts): Hash64 {
  return hashKey ?? { hi: Math.floor(next() * 0x1_0000_0000), lo: Math.floor(next() * 0x1_0000_0000) };
}

/**
 * Subsets, priorities and changes of health make several pools out of one cluster; the last ones
 * are kept.
 */
const POOLS_OF_A_CLUSTER = 32;

const pools = new WeakMap<Cluster, Pool[]>();

/**
 * The pool of before, where its content is the same: what is built for a pool hangs on its
 * identity, and is not built again.
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
