import type { Balancer, BalancerKind, Cluster } from '../../model/cluster.ts';
import type { EndpointView } from '../../model/endpoint-view.ts';
import { leastRequest } from './least-request.ts';
import { maglev } from './maglev.ts';
import type { OrderBy, PickFacts, Pool } from './pool.ts';
import { random } from './random.ts';
import { ringHash } from './ring-hash.ts';
import { roundRobin } from './round-robin.ts';
import { xxHash64 } from './xx-hash-64.ts';

interface Policy<Kind extends BalancerKind> {
  readonly orderBy: OrderBy<Extract<Balancer, { kind: Kind }>>;
  /**
   * True for consistent hashing: it builds a table or a ring for each pool, and picks the priority
   * too by the client's hash key.
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

/**
 * Returns the key of consistent hashing for a client, as Envoy makes it: the hash of its IP address
 * as text. Returns nothing for other balancers, and where the address is not known.
 */
export function hashKeyOf({ balancer }: Cluster, client: string): Pick<EndpointView, 'hashKey'> {
  return balancer !== undefined && hashes(balancer) && client !== '' ? { hashKey: xxHash64(client) } : {};
}

/** Returns the pool's indexes in the order to try; see `OrderBy`. */
export function order(pool: Pool, facts: PickFacts, balancer: Balancer): number[] {
  // A kind and its settings belong together; the union of the functions cannot express that.
  const orderBy = POLICIES[balancer.kind].orderBy as OrderBy<Balancer>;
  return orderBy(pool, facts, balancer);
}
