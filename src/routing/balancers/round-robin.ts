import { drawRest, draws, takeAt } from './draws.ts';
import { weighted } from './pool.ts';
import type { OrderBy } from './pool.ts';

/**
 * The golden ratio's fraction. Its multiples fall as evenly over [0, 1) as any sequence can, so no
 * state is kept between turns. They stay even for a pool that sees only every second turn, as when
 * two subsets or priorities alternate; `turn` modulo the number of endpoints would not.
 */
const GOLDEN = 0.618033988749895;

export const roundRobin: OrderBy<{ readonly kind: 'round-robin' }> = ({ weights }, { turn }) => roundRobinOrder(weights, turn);

/**
 * Weighted round robin without state. Returns indexes of `weights` in the order to try: the first
 * is this turn's share, the rest, drawn by weight, are for retries. Weights of 0 are left out. The
 * same turn gives the same order.
 */
export function roundRobinOrder(weights: readonly number[], turn: number): number[] {
  const rest = weighted(weights);
  if (rest.length < 2) return rest;
  let total = 0;
  for (const index of rest) total += weights[index] ?? 0;
  const first = takeAt(rest, weights, fraction((turn + 1) * GOLDEN) * total);
  if (rest.length < 2) return [first, ...rest];
  return [first, ...drawRest(rest, weights, draws(turn))];
}

function fraction(x: number): number {
  return x - Math.floor(x);
}
