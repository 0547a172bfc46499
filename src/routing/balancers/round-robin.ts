/** The golden ratio's fraction: multiples of it fall as evenly over [0, 1) as any sequence can, so no state is needed between turns. */
const GOLDEN = 0.618033988749895;

/**
 * Weighted round robin without state: the order in which to try `weights`, as indexes. The first is this turn's share, the rest are for retries,
 * drawn by weight too. Weights of 0 are left out. The same turn gives the same order.
 */
export function roundRobinOrder(weights: readonly number[], turn: number): number[] {
  const rest: number[] = [];
  let total = 0;
  for (const [index, weight] of weights.entries()) {
    if (weight > 0) {
      rest.push(index);
      total += weight;
    }
  }
  const order: number[] = [];
  for (let draw = 1; rest.length > 0; draw++) {
    const at = rest.length === 1 ? 0 : position(rest, weights, fraction((turn + 1) * GOLDEN * draw) * total);
    const [index] = rest.splice(at, 1);
    if (index === undefined) break;
    order.push(index);
    total -= weights[index] ?? 0;
  }
  return order;
}

function position(rest: readonly number[], weights: readonly number[], point: number): number {
  let upTo = 0;
  for (const [at, index] of rest.entries()) {
    upTo += weights[index] ?? 0;
    if (point < upTo) return at;
  }
  return rest.length - 1;
}

function fraction(x: number): number {
  return x - Math.floor(x);
}
