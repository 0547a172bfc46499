import { BALANCING_DEFAULTS } from '../../model/cluster.ts';
import type { Balancer } from '../../model/cluster.ts';
import { addressKey } from '../../model/endpoint-view.ts';
import { weighted } from './pool.ts';
import type { OrderBy, PickFacts, Pool } from './pool.ts';
import { roundRobinOrder } from './round-robin.ts';

type LeastRequest = Extract<Balancer, { kind: 'least-request' }>;

/**
 * The most endpoints that are compared. More comparisons cost time and do not change the choice.
 */
const MOST_CHOICES = 100;

/**
 * With equal weights, draws a few endpoints at random and picks the one with the fewest open
 * connections, as Envoy's power of N choices. With other weights, runs weighted round robin over
 * weight / (open connections + 1) ^ bias.
 */
export const leastRequest: OrderBy<LeastRequest> = (pool, facts, settings) => {
  const { weights } = pool;
  const rest = weighted(weights);
  if (rest.length < 2) return rest;
  const active = activeOf(pool, facts);
  const [first = 0] = rest;
  if (rest.some((index) => weights[index] !== weights[first])) {
    const bias = settings.activeRequestBias ?? BALANCING_DEFAULTS.activeRequestBias;
    return roundRobinOrder(
      weights.map((weight, i) => weight / ((active[i] ?? 0) + 1) ** bias),
      facts.turn,
    );
  }
  const order: number[] = [];
  while (rest.length > 0) {
    const at = rest.length === 1 ? 0 : leastOf(rest, active, { looks: settings.choiceCount, next: facts.next });
    order.push(rest[at] ?? 0);
    rest[at] = rest[rest.length - 1] ?? 0;
    rest.pop();
  }
  return order;
};

/** Draws places in `rest` with replacement and returns the best; the first drawn among equals. */
function leastOf(rest: readonly number[], active: readonly number[], by: { looks: number; next: () => number }): number {
  let best = Math.floor(by.next() * rest.length);
  for (let look = 1; look < Math.min(by.looks, MOST_CHOICES); look++) {
    const at = Math.floor(by.next() * rest.length);
    if ((active[rest[at] ?? 0] ?? 0) < (active[rest[best] ?? 0] ?? 0)) best = at;
  }
  return best;
}

function activeOf({ targets }: Pool, { active }: PickFacts): number[] {
  return targets.map(({ endpoint, ip }) => active?.get(addressKey(ip, endpoint.port)) ?? 0);
}
