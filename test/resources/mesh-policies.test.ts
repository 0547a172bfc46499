import t from 'tap';
import type { Cluster } from '../../src/model/cluster.ts';
import type { Compiled } from '../../src/model/compiled.ts';
import * as KINDS from '../../src/resources/kinds.ts';
import {
  compileTexts,
  compileZone,
  EGRESS,
  external,
  lines,
  linesOf,
  MESH,
  snapshotOf,
  terminated,
} from './fixtures/compiling.ts';

const ALLOW = `type: TrafficPermission
mesh: default
name: allow
sources: [{match: {kuma.io/service: '*'}}]
destinations: [{match: {kuma.io/service: '*'}}]
`;

function mes(name: string, protocol = 'tcp', more = ''): string {
  return `type: MeshExternalService
mesh: default
name: ${name}
${more}spec:
  match: {type: HostnameGenerator, port: 9000, protocol: ${protocol}}
  endpoints: [{address: 10.9.9.9, port: 80}]
`;
}

function policy(kind: string, name: string, spec: string, more = ''): string {
  return `type: ${kind}\nmesh: default\nname: ${name}\n${more}spec: ${spec}\n`;
}

const limits = (max: number, to = '{kind: Mesh}'): string =>
  `{to: [{targetRef: ${to}, default: {connectionLimits: {maxConnections: ${max}}}}]}`;

function clusterOf(compiled: Compiled, name: string): Cluster {
  const cluster = snapshotOf(compiled).clusters.get(name);
  if (cluster === undefined) throw new Error(`no ${name}; there are ${[...snapshotOf(compiled).clusters.keys()].join(' ')}`);
  return cluster;
}

const ofMes = (compiled: Compiled, name = 'm'): Cluster => clusterOf(compiled, `default_${name}___extsvc_9000`);

t.test('MeshCircuitBreaker: limits of a MeshExternalService; those that are Envoy’s own are left out', async (t) => {
  const all = '{maxConnections: 20, maxConnectionPools: 5, maxPendingRequests: 1024, maxRequests: 7, maxRetries: 3}';
  const spec = `{to: [{targetRef: {kind: MeshExternalService, name: m}, default: {connectionLimits: ${all}}}]}`;
  const compiled = compileZone(mes('m'), mes('other'), policy('MeshCircuitBreaker', 'p', spec));
  t.same(ofMes(compiled).circuitBreaker, { maxConnections: 20, maxConnectionPools: 5, maxRequests: 7 });
  t.notOk('circuitBreaker' in ofMes(compiled, 'other'), 'a service that it does not name has Envoy’s limits');
});

t.test('MeshCircuitBreaker: an ExternalService is not its business', async (t) => {
  const compiled = compileZone(external('es'), ALLOW, policy('MeshCircuitBreaker', 'p', limits(20)));
  t.notOk('circuitBreaker' in clusterOf(compiled, 'default:es'));
  t.match(lines(compiled), [/MeshCircuitBreaker p: selects nothing on this egress: here it is about MeshExternalServices only/]);
});

t.test('MeshCircuitBreaker: a detector is on with its setting and off without, and disabled is disabled', async (t) => {
  const outlier = (more: string): string =>
    `{to: [{targetRef: {kind: Mesh}, default: {outlierDetection: {interval: 1s, ${more}detectors: {localOriginFailures: {consecutive: 2}, successRate: {standardDeviationFactor: "1.9"}}}}}]}`;
  const compiled = compileZone(mes('m'), policy('MeshCircuitBreaker', 'p', outlier('healthyPanicThreshold: "30.2", ')));
  t.match(ofMes(compiled), {
    panicThresholdPercent: 30.2,
    outlierDetection: {
      intervalMs: 1_000,
      baseEjectionMs: 30_000,
      splitLocalErrors: false,
      consecutiveLocalFailures: { threshold: 2, enforcing: 100 },
      consecutiveTotalFailures: { threshold: 5, enforcing: 0 },
      consecutiveGatewayFailures: { threshold: 5, enforcing: 0 },
      successRate: { threshold: 1_900, minimumHosts: 5, enforcing: 100 },
      failurePercentage: { enforcing: 0 },
    },
  });
  const off = compileZone(mes('m'), policy('MeshCircuitBreaker', 'p', outlier('disabled: true, healthyPanicThreshold: 3, ')));
  t.notOk('outlierDetection' in ofMes(off));
  t.notOk('panicThresholdPercent' in ofMes(off));
});

