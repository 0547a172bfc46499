/** Reads the answer of `/probe`, which may come from another version, or from anything. */
import type { EndpointFinding, FindingKind, ProbedDestination, ProbedEndpoint } from '../model/probed-destination.ts';

/** Returns null for a value that is no such answer. */
export function probedIn(value: unknown): ProbedDestination | null {
  const of = fieldsOf(value);
  const { version, endpoints, kind } = of;
  if (version !== 1 || !Array.isArray(endpoints)) return null;
  return {
    version,
    sni: textIn(of, 'sni'),
    mesh: textIn(of, 'mesh'),
    destination: textIn(of, 'destination'),
    kind: kind === 'passthrough' ? kind : 'terminate',
    endpoints: endpoints.map(endpointIn),
    leftOut: numberIn(of, 'leftOut', 0),
  };
}

function endpointIn(value: unknown): ProbedEndpoint {
  const of = fieldsOf(value);
  return {
    endpoint: textIn(of, 'endpoint'),
    address: textIn(of, 'address'),
    resolveMs: numberIn(of, 'resolveMs', -1),
    connectMs: numberIn(of, 'connectMs', -1),
    tlsMs: numberIn(of, 'tlsMs', -1),
    tls: textIn(of, 'tls'),
    validTo: textIn(of, 'validTo'),
    finding: of['finding'] === null ? null : findingIn(of['finding']),
  };
}

/** A finding that cannot be read is one that is not known here, never a good endpoint. */
function findingIn(value: unknown): EndpointFinding {
  const of = fieldsOf(value);
  const kind = textIn(of, 'kind');
  // A later version may have more kinds.
  return { kind: (kind === '' ? 'tls-failed' : kind) as FindingKind, says: textIn(of, 'says'), write: textIn(of, 'write') };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function textIn(of: Readonly<Record<string, unknown>>, name: string): string {
  const value = of[name];
  return typeof value === 'string' ? value : '';
}

function numberIn(of: Readonly<Record<string, unknown>>, name: string, absent: number): number {
  const value = of[name];
  return typeof value === 'number' ? value : absent;
}
