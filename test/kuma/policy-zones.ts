/** Inputs for golden files without any: each zone must produce the content of the file. */

const egress = `type: ZoneEgress
name: egress
zone: zone-1
networking: {address: 192.168.0.1, port: 10002}
`;

const mesh = (name: string): string => `type: Mesh
name: ${name}
mtls: {enabledBackend: ca-1, backends: [{name: ca-1, type: builtin}]}
routing: {zoneEgress: true}
`;

const external = (mesh: string, name: string, protocol = 'tcp'): string => `type: ExternalService
mesh: ${mesh}
name: ${name}
tags: {kuma.io/service: ${name}, kuma.io/protocol: ${protocol}}
networking: {address: "externalservice-1.org:80"}
`;

const meshExternal = (mesh: string): string => `type: MeshExternalService
mesh: ${mesh}
name: external
spec:
  match: {type: HostnameGenerator, port: 9000, protocol: tcp}
  endpoints: [{address: 192.168.0.2, port: 9000}]
`;

const offering = (mesh: string, zone: string, address: string, service: string, tags = ''): string => `type: ZoneIngress
name: ingress-${zone}
zone: ${zone}
networking: {address: ${address}, advertisedAddress: ${address}, port: 8080, advertisedPort: 8080}
availableServices: [{mesh: ${mesh}, instances: 1, tags: {kuma.io/service: ${service}${tags}}}]
`;

const policy = (type: string, mesh: string, spec: string, name = 'policy'): string =>
  `type: ${type}\nmesh: ${mesh}\nname: ${name}\nspec: ${spec}\n`;

const zone = (...documents: readonly string[]): string => [egress, ...documents].join('---\n');

const twoMeshes = [
  mesh('mesh-1'),
  mesh('mesh-2'),
  external('mesh-1', 'external-service-1', 'http'),
  offering('mesh-1', 'zone-2', '10.0.0.254', 'internal-service-1'),
] as const;

export const PERMISSIONS: string = zone(
  ...twoMeshes,
  external('mesh-2', 'external-service-1'),
  policy(
    'MeshTrafficPermission',
    'mesh-1',
    '{from: [{targetRef: {kind: MeshService, name: frontend}, default: {action: Allow}}]}',
  ),
  policy('MeshTrafficPermission', 'mesh-2', '{from: [{targetRef: {kind: Mesh}, default: {action: Allow}}]}'),
);

const to = (conf: string): string =>
  `{targetRef: {kind: Mesh}, to: [{targetRef: {kind: MeshExternalService, name: external}, default: ${conf}}]}`;

const LIMITS =
  'connectionLimits: {maxConnectionPools: 1111, maxConnections: 2222, maxPendingRequests: 3333, maxRequests: 4444, maxRetries: 5555}';
const DETECTORS = `{totalFailures: {consecutive: 12}, gatewayFailures: {consecutive: 91}, localOriginFailures: {consecutive: 3},
  successRate: {minimumHosts: 33, requestVolume: 99, standardDeviationFactor: "1.9"},
  failurePercentage: {minimumHosts: 32, requestVolume: 182, threshold: 80}}`;
const OUTLIER = `outlierDetection: {interval: 10s, baseEjectionTime: 8s, maxEjectionPercent: 88, splitExternalAndLocalErrors: true,
  healthyPanicThreshold: "30.2", detectors: ${DETECTORS}}`;

export const BREAKERS: string = zone(
  mesh('default'),
  mesh('mesh2'),
  meshExternal('default'),
  meshExternal('mesh2'),
  policy('MeshCircuitBreaker', 'default', to(`{${LIMITS}, ${OUTLIER}}`)),
  policy('MeshCircuitBreaker', 'mesh2', to(`{${LIMITS}}`)),
);

const TCP = 'tcp: {send: cGluZwo=, receive: [cG9uZwo=]}';

export const HEALTH_CHECKS: string = zone(
  mesh('default'),
  mesh('mesh2'),
  meshExternal('default'),
  meshExternal('mesh2'),
  policy('MeshHealthCheck', 'default', to(`{interval: 11s, timeout: 99s, unhealthyThreshold: 7, healthyThreshold: 77, ${TCP}}`)),
  policy('MeshHealthCheck', 'mesh2', to(`{interval: 55s, timeout: 5s, unhealthyThreshold: 122, healthyThreshold: 311, ${TCP}}`)),
);

const failover = (zone: string): string => `{from: {zones: [zone-1]}, to: {type: Only, zones: [${zone}]}}`;

/** An egress has no endpoint of its own zone, so that one of the golden file is left out. */
export const PRIORITIES: string = zone(
  mesh('mesh-1'),
  offering('mesh-1', 'zone-2', '192.168.1.2', 'eds-cluster', ', kuma.io/protocol: http, kuma.io/zone: zone-2'),
  offering('mesh-1', 'zone-3', '192.168.1.3', 'eds-cluster', ', kuma.io/protocol: http, kuma.io/zone: zone-3'),
  policy(
    'MeshLoadBalancingStrategy',
    'mesh-1',
    `{targetRef: {kind: Mesh}, to: [{targetRef: {kind: MeshService, name: eds-cluster}, default: {localityAwareness: {disabled: false, crossZone: {failover: [${failover('zone-2')}, ${failover('zone-3')}]}}}}]}`,
  ),
);

const limited = (service: string, conf: string): string =>
  `{targetRef: {kind: MeshService, name: ${service}}, from: [{targetRef: {kind: Mesh}, default: {local: ${conf}}}]}`;
const REQUESTS = '{http: {requestRate: {num: 100, interval: 10s}}}';
const CONNECTIONS = '{tcp: {connectionRate: {num: 22, interval: 22s}}}';

export const RATE_LIMITS: string = zone(
  ...twoMeshes,
  external('mesh-1', 'external-service-2'),
  external('mesh-2', 'external-service-1'),
  external('mesh-2', 'external-service-2', 'http'),
  policy('MeshRateLimit', 'mesh-1', limited('external-service-1', REQUESTS)),
  policy('MeshRateLimit', 'mesh-2', limited('external-service-1', CONNECTIONS), 'connections'),
  policy('MeshRateLimit', 'mesh-2', limited('external-service-2', REQUESTS), 'requests'),
);

const fault =
  '{http: [{abort: {httpStatus: 444, percentage: "12"}, delay: {value: 55s, percentage: 55}, responseBandwidth: {limit: 111Mbps, percentage: "62.9"}}]}';

export const FAULTS: string = zone(
  ...twoMeshes,
  external('mesh-1', 'external-service-2'),
  external('mesh-2', 'external-service-1'),
  external('mesh-2', 'external-service-2', 'http'),
  policy(
    'MeshFaultInjection',
    'mesh-1',
    `{targetRef: {kind: MeshService, name: external-service-1}, from: [{targetRef: {kind: MeshService, name: frontend}, default: ${fault}}]}`,
  ),
  policy(
    'MeshFaultInjection',
    'mesh-2',
    `{targetRef: {kind: MeshService, name: external-service-2}, from: [{targetRef: {kind: Mesh}, default: ${fault}}]}`,
  ),
);