t.test('several policies are merged field by field: the one that names the service wins over one for the mesh', async (t) => {
  const named = policy('MeshCircuitBreaker', 'a', limits(20, '{kind: MeshExternalService, name: m}'));
  const spec = '{to: [{targetRef: {kind: Mesh}, default: {connectionLimits: {maxConnections: 30, maxPendingRequests: 31}}}]}';
  const compiled = compileZone(mes('m'), mes('other'), named, policy('MeshCircuitBreaker', 'b', spec));
  t.same(ofMes(compiled).circuitBreaker, { maxConnections: 20, maxPendingRequests: 31 });
  t.same(ofMes(compiled, 'other').circuitBreaker, { maxConnections: 30, maxPendingRequests: 31 });
});

t.test('of equal policies the one whose name sorts first wins', async (t) => {
  const [a, b] = [policy('MeshCircuitBreaker', 'a', limits(20)), policy('MeshCircuitBreaker', 'b', limits(30))];
  for (const texts of [
    [a, b],
    [b, a],
  ]) {
    t.equal(ofMes(compileZone(mes('m'), ...texts)).circuitBreaker?.maxConnections, 20);
  }
});

t.test('a policy of the zone wins over one of the global control plane, and what it targets on top only orders it', async (t) => {
  const global = policy('MeshCircuitBreaker', 'a', limits(20), 'labels: {kuma.io/origin: global}\n');
  const zone = policy('MeshCircuitBreaker', 'b', limits(30), 'labels: {kuma.io/origin: zone}\n');
  t.equal(ofMes(compileZone(mes('m'), global, zone)).circuitBreaker?.maxConnections, 30);
  const subset = limits(40).replace('{to', '{targetRef: {kind: MeshSubset, tags: {team: x}}, to');
  t.equal(ofMes(compileZone(mes('m'), zone, policy('MeshCircuitBreaker', 'z', subset))).circuitBreaker?.maxConnections, 40);
});

t.test('the policy that Kuma makes with a mesh takes part, unless the mesh asks for none', async (t) => {
  const behind = policy('MeshCircuitBreaker', 'z', limits(20));
  const before = policy('MeshCircuitBreaker', 'a', limits(20));
  const skip = MESH.replace('name: default\n', "name: default\nskipCreatingInitialPolicies: ['*']\n");
  t.notOk('circuitBreaker' in ofMes(compileZone(mes('m'), behind)), 'its 1024 counts: its name sorts first');
  t.equal(ofMes(compileZone(mes('m'), before)).circuitBreaker?.maxConnections, 20);
  t.equal(ofMes(compileTexts([EGRESS, skip, mes('m'), behind])).circuitBreaker?.maxConnections, 20);
  const skipOne = MESH.replace('name: default\n', 'name: default\nskipCreatingInitialPolicies: [MeshCircuitBreaker]\n');
  t.equal(ofMes(compileTexts([EGRESS, skipOne, mes('m'), behind])).circuitBreaker?.maxConnections, 20, 'not of this kind');
  const skipOther = MESH.replace('name: default\n', 'name: default\nskipCreatingInitialPolicies: [MeshTimeout]\n');
  t.notOk('circuitBreaker' in ofMes(compileTexts([EGRESS, skipOther, mes('m'), behind])), 'not of another');
  const own = policy('MeshCircuitBreaker', 'mesh-circuit-breaker-all-default', limits(7));
  t.equal(ofMes(compileZone(mes('m'), own)).circuitBreaker?.maxConnections, 7, 'it is among the resources, and changed');
});

