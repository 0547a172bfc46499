/**
 * Reads, field by field, what a control plane's cluster says of endpoints, of balancing and of
 * protection.
 */
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { Cluster } from '../../src/model/cluster.ts';
import { translateCluster } from '../../src/xds/translate/translate-cluster.ts';
import type { TranslatedCluster } from '../../src/xds/translate/translate-cluster.ts';
import { assignmentJson, assignmentOf, clusterOf, endpointJson, TYPES } from './cluster-json.ts';

const translate = (fields: JsonObject): TranslatedCluster =>
  translateCluster({ cluster: clusterOf(fields), secret: () => undefined });
const made = (fields: JsonObject): Cluster => translate(fields).cluster;
const EDS = { type: 'EDS', edsClusterConfig: { edsConfig: { ads: {} } }, loadAssignment: null };

t.test('the least there is: one endpoint, and Envoy’s defaults left out', async (t) => {
  t.strictSame(translate({}), {
    cluster: {
      name: 'es',
      endpoints: [{ address: { kind: 'ip', ip: '10.0.0.1' }, port: 443, weight: 1, priority: 0, zone: '', tags: {}, tls: null }],
      connectTimeoutMs: 5_000,
    },
    secrets: new Map(),
    remarks: [],
  });
  t.equal(made({ connectTimeout: '1.5s' }).connectTimeoutMs, 1_500);
});

t.test('endpoints of EDS are those of the assignment, and none until it has come', async (t) => {
  const cluster = clusterOf(EDS);
  const localities = [
    { locality: { zone: 'zone-2' }, priority: 1, lbEndpoints: [endpointJson({ host: '10.0.0.2', loadBalancingWeight: 3 })] },
    {
      locality: { zone: 'zone-1' },
      loadBalancingWeight: 7,
      lbEndpoints: [endpointJson({ metadata: { filterMetadata: { 'envoy.lb': { version: 'v1', n: 1 } } } })],
    },
  ];
  const assignment = assignmentOf({ clusterName: 'es', endpoints: localities, policy: { overprovisioningFactor: 200 } });
  const { cluster: got } = translateCluster({ cluster, assignment, secret: () => undefined });
  t.match(got.endpoints, [
    { address: { ip: '10.0.0.2' }, weight: 3, priority: 1, zone: 'zone-2', tags: {} },
    { address: { ip: '10.0.0.1' }, weight: 1, priority: 0, zone: 'zone-1', localityWeight: 7, tags: { version: 'v1', n: '1' } },
  ]);
  t.equal(got.overprovisioningFactor, 2);
  const waiting = translateCluster({ cluster, secret: () => undefined });
  t.same(waiting.cluster.endpoints, []);
  t.equal(waiting.unusable, undefined);
  const inline = translateCluster({
    cluster: clusterOf({ ...EDS, ...{ loadAssignment: assignmentJson([{}]) } }),
    secret: () => undefined,
  });
  t.same(inline.cluster.endpoints, [], 'endpoints beside EDS are not looked at');
});

t.test('localities have a name of their own only where their zone does not tell them apart', async (t) => {
  const locality = (zone: string, subZone: string, priority: number): JsonObject => ({
    locality: { zone, subZone },
    priority,
    lbEndpoints: [endpointJson({})],
  });
  const names = (...endpoints: JsonObject[]): readonly unknown[] =>
    made({ loadAssignment: { clusterName: 'es', endpoints } }).endpoints.map((endpoint) => endpoint.locality);
  t.same(names(locality('a', 'x', 0), locality('b', 'x', 0), locality('a', 'y', 1)), [undefined, undefined, undefined]);
  t.same(names(locality('a', 'x', 0), locality('a', 'y', 0)), ['/a/x', '/a/y']);
});

