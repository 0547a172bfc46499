import fc from 'fast-check';
import t from 'tap';
import { roundRobinOrder } from '../../src/routing/balancers/round-robin.ts';

function shares(weights: readonly number[], turns: number): number[] {
  const counts = weights.map(() => 0);
  for (let turn = 0; turn < turns; turn++) {
    const first = roundRobinOrder(weights, turn)[0];
    if (first !== undefined) counts[first] = (counts[first] ?? 0) + 1;
  }
  return counts.map((count) => count / turns);
}

t.test('each endpoint gets its weight’s share of the turns, within half a percent', async (t) => {
  for (const weights of [
    [1, 1],
    [1, 1, 1],
    [90, 10],
    [1, 2, 3, 4],
    [1, 1_000_000],
    [3, 0, 1],
  ]) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (const [i, share] of shares(weights, 20_000).entries()) {
      t.ok(Math.abs(share - (weights[i] ?? 0) / total) < 0.005, `${weights.join(':')} gives ${i} a share of ${share}`);
    }
  }
});

t.test('the order holds every endpoint with a weight once, and none without', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(1_000), { maxLength: 12 }), fc.nat(1_000_000), (weights, turn) => {
      const order = roundRobinOrder(weights, turn);
      const expected = weights.flatMap((weight, i) => (weight > 0 ? [i] : []));
      return order.toSorted((a, b) => a - b).join() === expected.join();
    }),
  );
  t.pass('for every list of weights that was tried');
});

t.test('the same turn gives the same order', async (t) => {
  t.strictSame(roundRobinOrder([5, 3, 9], 41), roundRobinOrder([5, 3, 9], 41));
});
