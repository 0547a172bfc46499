import { isPrime } from '../../base/is-prime.ts';
import type { Balancer } from '../../model/cluster.ts';
import type { Hash64 } from '../../model/endpoint-view.ts';
import { hashedNames, keyOf, weighted } from './pool.ts';
import type { OrderBy, Pool } from './pool.ts';
import { modulo } from './word-64.ts';
import { xxHash64 } from './xx-hash-64.ts';

type Maglev = Extract<Balancer, { kind: 'maglev' }>;

/**
 * The owner of each slot. A table never changes after it is built. Small integers keep it small: 64
 * KiB for up to 256 endpoints.
 */
export type MaglevTable = Uint8Array | Uint16Array | Uint32Array;

const tables = new WeakMap<Pool, MaglevTable>();

/**
 * The most slots that retries look up; endpoints not found by then follow in the order of the list.
 */
const MOST_RETRIES = 16;

/**
 * Envoy's Maglev: the endpoint in the slot of the key, then those in the slots of the keys that
 * Envoy makes for retries.
 */
export const maglev: OrderBy<Maglev> = (pool, facts, settings) => {
  const usable = weighted(pool.weights);
  if (usable.length < 2) return usable;
  let table = tables.get(pool);
  if (table === undefined) tables.set(pool, (table = buildTable(hashedNames(pool), pool.weights, settings.tableSize)));
  const key = keyOf(facts);
  const order = new Set<number>();
  for (let attempt = 0; attempt <= MOST_RETRIES && order.size < usable.length; attempt++) {
    order.add(table[modulo(keyOfAttempt(key, attempt), table.length)] ?? 0);
  }
  for (const index of usable) order.add(index);
  return [...order];
};

/**
 * Builds the table by listing 1 of the paper with Envoy's weights: in each round the heaviest name
 * takes a slot, a lighter one each time its share has grown to one.
 */
export function buildTable(names: readonly string[], weights: readonly number[], size: number): MaglevTable {
  // With a size that is no prime, the walk of a name may never meet a free slot.
  if (size > MOST_SLOTS || !isPrime(size))
    throw new RangeError(`maglev table size ${size}: must be a prime number from 2 to ${MOST_SLOTS}`);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const heaviest = Math.max(...weights) / total;
  const entries = weighted(weights)
    .sort((a, b) => compare(names[a] ?? '', names[b] ?? ''))
    .map((owner) => {
      const name = names[owner] ?? '';
      const slot = modulo(xxHash64(name), size);
      return { owner, slot, skip: modulo(xxHash64(name, 1), size - 1) + 1, weight: (weights[owner] ?? 0) / total, due: 0 };
    });
  const owners = new Int32Array(size).fill(-1);
  let filled = entries.length === 0 ? size : 0;
  for (let round = 1; filled < size; round++) {
    for (const entry of entries) {
      if (filled === size) break;
      if (round * entry.weight < entry.due) continue;
      entry.due += heaviest;
      while ((owners[entry.slot] ?? 0) >= 0) entry.slot = (entry.slot + entry.skip) % size;
      owners[entry.slot] = entry.owner;
      filled++;
    }
  }
  if (names.length <= 0x100) return Uint8Array.from(owners);
  return names.length <= 0x1_0000 ? Uint16Array.from(owners) : Uint32Array.from(owners);
}

/** Envoy's largest table; `modulo` is exact up to 2^23. */
const MOST_SLOTS = 5_000_011;

/**
 * Computes key ^ (2^64 - attempt). Nearly all bits differ, so that a retry seldom picks the same
 * endpoint.
 */
function keyOfAttempt({ hi, lo }: Hash64, attempt: number): Hash64 {
  return attempt === 0 ? { hi, lo } : { hi: ~hi >>> 0, lo: (lo ^ -attempt) >>> 0 };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