t.test('names are resolved in the family that is asked for', async (t) => {
  const family = (dnsLookupFamily: string): unknown =>
    made({ type: 'STRICT_DNS', dnsLookupFamily, loadAssignment: assignmentJson([{ host: 'ext.test' }]) }).endpoints[0]?.address;
  t.same(family('V4_ONLY'), { kind: 'name', name: 'ext.test', family: 'v4' });
  for (const other of ['AUTO', 'ALL', 'V4_PREFERRED', 'V6_ONLY'])
    t.same(family(other), { kind: 'name', name: 'ext.test', family: 'any' });
  const mixed = made({ type: 'LOGICAL_DNS', loadAssignment: assignmentJson([{ host: '::1' }]) });
  t.same(mixed.endpoints[0]?.address, { kind: 'ip', ip: '::1' });
});

t.test('endpoints that cannot be connected to are left out, with a remark', async (t) => {
  const left = (endpoint: JsonObject): TranslatedCluster =>
    translate({ type: 'STRICT_DNS', loadAssignment: { clusterName: 'es', endpoints: [{ lbEndpoints: [endpoint] }] } });
  for (const [endpoint, why] of [
    [{ endpoint: { address: { pipe: { path: '/a.sock' } } } }, /an endpoint is a pipe/],
    [{ endpoint: { address: { socketAddress: { address: 'a.test', namedPort: 'http' } } } }, /the port of a\.test is http/],
    [{ endpointName: 'a' }, /no address/],
    [endpointJson({ host: '0x7f000001' }), /"0x7f000001" is neither an address nor a name/],
    [endpointJson({ healthStatus: 'DRAINING' }), /knows to be draining/],
  ] as const) {
    const { cluster, remarks, unusable } = left(endpoint);
    t.same(cluster.endpoints, []);
    t.match(remarks, [why]);
    t.equal(unusable, undefined);
  }
  t.equal(left(endpointJson({ healthStatus: 'HEALTHY' })).cluster.endpoints.length, 1);
  t.match(
    made({ loadAssignment: assignmentJson([{ host: 'ext.test' }, {}]) }).endpoints,
    [{ address: { ip: '10.0.0.1' } }],
    'no name where addresses are',
  );
});

t.test('a cluster whose endpoints are found in another way is unusable, and has none', async (t) => {
  for (const [fields, why] of [
    [{ type: 'ORIGINAL_DST' }, /where the client wanted to go/],
    [{ clusterType: { name: 'envoy.clusters.aggregate' } }, /envoy\.clusters\.aggregate/],
  ] as const) {
    const { cluster, unusable } = translate(fields);
    t.match(unusable, why);
    t.same(cluster.endpoints, []);
  }
});

const typed = (name: string, fields: JsonObject = {}): JsonObject => ({
  name,
  typedConfig: { '@type': `${TYPES}load_balancing_policies.${name}`, ...fields },
});
const policies = (...all: JsonObject[]): JsonObject => ({
  policies: all.map((typedExtensionConfig) => ({ typedExtensionConfig })),
});
const byPolicy = (...all: JsonObject[]): Cluster => made({ lbPolicy: 'RING_HASH', loadBalancingPolicy: policies(...all) });

