import { drawRest, draws, takeAt } from './draws.ts';
import { weighted } from './pool.ts';
import type { OrderBy } from './pool.ts';

/**
 * The golden ratio's fraction: multiples of it fall as evenly over [0, 1) as any sequence can, so
 * no state is needed between turns. It stays even where this pool sees only every second turn, as
 * when two subsets or priorities take turns; `turn` modulo the number of endpoints would not.
 */
const GOLDEN = 0.618033988749895;

export const roundRobin: OrderBy<{ readonly kind: 'round-robin' }> = ({ weights }, { turn }) => roundRobinOrder(weights, turn);

/**
 * Weighted round robin without state: the order in which to try `weights`, as indexes. The first is
 * this turn's share, the rest are for retries, drawn by weight too. Weights of 0 are left out. The
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
