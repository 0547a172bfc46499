import type { Comparison } from './compare.ts';

interface Known {
  readonly path: RegExp;
  readonly reason: string;
}

/** Where this egress differs from Kuma's on purpose. */
export const ON_PURPOSE: readonly Known[] = [
  {
    path: /\.tls\.maxVersion: expected "TLSv1.2", got "TLSv1.3"$/,
    reason: 'TLS 1.3 is spoken to services where nobody forbids it; Envoy as a client stops at 1.2',
  },
  {
    path: /\.endpoints\[\d+\]\.zone: expected "", got ".+"$/,
    reason:
      'an endpoint names the zone of its ingress where the service has no tag for it: it is shown, and counts only where localities are weighted',
  },
  {
    path: /\.healthChecks\[[1-9]\d*\]: expected .*, got nothing$/,
    reason: 'Kuma sends a MeshHealthCheck once for each mesh with mTLS, and Envoy refuses a cluster with two; here it is one',
  },
];

/** What Kuma computes and this egress does not compute yet. An entry that explains nothing any more has to go. */
export const NOT_BUILT_YET: readonly Known[] = [
  { path: /\.cluster\.balancer\./, reason: 'MeshLoadBalancingStrategy: the balancer' },
  { path: /\.endpoints\[\d+\]\.priority: expected [12], got 0$/, reason: 'MeshLoadBalancingStrategy: priorities of other zones' },
  { path: /\.overprovisioningFactor: expected 2, got 1\.4$/, reason: 'MeshLoadBalancingStrategy: the overprovisioning factor' },
  { path: /\.breakers\./, reason: 'MeshCircuitBreaker: limits' },
  { path: /\.outlier: |\.panicThresholdPercent: expected 30\.2, got 50$/, reason: 'MeshCircuitBreaker: outlier detection' },
  { path: /\.rateLimit: expected \{/, reason: 'MeshRateLimit: limits of connections' },
  { path: /\.healthChecks/, reason: 'MeshHealthCheck' },
];

const HTTP_FILTERS = 'what is done to HTTP: a host rewritten, a fault, a limit of requests';

export interface Judged {
  /** Differences that nobody has explained. */
  readonly unexplained: readonly string[];
  /** Reason -> how often. */
  readonly onPurpose: ReadonlyMap<string, number>;
  readonly notBuilt: ReadonlyMap<string, number>;
}

export function judge({ differences, notBuilt }: Comparison): Judged {
  const judged = { unexplained: [] as string[], onPurpose: new Map<string, number>(), notBuilt: new Map<string, number>() };
  const count = (map: Map<string, number>, reason: string): void => {
    map.set(reason, (map.get(reason) ?? 0) + 1);
  };
  for (const line of differences) {
    const [purpose, missing] = [ON_PURPOSE, NOT_BUILT_YET].map((list) => list.find(({ path }) => path.test(line)));
    if (purpose !== undefined) count(judged.onPurpose, purpose.reason);
    else if (missing !== undefined) count(judged.notBuilt, missing.reason);
    else judged.unexplained.push(line);
  }
  for (const line of notBuilt) count(judged.notBuilt, line.includes('.filters: ') ? HTTP_FILTERS : line);
  return judged;
}
