import fc from 'fast-check';
import t from 'tap';
import { BALANCING_DEFAULTS } from '../../src/model/cluster.ts';
import type { Balancer, BalancerKind } from '../../src/model/cluster.ts';
import { draws } from '../../src/routing/balancers/draws.ts';
import type { PickFacts, Pool } from '../../src/routing/balancers/pool.ts';
import { order } from '../../src/routing/balancers/table.ts';
import { endpoint } from './endpoints.ts';

const PICKS = 100_000;

/** The promises of each policy beyond the common ones. */
interface Promised {
  readonly settings: Balancer;
  /** Envoy's RANDOM ignores weights. */
  readonly byWeight: boolean;
}

const policies: Readonly<Record<BalancerKind, Promised>> = {
  'round-robin': { settings: { kind: 'round-robin' }, byWeight: true },
  'least-request': { settings: { kind: 'least-request', choiceCount: 2 }, byWeight: true },
  random: { settings: { kind: 'random' }, byWeight: false },
  // A ring is as even as its number of points: with Envoy's 1,024 points shares are off by some
  // percent.
  'ring-hash': {
    settings: { kind: 'ring-hash', minimumRingSize: 65_536, maximumRingSize: 65_536, hashFunction: 'xx-hash' },
    byWeight: true,
  },
  maglev: { settings: { kind: 'maglev', tableSize: BALANCING_DEFAULTS.tableSize }, byWeight: true },
};

function poolOf(weights: readonly number[]): Pool {
  const targets = weights.map((weight, i) => ({
    endpoint: endpoint({ ip: `10.0.${i >> 8}.${i & 255}`, weight }),
    ip: `10.0.${i >> 8}.${i & 255}`,
  }));
  return { targets, weights };
}

/** Makes the facts of one pick among many from the number before. */
function factsAt(turn: number, next: () => number): PickFacts {
  const hashKey = { hi: Math.floor(next() * 2 ** 32), lo: Math.floor(next() * 2 ** 32) };
  return { turn, hashKey, active: null, next: draws(next()) };
}

function sharesOf(pool: Pool, settings: Balancer): number[] {
  const counts = pool.weights.map(() => 0);
  const next = draws(0.5);
  for (let turn = 0; turn < PICKS; turn++) {
    const [first] = order(pool, factsAt(turn, next), settings);
    if (first !== undefined) counts[first]!++;
  }
  return counts.map((count) => count / PICKS);
}

/** Small pools with weights that are 0, usual, or maximal. */
const anyWeights = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 100 }), fc.constant(4_294_967_295)), {
  maxLength: 24,
});
/** A small table: promises for every pool do not depend on its size. */
const smaller: Readonly<Partial<Record<BalancerKind, Balancer>>> = {
  'ring-hash': { kind: 'ring-hash', minimumRingSize: 64, maximumRingSize: 128, hashFunction: 'murmur-hash-2' },
  maglev: { kind: 'maglev', tableSize: 251 },
};

