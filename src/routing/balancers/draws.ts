/**
 * Generates numbers in [0, 1) from a seed (mulberry32), so that the same facts give the same
 * choice. They are even enough for shares of traffic. The seed is a number in [0, 1) or a counter.
 */
export function draws(seed: number): () => number {
  let state = (seed < 1 ? Math.floor(seed * 0x1_0000_0000) : seed) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/**
 * Moves indexes out of `rest` by their weights, until it is empty. After the first few it keeps the
 * order of the list: hardly any session retries that often, and each draw walks the list.
 */
export function drawRest(rest: number[], weights: readonly number[], next: () => number): number[] {
  const order: number[] = [];
  let total = 0;
  for (const index of rest) total += weights[index] ?? 0;
  while (rest.length > 1 && order.length < MOST_DRAWN) {
    const index = takeAt(rest, weights, next() * total);
    total -= weights[index] ?? 0;
    order.push(index);
  }
  for (const index of rest) order.push(index);
  return order;
}

const MOST_DRAWN = 8;

/**
 * Moves the index out of `rest` whose share of the total weight contains the point. `rest` must not
 * be empty.
 */
export function takeAt(rest: number[], weights: readonly number[], point: number): number {
  let at = 0;
  let upTo = weights[rest[0] ?? 0] ?? 0;
  while (point >= upTo && at < rest.length - 1) upTo += weights[rest[++at] ?? 0] ?? 0;
  return rest.splice(at, 1)[0] ?? 0;
}