t.test('each way of picking endpoints, by the old field and by an extension, is the same', async (t) => {
  const RING = { kind: 'ring-hash', minimumRingSize: 1_024, maximumRingSize: 8_388_608, hashFunction: 'xx-hash' };
  const own = { minimumRingSize: '10', maximumRingSize: '20', hashFunction: 'MURMUR_HASH_2' };
  const bias = { choiceCount: 4, activeRequestBias: { defaultValue: 0.5, runtimeKey: 'x' } };
  for (const [old, extension, balancer] of [
    [{}, typed('round_robin.v3.RoundRobin'), undefined],
    [{ lbPolicy: 'LEAST_REQUEST' }, typed('least_request.v3.LeastRequest'), { kind: 'least-request', choiceCount: 2 }],
    [
      { lbPolicy: 'LEAST_REQUEST', leastRequestLbConfig: bias },
      typed('least_request.v3.LeastRequest', bias),
      { kind: 'least-request', choiceCount: 4, activeRequestBias: 0.5 },
    ],
    [{ lbPolicy: 'RANDOM' }, typed('random.v3.Random'), { kind: 'random' }],
    [{ lbPolicy: 'RING_HASH' }, typed('ring_hash.v3.RingHash'), RING],
    [
      { lbPolicy: 'RING_HASH', ringHashLbConfig: own },
      typed('ring_hash.v3.RingHash', own),
      { kind: 'ring-hash', minimumRingSize: 10, maximumRingSize: 20, hashFunction: 'murmur-hash-2' },
    ],
    [{ lbPolicy: 'MAGLEV' }, typed('maglev.v3.Maglev'), { kind: 'maglev', tableSize: 65_537 }],
    [
      { lbPolicy: 'MAGLEV', maglevLbConfig: { tableSize: '11' } },
      typed('maglev.v3.Maglev', { tableSize: '11' }),
      { kind: 'maglev', tableSize: 11 },
    ],
  ] as const) {
    t.strictSame(made(old).balancer, balancer);
    t.strictSame(byPolicy(extension).balancer, balancer);
    const inner = typed('subset.v3.Subset', { subsetLbPolicy: policies(extension) });
    t.strictSame(byPolicy(inner).balancer, balancer, 'within subsets');
    const wrr = byPolicy(typed('wrr_locality.v3.WrrLocality', { endpointPickingPolicy: policies(extension) }));
    t.strictSame([wrr.balancer, wrr.localityWeighting], [balancer, true], 'within localities');
  }
});

t.test('of the policies that are sent the first that Envoy has counts; one that is not known here is round robin', async (t) => {
  const unknown = { name: 'x', typedConfig: { '@type': `${TYPES}filters.network.tcp_proxy.v3.TcpProxy` } };
  t.same(byPolicy(unknown, typed('random.v3.Random'), typed('maglev.v3.Maglev')).balancer, { kind: 'random' });
  const weighted = { localityLbConfig: { localityWeightedLbConfig: {} } };
  t.equal(byPolicy(typed('round_robin.v3.RoundRobin', weighted)).localityWeighting, true);
  const translated = translate({ loadBalancingPolicy: policies(unknown) });
  t.match(translated.remarks, [/TcpProxy|without a configuration/]);
});

t.test('panic, and weights of localities', async (t) => {
  t.strictSame(
    made({ commonLbConfig: { healthyPanicThreshold: { value: 0 }, zoneAwareLbConfig: { failTrafficOnPanic: true } } }),
    {
      ...made({}),
      panicThresholdPercent: 0,
      failInPanic: true,
    },
  );
  t.strictSame(made({ commonLbConfig: { localityWeightedLbConfig: {} } }), { ...made({}), localityWeighting: true });
});

t.test('limits of the default priority, less those that are Envoy’s own', async (t) => {
  const breaker = (...thresholds: JsonObject[]): unknown => made({ circuitBreakers: { thresholds } }).circuitBreaker;
  t.equal(
    breaker({ maxConnections: 1_024, maxPendingRequests: 1_024, maxRequests: 1_024, maxRetries: 3, trackRemaining: true }),
    undefined,
  );
  t.strictSame(breaker({ priority: 'HIGH', maxConnections: 1 }, { maxConnections: 20, maxRetries: 0, maxConnectionPools: 5 }), {
    maxConnections: 20,
    maxRetries: 0,
    maxConnectionPools: 5,
  });
});

