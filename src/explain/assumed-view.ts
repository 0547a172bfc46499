import type { Cluster } from '../model/cluster.ts';
import type { EndpointView } from '../model/endpoint-view.ts';

/**
 * Of the block that documents use for examples (RFC 5737): nothing is dialled in an explanation.
 */
export const ASSUMED_ADDRESS = '192.0.2.1';

/**
 * What is assumed of endpoints where no egress runs that would know: every name resolves, all are
 * healthy.
 */
export function assumedView({ endpoints }: Cluster): EndpointView {
  const names = endpoints.flatMap(({ address }) =>
    address.kind === 'name' ? [[address.name, { kind: 'resolved', addresses: [ASSUMED_ADDRESS] }] as const] : [],
  );
  return { turn: 0, draw: 0, names: new Map(names), ownListeners: [], localAddresses: new Set(), allowedResolved: [] };
}
