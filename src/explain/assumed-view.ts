import type { Cluster } from '../model/cluster.ts';
import type { EndpointView } from '../model/endpoint-view.ts';

/** An address of the block for documentation (RFC 5737): an explanation dials nothing. */
export const ASSUMED_ADDRESS = '192.0.2.1';

/**
 * Assumes that every name resolves and all endpoints are healthy, where no running egress knows
 * better.
 */
export function assumedView({ endpoints }: Cluster): EndpointView {
  const names = endpoints.flatMap(({ address }) =>
    address.kind === 'name' ? [[address.name, { kind: 'resolved', addresses: [ASSUMED_ADDRESS] }] as const] : [],
  );
  return { turn: 0, draw: 0, names: new Map(names), ownListeners: [], localAddresses: new Set(), allowedResolved: [] };
}