t.test('a policy selects by labels, and by the zone and namespace that it is in', async (t) => {
  const byLabels = policy('MeshCircuitBreaker', 'p', limits(20, '{kind: MeshExternalService, labels: {team: red}}'));
  const red = mes('m', 'tcp', 'labels: {team: red}\n');
  const compiled = compileZone(red, mes('other', 'tcp', 'labels: {team: blue}\n'), byLabels);
  t.equal(ofMes(compiled).circuitBreaker?.maxConnections, 20);
  t.notOk('circuitBreaker' in ofMes(compiled, 'other'));
  const byName = limits(20, '{kind: MeshExternalService, labels: {kuma.io/display-name: m, kuma.io/mesh: default}}');
  const added = compileZone(mes('m'), mes('other'), policy('MeshCircuitBreaker', 'p', byName));
  t.equal(ofMes(added).circuitBreaker?.maxConnections, 20, 'labels that the control plane adds');
  t.notOk('circuitBreaker' in ofMes(added, 'other'));
  const named = limits(20, '{kind: MeshExternalService, name: m}');
  const elsewhere = policy('MeshCircuitBreaker', 'p', named, 'labels: {k8s.kuma.io/namespace: elsewhere}\n');
  t.notOk('circuitBreaker' in ofMes(compileZone(mes('m'), elsewhere)));
});

t.test('a shadow policy changes nothing, and is reported', async (t) => {
  const shadow = policy('MeshCircuitBreaker', 'a', limits(20), 'labels: {kuma.io/effect: shadow}\n');
  const compiled = compileZone(mes('m'), shadow);
  t.notOk('circuitBreaker' in ofMes(compiled));
  t.match(lines(compiled), [/labels\["kuma.io\/effect"\]: is shadow: this policy is not applied/]);
});

t.test('MeshHealthCheck: the check that fits the protocol of the service, with Kuma’s defaults', async (t) => {
  const check = (conf: string): string =>
    policy('MeshHealthCheck', 'p', `{to: [{targetRef: {kind: MeshExternalService, name: m}, default: ${conf}}]}`);
  const tcp = compileZone(mes('m'), check('{interval: 2s, tcp: {send: cGluZwo=, receive: [cG9uZwo=, x]}, http: {}}'));
  t.same(ofMes(tcp).healthChecks, [
    {
      probe: { kind: 'tcp', send: '63476c755a776f3d', receive: ['634739755a776f3d', '78'] },
      intervalMs: 2_000,
      timeoutMs: 15_000,
      unhealthyThreshold: 5,
      healthyThreshold: 1,
      initialJitterMs: 0,
      intervalJitterMs: 0,
      intervalJitterPercent: 0,
      noTrafficIntervalMs: 60_000,
      reuseConnection: true,
    },
  ]);
  const kind = (protocol: string, conf: string): string | undefined =>
    ofMes(compileZone(mes('m', protocol), check(conf))).healthChecks?.[0]?.probe.kind;
  t.equal(kind('http2', '{tcp: {}, http: {}}'), 'http');
  t.equal(kind('http', '{tcp: {}, http: {disabled: true}}'), 'tcp', 'in place of the one that is disabled');
  t.equal(kind('http', '{tcp: {}}'), undefined);
  t.equal(kind('grpc', '{grpc: {}}'), 'grpc');
  t.equal(kind('tcp', '{http: {}}'), undefined);
});