t.test('outlier detection: every field, and Envoy’s defaults', async (t) => {
  const ENVOY = {
    intervalMs: 10_000,
    baseEjectionMs: 30_000,
    maxEjectionPercent: 10,
    splitLocalErrors: false,
    consecutiveLocalFailures: { threshold: 5, enforcing: 100 },
    consecutiveTotalFailures: { threshold: 5, enforcing: 100 },
    consecutiveGatewayFailures: { threshold: 5, enforcing: 0 },
    successRate: { threshold: 1_900, minimumHosts: 5, requestVolume: 100, enforcing: 100 },
    failurePercentage: { threshold: 85, minimumHosts: 5, requestVolume: 50, enforcing: 0 },
  };
  t.strictSame(made({ outlierDetection: {} }).outlierDetection, ENVOY);
  const all = {
    interval: '1s',
    baseEjectionTime: '2s',
    maxEjectionPercent: 3,
    consecutive5xx: 4,
    enforcingConsecutive5xx: 5,
    consecutiveGatewayFailure: 6,
    enforcingConsecutiveGatewayFailure: 7,
    consecutiveLocalOriginFailure: 8,
    enforcingConsecutiveLocalOriginFailure: 9,
    successRateMinimumHosts: 10,
    successRateRequestVolume: 11,
    successRateStdevFactor: 12,
    enforcingSuccessRate: 13,
    enforcingLocalOriginSuccessRate: 14,
    failurePercentageThreshold: 15,
    failurePercentageMinimumHosts: 16,
    failurePercentageRequestVolume: 17,
    enforcingFailurePercentage: 18,
    enforcingFailurePercentageLocalOrigin: 19,
  };
  const expected = {
    intervalMs: 1_000,
    baseEjectionMs: 2_000,
    maxEjectionPercent: 3,
    splitLocalErrors: false,
    consecutiveLocalFailures: { threshold: 8, enforcing: 9 },
    consecutiveTotalFailures: { threshold: 4, enforcing: 5 },
    consecutiveGatewayFailures: { threshold: 6, enforcing: 7 },
    successRate: { threshold: 12, minimumHosts: 10, requestVolume: 11, enforcing: 13 },
    failurePercentage: { threshold: 15, minimumHosts: 16, requestVolume: 17, enforcing: 18 },
  };
  t.strictSame(made({ outlierDetection: all }).outlierDetection, expected);
  t.strictSame(made({ outlierDetection: { ...all, splitExternalLocalOriginErrors: true } }).outlierDetection, {
    ...expected,
    splitLocalErrors: true,
    successRate: { ...expected.successRate, enforcing: 14 },
    failurePercentage: { ...expected.failurePercentage, enforcing: 19 },
  });
  t.match(translate({ outlierDetection: { maxEjectionTime: '60s', alwaysEjectOneHost: true } }).remarks, [
    /not used: maxEjectionTime, alwaysEjectOneHost/,
  ]);
});

const CHECK = { timeout: '1s', interval: '2s', healthyThreshold: 1, unhealthyThreshold: 2 };
const checked = (check: JsonObject): TranslatedCluster => translate({ healthChecks: [{ ...CHECK, ...check }] });

