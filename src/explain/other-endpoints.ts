import type { Endpoint } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Decision } from '../routing/decide.ts';

const MAX_NAMED = 3;

/**
 * Returns how a session that passes as before would reach another endpoint; null where it would
 * not. The address of a name is compared only by its port: what the name resolves to now is not
 * known here.
 */
export function endpointChange(
  record: SessionRecord,
  { route, targets }: Extract<Decision, { kind: 'allowed' }>,
  isUnknown: boolean,
): string | null {
  if (route.destination !== record.destination || route.mesh !== record.mesh)
    return `went to ${record.destination} of mesh ${record.mesh}, goes to ${route.destination} of mesh ${route.mesh} now`;
  if (isUnknown || record.endpoint === '') return null;
  const endpoints = [...new Set(targets.map(({ endpoint }) => endpoint))];
  const same = endpoints.filter((endpoint) => mayBe(endpoint, record.endpoint));
  if (same.length === 0) {
    const named = endpoints.slice(0, MAX_NAMED).map(endpointName);
    const more = endpoints.length > named.length ? ` and ${endpoints.length - named.length} more` : '';
    return `went to ${record.endpoint}, goes to ${named.join(', ')}${more} now`;
  }
  // The use of TLS is known only for a connection that was made.
  if (record.connectMs < 0) return null;
  if (record.endpointTls && same.every(({ tls }) => tls === null))
    return `${record.endpoint} was spoken to in TLS, and is in plain text now`;
  if (!record.endpointTls && same.every(({ tls }) => tls !== null))
    return `${record.endpoint} was spoken to in plain text, and is in TLS now`;
  return null;
}

function mayBe({ address, port }: Endpoint, used: string): boolean {
  return address.kind === 'ip' ? addressKey(address.ip, port) === used : used.endsWith(`:${port}`);
}

/** As an operator wrote it: `10.0.0.1:443`, `api.example.com:443`. */
export function endpointName({ address, port }: Endpoint): string {
  return address.kind === 'ip' ? addressKey(address.ip, port) : `${address.name}:${port}`;
}