t.test('MeshHealthCheck: what is asked by HTTP and gRPC, as Kuma has it', async (t) => {
  const probe = (protocol: string, conf: string): unknown => {
    const compiled = compileZone(
      mes('m', protocol),
      policy('MeshHealthCheck', 'p', `{to: [{targetRef: {kind: Mesh}, default: ${conf}}]}`),
    );
    t.same(lines(compiled), [], 'nothing is said not to be supported');
    return ofMes(compiled).healthChecks?.[0]?.probe;
  };
  t.same(probe('http', '{http: {}}'), { kind: 'http', http2: false, path: '/', expectedStatuses: [200] });
  const headers =
    '{add: [{name: X-A, value: "1,2"}, {name: x-b, value: "3"}], set: [{name: x-b, value: "4"}, {name: host, value: own.test}, {name: content-length, value: "7"}]}';
  t.same(probe('http2', `{http: {path: /up, expectedStatuses: [200, 204], requestHeadersToAdd: ${headers}}}`), {
    kind: 'http',
    http2: true,
    path: '/up',
    host: 'own.test',
    headers: ['x-a', '1', 'x-a', '2', 'x-b', '4'],
    expectedStatuses: [200, 204],
  });
  t.same(probe('grpc', '{grpc: {serviceName: api, authority: grpc.test}}'), {
    kind: 'grpc',
    serviceName: 'api',
    authority: 'grpc.test',
  });
});

t.test('headers that no message can carry are errors, at their place', async (t) => {
  const headers = '{set: [{name: "x a", value: "1"}, {name: x-b, value: "1\\r\\nx-c: 2"}]}';
  const limited = `{requestRate: {num: 1, interval: 1s}, onRateLimit: {headers: ${headers}}}`;
  for (const [kind, spec] of [
    ['MeshHealthCheck', `{to: [{targetRef: {kind: Mesh}, default: {http: {requestHeadersToAdd: ${headers}}}}]}`],
    [
      'MeshRateLimit',
      `{targetRef: {kind: MeshService, name: m}, from: [{targetRef: {kind: Mesh}, default: {local: {http: ${limited}}}}]}`,
    ],
  ] as const) {
    t.match(linesOf(compileZone(mes('m', 'http'), policy(kind, 'p', spec)), 'error'), [
      /headers.*set\[0\]\.name: must be the name of a header/i,
      /headers.*set\[1\]\.value: must be one line of text without control characters/i,
    ]);
  }
});

t.test('MeshLoadBalancingStrategy: how endpoints of a MeshExternalService are picked', async (t) => {
  const balancer = (text: string): unknown => {
    const spec = `{to: [{targetRef: {kind: Mesh}, default: {loadBalancer: ${text}}}]}`;
    return ofMes(compileZone(mes('m'), policy('MeshLoadBalancingStrategy', 'p', spec))).balancer;
  };
  t.same(balancer('{type: RoundRobin}'), { kind: 'round-robin' });
  t.same(balancer('{type: Random}'), { kind: 'random' });
  t.same(balancer('{type: LeastRequest, leastRequest: {choiceCount: 3, activeRequestBias: "0.5"}}'), {
    kind: 'least-request',
    choiceCount: 3,
    activeRequestBias: 0.5,
  });
  t.same(balancer('{type: RingHash, ringHash: {minRingSize: 64, hashFunction: MurmurHash2}}'), {
    kind: 'ring-hash',
    minimumRingSize: 64,
    maximumRingSize: 8_388_608,
    hashFunction: 'murmur-hash-2',
  });
  t.same(balancer('{type: Maglev, maglev: {tableSize: 101}}'), { kind: 'maglev', tableSize: 101 });
});

const INGRESSES = [2, 3, 4].map(
  (n) => `type: ZoneIngress
name: ingress-${n}
zone: zone-${n}
networking: {address: 10.0.0.${n}, port: 10001, advertisedAddress: 192.0.2.${n}, advertisedPort: 10001}
availableServices: [{tags: {kuma.io/service: backend, kuma.io/zone: zone-${n}}, instances: 1, mesh: default}]
`,
);

function priorities(spec: string): object {
  const compiled = compileZone(...INGRESSES, policy('MeshLoadBalancingStrategy', 'p', spec));
  t.same(linesOf(compiled, 'error'), []);
  const { endpoints, overprovisioningFactor } = clusterOf(compiled, 'default:backend');
  return { ...Object.fromEntries(endpoints.map(({ zone, priority }) => [zone, priority])), factor: overprovisioningFactor };
}

