/**
 * The kinds of Kuma and Kong Mesh up to 2.14: those that are read, and a note for each other one.
 */
import * as registered from './kinds.ts';
import type { AnyKind } from './kinds/kind.ts';

export const KINDS: typeof registered = registered satisfies Readonly<Record<string, AnyKind>>;

export type ReadKind = keyof typeof KINDS;

const NO_EFFECT = 'has no effect on a zone egress';
const NOT_APPLIED = 'not applied by Kuma on a zone egress';

const OTHERS: ReadonlyMap<string, string> = new Map([
  ...[
    'CircuitBreaker',
    'HealthCheck',
    'MeshGlobalRateLimit',
    'MeshMetric',
    'MeshOPA',
    'MeshPassthrough',
    'MeshProxyPatch',
    'MeshRetry',
    'MeshTLS',
    'MeshTrace',
    'OPAPolicy',
    'ProxyTemplate',
    'Retry',
    'Timeout',
    'TrafficLog',
    'TrafficTrace',
  ].map((kind) => [kind, NOT_APPLIED] as const),
  ...[
    'ContainerPatch',
    'DataplaneInsight',
    'HostnameGenerator',
    'MeshGatewayConfig',
    'MeshGatewayInstance',
    'MeshInsight',
    'MeshOpenTelemetryBackend',
    'MeshZoneAddress',
    'ServiceInsight',
    'Workload',
    'Zone',
    'ZoneEgressInsight',
    'ZoneIngressInsight',
    'ZoneInsight',
  ].map((kind) => [kind, NO_EFFECT] as const),
]);

export function isReadKind(name: string): name is ReadKind {
  return Object.hasOwn(KINDS, name);
}

/** Returns why a kind of Kuma is not read; undefined for a name that is no kind of Kuma. */
export function noteOf(name: string): string | undefined {
  return OTHERS.get(name);
}

export function kindNames(): readonly string[] {
  return [...Object.keys(KINDS), ...OTHERS.keys()];
}
