import type { Comparison } from './compare.ts';

interface Known {
  readonly path: RegExp;
  readonly reason: string;
}

/**
 * Intended differences between this egress and Kuma's. An entry that explains nothing any more has
 * to go.
 */
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

export interface Judged {
  /** Differences without an explanation. */
  readonly unexplained: readonly string[];
  /** Reason -> number of differences. */
  readonly onPurpose: ReadonlyMap<string, number>;
  readonly notBuilt: ReadonlyMap<string, number>;
}

export function judge({ differences, notBuilt }: Comparison): Judged {
  const judged = { unexplained: [] as string[], onPurpose: new Map<string, number>(), notBuilt: new Map<string, number>() };
  const count = (map: Map<string, number>, reason: string): void => {
    map.set(reason, (map.get(reason) ?? 0) + 1);
  };
  for (const line of differences) {
    const purpose = ON_PURPOSE.find(({ path }) => path.test(line));
    if (purpose === undefined) judged.unexplained.push(line);
    else count(judged.onPurpose, purpose.reason);
  }
  for (const line of notBuilt) count(judged.notBuilt, line);
  return judged;
}