t.test('MeshLoadBalancingStrategy: other zones come second, in the order of the rules, and not at all without one', async (t) => {
  const to = (conf: string, top = ''): string =>
    `{${top}to: [{targetRef: {kind: MeshService, name: backend}, default: ${conf}}]}`;
  const aware = (text: string): string => to(`{localityAwareness: ${text}}`);
  t.same(priorities(to('{loadBalancer: {type: Random}}')), { 'zone-2': 1, 'zone-3': 1, 'zone-4': 1, factor: undefined });
  t.same(priorities(aware('{disabled: true}')), { 'zone-2': 0, 'zone-3': 0, 'zone-4': 0, factor: undefined });
  const rules =
    '{crossZone: {failover: [{to: {type: Only, zones: [zone-3]}}, {from: {zones: [zone-9]}, to: {type: Any}}, {to: {type: AnyExcept, zones: [zone-4]}}], failoverThreshold: {percentage: 30}}}';
  t.same(priorities(aware(rules)), { 'zone-2': 3, 'zone-3': 1, factor: 3 });
  t.same(priorities(aware('{crossZone: {failover: [{to: {type: None}}]}}')), { factor: 2 });
  const subset = to('{localityAwareness: {}}', 'targetRef: {kind: MeshSubset, tags: {team: x}}, ');
  t.same(priorities(subset), { 'zone-2': 0, 'zone-3': 0, 'zone-4': 0, factor: undefined }, 'it is for some clients only');
});

t.test('MeshRateLimit: new connections of an ExternalService are limited, whatever its protocol', async (t) => {
  const spec = (top: string): string =>
    `{targetRef: ${top}, from: [{targetRef: {kind: Mesh}, default: {local: {tcp: {connectionRate: {num: 5, interval: 1m30s}}}}}]}`;
  const named = policy('MeshRateLimit', 'p', spec('{kind: MeshService, name: es}'));
  const compiled = compileZone(external('es'), external('web', undefined, ', kuma.io/protocol: http'), ALLOW, named);
  t.same(terminated(compiled, 'es{mesh=default}').rateLimit, { connections: 5, intervalMs: 90_000 });
  t.notOk('rateLimit' in terminated(compiled, 'web{mesh=default}'));
  const all = policy('MeshRateLimit', 'p', spec('{kind: Mesh, proxyTypes: [Sidecar]}'));
  const web = compileZone(external('web', undefined, ', kuma.io/protocol: http'), ALLOW, all);
  t.equal(terminated(web, 'web{mesh=default}').rateLimit?.connections, 5);
});

t.test('policies of HTTP are on the routes of services that speak it, and select nothing of the others', async (t) => {
  const limit =
    '{targetRef: {kind: MeshService, name: web}, from: [{targetRef: {kind: Mesh}, default: {local: {http: {requestRate: {num: 5, interval: 1s}}}}}]}';
  const fault = `{targetRef: {kind: MeshService, name: web}, from: [{targetRef: {kind: Mesh}, default: {http: [{abort: {httpStatus: 503, percentage: 5}}]}}]}`;
  const legacy = (kind: string, conf: string): string =>
    `type: ${kind}\nmesh: default\nname: l\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: web}}]\nconf: ${conf}\n`;
  const texts = [
    policy('MeshRateLimit', 'r', limit),
    policy('MeshFaultInjection', 'f', fault),
    legacy('RateLimit', '{http: {requests: 5, interval: 10s}}'),
    legacy('FaultInjection', '{abort: {percentage: 5, httpStatus: 503}}'),
  ];
  const zoneOf = (protocol: string, ...of: readonly string[]) =>
    compileZone(external('web', undefined, `, kuma.io/protocol: ${protocol}`), ALLOW, ...of);
  const warnings = (protocol: string): readonly string[] =>
    lines(zoneOf(protocol, ...texts)).map((line) => line.replace(/^\S+ warning: /, ''));
  t.same(warnings('http'), []);
  const [mesh, meshFault, older, olderFault] = texts;
  const abort = { status: 503, percent: 5 };
  const anyClient = { clients: [{ kind: 'tags', any: [{ 'kuma.io/service': '*' }] }] };
  const http = (...of: readonly (string | undefined)[]) =>
    terminated(zoneOf('http', ...of.filter((each) => each !== undefined)), 'web{mesh=default}').http;
  t.match(http(mesh, meshFault), { rateLimits: [{ requests: 5, intervalMs: 1_000 }], faults: [{ abort }] });
  t.match(http(older, olderFault), {
    rateLimits: [{ requests: 5, intervalMs: 10_000, ...anyClient }],
    faults: [{ abort, ...anyClient }],
  });
  t.equal(http(mesh, older)?.rateLimits?.length, 1, 'a MeshRateLimit is written over a RateLimit');
  t.match(
    warnings('tcp').filter((line) => !line.startsWith('MeshRateLimit')),
    ['MeshFaultInjection', 'RateLimit', 'FaultInjection'].map((kind) => new RegExp(`^${kind} .: selects nothing on this egress`)),
  );
});