t.test('health checks: every field, and Envoy’s defaults', async (t) => {
  const base = {
    timeoutMs: 1_000,
    intervalMs: 2_000,
    healthyThreshold: 1,
    unhealthyThreshold: 2,
    initialJitterMs: 0,
    intervalJitterMs: 0,
    intervalJitterPercent: 0,
    noTrafficIntervalMs: 60_000,
    reuseConnection: true,
  };
  const bytes = { send: { text: '0AFF' }, receive: [{ binary: 'AQI=' }, { text: 'ab' }] };
  t.strictSame(checked({ tcpHealthCheck: bytes }).cluster.healthChecks, [
    { ...base, probe: { kind: 'tcp', send: '0aff', receive: ['0102', 'ab'] } },
  ]);
  t.strictSame(checked({ tcpHealthCheck: {} }).cluster.healthChecks, [
    { ...base, probe: { kind: 'tcp', send: '', receive: [] } },
  ]);
  const http = {
    path: '/ok',
    codecClientType: 'HTTP2',
    expectedStatuses: [
      { start: '200', end: '202' },
      { start: '301', end: '302' },
    ],
  };
  t.strictSame(checked({ httpHealthCheck: http }).cluster.healthChecks, [
    { ...base, probe: { kind: 'http', http2: true, path: '/ok', expectedStatuses: [200, 201, 301] } },
  ]);
  t.strictSame(checked({ httpHealthCheck: { path: '/' } }).cluster.healthChecks, [
    { ...base, probe: { kind: 'http', http2: false, path: '/', expectedStatuses: [200] } },
  ]);
  const asked = {
    path: '/ok',
    host: 'own.test',
    method: 'HEAD',
    retriableStatuses: [{ start: '503', end: '504' }],
    requestHeadersToAdd: [
      { header: { key: 'X-Kuma-Tags', value: '&a=b&' } },
      { header: { key: 'x-kuma-tags', value: '&c=d&' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' },
      { header: { key: 'content-length', value: '7' } },
    ],
  };
  t.strictSame(checked({ httpHealthCheck: asked }).cluster.healthChecks, [
    {
      ...base,
      probe: {
        kind: 'http',
        http2: false,
        path: '/ok',
        method: 'HEAD',
        host: 'own.test',
        headers: ['x-kuma-tags', '&c=d&'],
        expectedStatuses: [200],
        retriableStatuses: [503],
      },
    },
  ]);
  const more = {
    initialJitter: '3s',
    intervalJitter: '4s',
    intervalJitterPercent: 5,
    noTrafficInterval: '6s',
    reuseConnection: false,
  };
  t.strictSame(checked({ grpcHealthCheck: { serviceName: 's', authority: 'a' }, ...more }).cluster.healthChecks, [
    {
      ...base,
      initialJitterMs: 3_000,
      intervalJitterMs: 4_000,
      intervalJitterPercent: 5,
      noTrafficIntervalMs: 6_000,
      reuseConnection: false,
      probe: { kind: 'grpc', serviceName: 's', authority: 'a' },
    },
  ]);
});

t.test('a check that cannot be made as it is asked for is not made in another way', async (t) => {
  for (const [check, why] of [
    [{ customHealthCheck: { name: 'envoy.health_checkers.redis' } }, /of the kind customHealthCheck is not made/],
    [{ tcpHealthCheck: {}, altPort: 9 }, /of another port \(9\) is not made/],
    [{ tcpHealthCheck: {}, transportSocketMatchCriteria: { a: 'b' } }, /transport socket of its own is not made/],
    [{ httpHealthCheck: { path: '/', receive: [{ text: 'ab' }] } }, /not understood: receive/],
    [{ httpHealthCheck: { path: '/', serviceNameMatcher: { exact: 'a' } } }, /not understood: serviceNameMatcher/],
  ] satisfies (readonly [JsonObject, RegExp])[]) {
    const { cluster, remarks } = checked(check);
    t.equal(cluster.healthChecks, undefined);
    t.match(remarks, [why]);
  }
  for (const healthCheckConfig of [{ portValue: 9 }, { hostname: 'a' }, { disableActiveHealthCheck: true }]) {
    const address = { socketAddress: { address: '10.0.0.1', portValue: 443 } };
    const { cluster, remarks } = translate({
      healthChecks: [{ ...CHECK, tcpHealthCheck: {} }],
      loadAssignment: { clusterName: 'es', endpoints: [{ lbEndpoints: [{ endpoint: { address, healthCheckConfig } }] }] },
    });
    t.equal(cluster.healthChecks, undefined);
    t.match(remarks, [/an endpoint has another place or name for them/]);
  }
  t.match(checked({ httpHealthCheck: { path: '/', requestHeadersToRemove: ['user-agent'] }, unhealthyInterval: '1s' }), {
    cluster: { healthChecks: [{ probe: { kind: 'http' } }] },
    remarks: [/sent with these headers too: user-agent/, /health check these are not used: unhealthyInterval/],
  });
});