for (const [kind, { settings, byWeight }] of Object.entries(policies) as [BalancerKind, Promised][]) {
  t.test(kind, async (t) => {
    t.test('gives each endpoint its share of 100,000 picks, within 2 %', async (t) => {
      for (const weights of [
        [1, 1],
        [1, 1, 1, 1, 1],
        [90, 10],
        [1, 2, 3, 4],
        [3, 0, 1],
        [1, 4_294_967_295],
      ]) {
        const counted = weights.map((weight) => (byWeight ? weight : Math.min(weight, 1)));
        const total = counted.reduce((sum, weight) => sum + weight, 0);
        for (const [i, share] of sharesOf(poolOf(weights), settings).entries()) {
          const expected = (counted[i] ?? 0) / total;
          t.ok(Math.abs(share - expected) < 0.02, `${weights.join(':')} gives ${i} a share of ${share}, expected ${expected}`);
        }
      }
    });

    t.test('an empty pool gives nothing, a single endpoint is always picked', async (t) => {
      t.strictSame(order(poolOf([]), factsAt(0, draws(0.1)), settings), []);
      t.strictSame(order(poolOf([0, 0]), factsAt(0, draws(0.1)), settings), []);
      t.strictSame(order(poolOf([7]), factsAt(3, draws(0.1)), settings), [0]);
      t.strictSame(order(poolOf([0, 7]), factsAt(3, draws(0.1)), settings), [1]);
    });

    t.test('retries take every other endpoint with a weight once, and none without', async (t) => {
      const property = fc.property(anyWeights, fc.nat(1_000_000), (weights, turn) => {
        const found = order(poolOf(weights), factsAt(turn, draws(turn)), smaller[kind] ?? settings);
        const expected = weights.flatMap((weight, i) => (weight > 0 ? [i] : []));
        return found.toSorted((a, b) => a - b).join() === expected.join();
      });
      const { failed, seed, counterexample } = fc.check(property, { numRuns: 200 });
      t.notOk(failed, `seed ${seed}: ${JSON.stringify(counterexample)}`);
    });

    t.test('the same facts give the same order, also when its tables are built again', async (t) => {
      const weights = [5, 3, 9, 1, 1, 20];
      for (let turn = 0; turn < 50; turn++) {
        const pool = poolOf(weights);
        const one = order(pool, factsAt(turn, draws(turn)), smaller[kind] ?? settings);
        t.strictSame(order(pool, factsAt(turn, draws(turn)), smaller[kind] ?? settings), one);
        t.strictSame(order(poolOf(weights), factsAt(turn, draws(turn)), smaller[kind] ?? settings), one);
      }
    });

    t.test('after an endpoint that is dead, none of the others gets all of its clients', async (t) => {
      const pool = poolOf([1, 1, 1, 1]);
      const next = draws(0.25);
      const second = [0, 0, 0, 0];
      let dead = 0;
      for (let turn = 0; turn < 20_000; turn++) {
        const [first, retry] = order(pool, factsAt(turn, next), settings);
        if (first !== 0 || retry === undefined) continue;
        dead++;
        second[retry]!++;
      }
      for (const count of second.slice(1)) t.ok(Math.abs(count / dead - 1 / 3) < 0.05, `${count} of ${dead}`);
    });
  });
}

t.test('least request takes the endpoint with fewer connections of those it looks at', async (t) => {
  const pool = poolOf([1, 1, 1, 1]);
  const active = new Map(pool.targets.map(({ ip, endpoint: { port } }, i) => [`${ip}:${port}`, i * 10]));
  const counts = [0, 0, 0, 0];
  const next = draws(0.3);
  for (let turn = 0; turn < PICKS; turn++) {
    const facts = { ...factsAt(turn, next), active };
    counts[order(pool, facts, { kind: 'least-request', choiceCount: 2 })[0]!]!++;
  }
  // Of 16 pairs 7 hold the first, 5 the second but not the first, and so on.
  for (const [i, pairs] of [7, 5, 3, 1].entries())
    t.ok(Math.abs(counts[i]! / PICKS - pairs / 16) < 0.02, `${i}: ${counts[i]! / PICKS}`);

  const always = order(pool, { ...factsAt(0, next), active }, { kind: 'least-request', choiceCount: 4_294_967_295 });
  t.equal(always[0], 0, 'with very many choices the best is found, and the thread is not held up');
});

t.test('least request divides unequal weights by the connections, to the power of the bias', async (t) => {
  const pool = poolOf([1, 3]);
  const active = new Map([['10.0.0.1:80', 2]]);
  const share = (activeRequestBias: number): number => {
    let first = 0;
    const next = draws(0.3);
    for (let turn = 0; turn < 20_000; turn++) {
      const facts = { ...factsAt(turn, next), active };
      if (order(pool, facts, { kind: 'least-request', choiceCount: 2, activeRequestBias })[0] === 0) first++;
    }
    return first / 20_000;
  };
  t.ok(Math.abs(share(1) - 1 / 2) < 0.01, '1 against 3 / 3');
  t.ok(Math.abs(share(0) - 1 / 4) < 0.01, 'a bias of 0 does not count connections');
  t.ok(Math.abs(share(2) - 3 / 4) < 0.01, '1 against 3 / 9');
});
