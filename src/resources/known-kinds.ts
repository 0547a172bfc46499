/**
 * The kinds of Kuma and Kong Mesh up to 2.14: which are read here, and what is said of the others.
 */
const READ: Readonly<Record<ReadKind, KindFacts>> = {
  Mesh: { scope: 'global', style: 'fields', namespaced: false },
  ZoneEgress: { scope: 'global', style: 'fields', namespaced: true },
  ZoneIngress: { scope: 'global', style: 'fields', namespaced: true },
  ExternalService: { scope: 'mesh', style: 'fields', namespaced: false },
  MeshExternalService: { scope: 'mesh', style: 'spec', namespaced: true },
  TrafficPermission: { scope: 'mesh', style: 'fields', namespaced: false },
  MeshTrafficPermission: { scope: 'mesh', style: 'spec', namespaced: true },
  TrafficRoute: { scope: 'mesh', style: 'fields', namespaced: false },
  MeshHTTPRoute: { scope: 'mesh', style: 'spec', namespaced: true },
  MeshTCPRoute: { scope: 'mesh', style: 'spec', namespaced: true },
  MeshGateway: { scope: 'mesh', style: 'fields', namespaced: false },
  MeshGatewayRoute: { scope: 'mesh', style: 'fields', namespaced: false },
  VirtualOutbound: { scope: 'mesh', style: 'fields', namespaced: false },
  MeshCircuitBreaker: { scope: 'mesh', style: 'spec', namespaced: true },
  MeshHealthCheck: { scope: 'mesh', style: 'spec', namespaced: true },
  MeshLoadBalancingStrategy: { scope: 'mesh', style: 'spec', namespaced: true },
  MeshRateLimit: { scope: 'mesh', style: 'spec', namespaced: true },
  MeshFaultInjection: { scope: 'mesh', style: 'spec', namespaced: true },
  MeshService: { scope: 'mesh', style: 'spec', namespaced: true },
  MeshMultiZoneService: { scope: 'mesh', style: 'spec', namespaced: true },
  RateLimit: { scope: 'mesh', style: 'fields', namespaced: false },
  FaultInjection: { scope: 'mesh', style: 'fields', namespaced: false },
  Secret: { scope: 'mesh', style: 'fields', namespaced: false },
  GlobalSecret: { scope: 'global', style: 'fields', namespaced: false },
};

export type ReadKind =
  | 'Mesh'
  | 'ZoneEgress'
  | 'ZoneIngress'
  | 'ExternalService'
  | 'MeshExternalService'
  | 'TrafficPermission'
  | 'MeshTrafficPermission'
  | 'TrafficRoute'
  | 'MeshHTTPRoute'
  | 'MeshTCPRoute'
  | 'MeshGateway'
  | 'MeshGatewayRoute'
  | 'VirtualOutbound'
  | 'MeshCircuitBreaker'
  | 'MeshHealthCheck'
  | 'MeshLoadBalancingStrategy'
  | 'MeshRateLimit'
  | 'MeshFaultInjection'
  | 'MeshService'
  | 'MeshMultiZoneService'
  | 'RateLimit'
  | 'FaultInjection'
  | 'Secret'
  | 'GlobalSecret';

export interface KindFacts {
  readonly scope: 'global' | 'mesh';
  /**
   * Where the fields are in Universal form: beside `type` and `name` (older kinds), or under
   * `spec`.
   */
  readonly style: 'fields' | 'spec';
  /** In Kubernetes. */
  readonly namespaced: boolean;
}

const NO_EFFECT = 'has no effect on a zone egress';
const NOT_APPLIED = 'not applied by Kuma on a zone egress';

const OTHERS: ReadonlyMap<string, string> = new Map([
  ...[
    'CircuitBreaker',
    'HealthCheck',
    'MeshAccessLog',
    'MeshGlobalRateLimit',
    'MeshMetric',
    'MeshOPA',
    'MeshPassthrough',
    'MeshProxyPatch',
    'MeshRetry',
    'MeshTLS',
    'MeshTimeout',
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
    'Dataplane',
    'DataplaneInsight',
    'HostnameGenerator',
    'MeshGatewayConfig',
    'MeshGatewayInstance',
    'MeshIdentity',
    'MeshInsight',
    'MeshOpenTelemetryBackend',
    'MeshTrust',
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
  return Object.hasOwn(READ, name);
}

export function kindNamed(kind: ReadKind): KindFacts {
  return READ[kind];
}

/**
 * What to say of a kind that is Kuma's, but is not read here; undefined for a kind that nobody
 * knows.
 */
export function noteOf(name: string): string | undefined {
  return OTHERS.get(name);
}

export function kindNames(): readonly string[] {
  return [...Object.keys(READ), ...OTHERS.keys()];
}
