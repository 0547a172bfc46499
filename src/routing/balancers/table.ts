import type { Balancer, BalancerKind } from '../../model/cluster.ts';
import { leastRequest } from './least-request.ts';
import { maglev } from './maglev.ts';
import type { OrderBy, PickFacts, Pool } from './pool.ts';
import { random } from './random.ts';
import { ringHash } from './ring-hash.ts';
import { roundRobin } from './round-robin.ts';

interface Policy<Kind extends BalancerKind> {
  readonly orderBy: OrderBy<Extract<Balancer, { kind: Kind }>>;
  /**
   * Consistent hashing builds something for each pool, and goes by the client's hash key down to
   * the priority.
   */
  readonly hashes: boolean;
}

const POLICIES = {
  'round-robin': { orderBy: roundRobin, hashes: false },
  'least-request': { orderBy: leastRequest, hashes: false },
  random: { orderBy: random, hashes: false },
  'ring-hash': { orderBy: ringHash, hashes: true },
  maglev: { orderBy: maglev, hashes: true },
} satisfies { readonly [Kind in BalancerKind]: Policy<Kind> };

export function hashes(balancer: Balancer): boolean {
  return POLICIES[balancer.kind].hashes;
}

/** The pool's indexes in the order to try; see `OrderBy`. */
export function order(pool: Pool, facts: PickFacts, balancer: Balancer): number[] {
  // Kind and settings belong together, which the union of the functions cannot say.
  const orderBy = POLICIES[balancer.kind].orderBy as OrderBy<Balancer>;
  return orderBy(pool, facts, balancer);
}