t.test('a setting that Kuma never applies on an egress is reported once for each resource', async (t) => {
  const kinds = ['MeshRetry', 'MeshTrace', 'MeshMetric', 'MeshProxyPatch', 'ProxyTemplate'];
  const compiled = compileZone(...kinds.map((kind) => `type: ${kind}\nmesh: default\nname: p\nspec: {}\n`));
  t.same(
    lines(compiled).map((line) => line.replace(/^\S+ warning: type: /, '')),
    kinds.map((kind) => `${kind}: not applied by Kuma on a zone egress`),
  );
});

const warningsOf = (...texts: readonly string[]): readonly string[] =>
  lines(compileZone(...texts)).map((line) => line.replace(/^\S+ warning: /, ''));

t.test('a limit that Kuma’s own policy resets is reported, with its service', async (t) => {
  t.same(warningsOf(mes('m'), policy('MeshCircuitBreaker', 'z', limits(20))), [
    'MeshCircuitBreaker z: its connectionLimits.maxConnections does not count: mesh-circuit-breaker-all-default, which Kuma makes with the mesh, sets it too (m)',
  ]);
  t.same(warningsOf(mes('m'), policy('MeshCircuitBreaker', 'a', limits(20))), [], 'where it counts nothing is said');
  t.same(warningsOf(mes('m'), policy('MeshCircuitBreaker', 'z', limits(1_024))), [], 'nor where both say the same');
});

t.test('a policy without any effect, because another overrides it, is reported', async (t) => {
  const [a, b] = [policy('MeshCircuitBreaker', 'a', limits(20)), policy('MeshCircuitBreaker', 'b', limits(30))];
  t.same(warningsOf(mes('m'), a, b), ['MeshCircuitBreaker b: nothing of it counts: a says otherwise']);
  const named = policy('MeshCircuitBreaker', 'n', limits(5, '{kind: MeshExternalService, name: m}'));
  t.same(warningsOf(mes('m'), mes('other'), a, named), [], 'one that counts for another service is in use');
});

t.test('a policy whose settings do not fit its targets is reported', async (t) => {
  const toMesh = (conf: string): string => `{to: [{targetRef: {kind: Mesh}, default: ${conf}}]}`;
  const says = (kind: string, spec: string, ...texts: readonly string[]): readonly string[] =>
    warningsOf(...texts, policy(kind, 'a', spec)).map((line) => line.replace(/^\w+ a: /, ''));
  const none = 'makes no check where none is written for the protocol of the service (m)';
  t.same(says('MeshHealthCheck', toMesh('{http: {path: /}}'), mes('m')), [none]);
  t.same(says('MeshHealthCheck', toMesh('{tcp: {}}'), mes('m', 'http'), mes('other')), [none]);
  t.same(says('MeshHealthCheck', toMesh('{tcp: {disabled: true}}'), mes('m')), [], 'disabled is what was asked for');
  t.same(says('MeshCircuitBreaker', toMesh('{connectionLimits: {maxRequests: 7}}'), mes('m')), [
    'its limits of requests, retries and connection pools are for what speaks HTTP (m)',
  ]);
  t.same(says('MeshCircuitBreaker', toMesh('{connectionLimits: {maxRequests: 7}}'), mes('m', 'http')), []);
  const failover = toMesh('{localityAwareness: {crossZone: {failover: [{to: {type: Any}}]}}}');
  t.same(says('MeshLoadBalancingStrategy', failover, mes('m')), [
    'has no effect here: the endpoints of a MeshExternalService are in no zone (m)',
  ]);
  t.same(says('MeshLoadBalancingStrategy', failover, mes('m'), ...INGRESSES), [], 'it has one on services of other zones');
  const random = toMesh('{loadBalancer: {type: Random}}');
  t.same(says('MeshLoadBalancingStrategy', random, mes('m'), ...INGRESSES), [
    'its loadBalancer counts for MeshExternalServices only, on an egress (backend)',
  ]);
  const requests =
    '{targetRef: {kind: MeshService, name: es}, from: [{targetRef: {kind: Mesh}, default: {local: {http: {requestRate: {num: 5, interval: 1s}}}}}]}';
  t.same(says('MeshRateLimit', requests, external('es'), ALLOW), [
    'has no effect here: limits of requests are for what speaks HTTP (es)',
  ]);
});

