import { weighted } from './pool.ts';
import type { OrderBy } from './pool.ts';

/** Picks every endpoint with the same chance: Envoy's RANDOM ignores weights. */
export const random: OrderBy<{ readonly kind: 'random' }> = ({ weights }, { next }) => {
  const order = weighted(weights);
  for (let i = 0; i < order.length - 1; i++) {
    const j = i + Math.floor(next() * (order.length - i));
    const picked = order[j] ?? 0;
    order[j] = order[i] ?? 0;
    order[i] = picked;
  }
  return order;
};