/** Policies without effect of each kind that acts on clusters or requests. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  MeshCircuitBreaker: policy('MeshCircuitBreaker', 'p', limits(20)),
  MeshHealthCheck: policy('MeshHealthCheck', 'p', '{to: [{targetRef: {kind: Mesh}, default: {tcp: {}}}]}'),
  MeshLoadBalancingStrategy: policy(
    'MeshLoadBalancingStrategy',
    'p',
    '{to: [{targetRef: {kind: MeshService, name: a}, default: {}}]}',
  ),
  MeshTimeout: policy('MeshTimeout', 'p', '{rules: [{default: {idleTimeout: 1s}}]}'),
  MeshAccessLog: policy('MeshAccessLog', 'p', '{rules: [{default: {backends: [{type: File, file: {path: /tmp/x}}]}}]}'),
  MeshRateLimit: policy('MeshRateLimit', 'p', '{from: [{targetRef: {kind: Mesh}, default: {local: {}}}]}'),
  MeshFaultInjection: policy('MeshFaultInjection', 'p', '{from: [{targetRef: {kind: Mesh}, default: {http: []}}]}'),
  RateLimit: `type: RateLimit
mesh: default
name: p
sources: [{match: {kuma.io/service: '*'}}]
destinations: [{match: {kuma.io/service: b}}]
conf: {http: {requests: 1, interval: 1s}}
`,
  FaultInjection: `type: FaultInjection
mesh: default
name: p
sources: [{match: {kuma.io/service: '*'}}]
destinations: [{match: {kuma.io/service: b, kuma.io/protocol: http}}]
conf: {abort: {httpStatus: 500, percentage: 50}}
`,
};

/** Lists of resources of a mesh that are no policies of clusters or requests, and what they are. */
const NO_POLICIES: ReadonlyMap<string, string> = new Map([
  ['permissions', 'who may reach a service: each is part of the rules of its routes'],
  ['meshPermissions', 'the same in the newer form'],
  ['routes', 'routes of sidecars and gateways, which name the destinations that sidecars know'],
  ['virtualOutbounds', 'names of sidecars'],
  ['dataplanes', 'the services of this zone'],
]);

t.test('every policy kind without effect is told, with the reason', async (t) => {
  const kept = Object.entries(KINDS).filter(
    ([, { scope, aboutOne, byName, list }]) =>
      scope === 'mesh' && !aboutOne && !byName && list !== null && !NO_POLICIES.has(list),
  );
  t.same(kept.map(([kind]) => kind).sort(), Object.keys(WITHOUT_EFFECT).sort(), 'a new kind has a policy here');
  for (const [kind, text] of Object.entries(WITHOUT_EFFECT)) {
    const told = lines(compileZone(text));
    t.ok(
      told.some((line) => line.includes(`${kind} p: selects nothing on this egress: here it is about`)),
      `${kind}: ${told.join('\n')}`,
    );
  }
});
