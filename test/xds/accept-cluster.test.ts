/** Clusters and endpoints are refused exactly where Envoy refuses them. */
import { generateKeyPairSync } from 'node:crypto';
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import { acceptAssignment, acceptCluster } from '../../src/xds/accept/accept-cluster.ts';
import { translateCluster } from '../../src/xds/translate/translate-cluster.ts';
import { ca } from '../resources/fixtures/compiling.ts';
import { assignmentAny, assignmentJson, clusterAny, TYPES, tlsSocket } from './cluster-json.ts';

const CHECK = { timeout: '1s', interval: '1s', healthyThreshold: 1, unhealthyThreshold: 1 };
const EDS = { type: 'EDS', edsClusterConfig: { edsConfig: { ads: {} } } };
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const options = (fields: JsonObject): JsonObject => ({
  [HTTP_OPTIONS]: { '@type': `${TYPES}upstreams.http.v3.HttpProtocolOptions`, ...fields },
});
const HTTP2 = options({ explicitHttpConfig: { http2ProtocolOptions: {} } });
const tls = (common: JsonObject, more: JsonObject = {}): JsonObject => ({
  transportSocket: tlsSocket({ commonTlsContext: common, ...more }),
});
const at = (endpoint: JsonObject, locality: JsonObject = {}): JsonObject => ({
  loadAssignment: assignmentJson([endpoint], locality),
});
const policy = (typedConfig: JsonObject): JsonObject => ({
  loadBalancingPolicy: { policies: [{ typedExtensionConfig: { name: 'p', typedConfig } }] },
});
const otherKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });

const REFUSED: readonly (readonly [what: string, fields: JsonObject, why: RegExp])[] = [
  ['no name', { name: '' }, /ClusterValidationError\.Name/],
  ['a connect timeout of nothing', { connectTimeout: '0s' }, /ConnectTimeout: value must be greater than 0s/],
  ['one below nothing', { connectTimeout: '-1s' }, /ConnectTimeout/],
  ['EDS without its configuration', { type: 'EDS' }, /cannot create an EDS cluster without an EDS config/],
  ['a configuration of EDS without EDS', { edsClusterConfig: {} }, /eds_cluster_config set in a non-EDS cluster/],
  [
    'a type that does not exist',
    { clusterType: { name: 'envoy.cluster.nothing' } },
    /cluster factory implementation for name: 'envoy\.cluster\.nothing'/,
  ],
  ['a name where addresses are', at({ host: 'ext.test' }), /malformed IP address: ext\.test\. Consider/],
  ['a port above all', at({ port: 65_536 }), /PortValue: value must be less than or equal to 65535/],
  ['an endpoint that weighs nothing', at({ loadBalancingWeight: 0 }), /LbEndpointValidationError\.LoadBalancingWeight/],
  [
    'a locality that weighs nothing',
    at({}, { loadBalancingWeight: 0 }),
    /LocalityLbEndpointsValidationError\.LoadBalancingWeight/,
  ],
  ['a priority above 128', at({}, { priority: 129 }), /Priority: value must be less than or equal to 128/],
  [
    'more weight than is countable',
    { loadAssignment: assignmentJson([{ loadBalancingWeight: 4_294_967_295 }, {}]) },
    /sum of weights of all endpoints/,
  ],
  ['two endpoints of LOGICAL_DNS', { type: 'LOGICAL_DNS', loadAssignment: assignmentJson([{}, {}]) }, /single lb_endpoint/],
  ['a choice of one', { lbPolicy: 'LEAST_REQUEST', leastRequestLbConfig: { choiceCount: 1 } }, /ChoiceCount/],
  [
    'a ring that is smaller than itself',
    { lbPolicy: 'RING_HASH', ringHashLbConfig: { minimumRingSize: '20', maximumRingSize: '10' } },
    /minimum_ring_size \(20\) > maximum_ring_size \(10\)/,
  ],
  ['a table without a prime', { lbPolicy: 'MAGLEV', maglevLbConfig: { tableSize: '1000' } }, /prime/],
  [
    'the policy of an extension without one',
    { lbPolicy: 'LOAD_BALANCING_POLICY_CONFIG' },
    /load_balancing_policy need to be set/,
  ],
  [
    'policies of which Envoy knows none',
    policy({ '@type': `${TYPES}filters.network.tcp_proxy.v3.TcpProxy` }),
    /registered load balancer factory/,
  ],
  ['a panic above 100 %', { commonLbConfig: { healthyPanicThreshold: { value: 101 } } }, /inside range \[0, 100\]/],
  ['ejections above 100 %', { outlierDetection: { maxEjectionPercent: 101 } }, /MaxEjectionPercent/],
  [
    'a longest ejection below the shortest',
    { outlierDetection: { maxEjectionTime: '1s' } },
    /max_ejection_time cannot be smaller/,
  ],
  [
    'a check without a timeout',
    { healthChecks: [{ interval: '1s', healthyThreshold: 1, unhealthyThreshold: 1, tcpHealthCheck: {} }] },
    /HealthCheckValidationError\.Timeout: value is required/,
  ],
  ['a check of nothing', { healthChecks: [CHECK] }, /HealthChecker: value is required/],
  [
    'a check with bytes that are none',
    { healthChecks: [{ ...CHECK, tcpHealthCheck: { send: { text: 'xyz' } } }] },
    /invalid hex string 'xyz'/,
  ],
  [
    'a check of no status',
    { healthChecks: [{ ...CHECK, httpHealthCheck: { path: '/', expectedStatuses: [{ start: '200', end: '200' }] } }] },
    /status range/,
  ],
  [
    'a check over gRPC where HTTP/2 is not spoken',
    { healthChecks: [{ ...CHECK, grpcHealthCheck: {} }] },
    /es cluster must support HTTP\/2/,
  ],
  [
    'protocol options that do not exist',
    { typedExtensionProtocolOptions: { nothing: { '@type': `${TYPES}filters.network.tcp_proxy.v3.TcpProxy` } } },
    /implementation for name: 'nothing'/,
  ],
  [
    'protocol options without a choice',
    { typedExtensionProtocolOptions: options({}) },
    /UpstreamProtocolOptions: value is required/,
  ],
  [
    'a transport socket that does not exist',
    { transportSocket: { name: 'x', typedConfig: { '@type': `${TYPES}filters.network.tcp_proxy.v3.TcpProxy` } } },
    /Didn't find a registered implementation for 'x'/,
  ],
  [
    'a socket for clients',
    { transportSocket: { name: 'tls', typedConfig: { '@type': `${TYPES}transport_sockets.tls.v3.DownstreamTlsContext` } } },
    /DownstreamTlsContext/,
  ],
  ['the same in a match', { transportSocketMatches: [{ name: 'a', transportSocket: { name: 'x' } }] }, /implementation for 'x'/],
  [
    'a CA that is none',
    tls({ validationContext: { trustedCa: { inlineString: 'xyz' } } }),
    /Failed to load trusted CA certificates/,
  ],
  [
    'names to check without a CA',
    tls({ validationContext: { matchTypedSubjectAltNames: [{ sanType: 'DNS', matcher: { exact: 'a' } }] } }),
    /SAN-based verification/,
  ],
  [
    'a name to check of no type',
    tls({
      validationContext: { trustedCa: { inlineString: ca.cert }, matchTypedSubjectAltNames: [{ matcher: { exact: 'a' } }] },
    }),
    /SanType/,
  ],
  ['two client certificates', tls({ tlsCertificates: [{}, {}] }), /Multiple TLS certificates/],
  [
    'a client certificate without a key',
    tls({ tlsCertificates: [{ certificateChain: { inlineString: ca.cert } }] }),
    /private key/,
  ],
  [
    'one with the key of another',
    tls({ tlsCertificates: [{ certificateChain: { inlineString: ca.cert }, privateKey: { inlineString: String(otherKey) } }] }),
    /KEY_VALUES_MISMATCH/,
  ],
  ['an SNI above 255 bytes', tls({}, { sni: 'a'.repeat(256) }), /at most 255 bytes/],
];

for (const [what, fields, why] of REFUSED) {
  t.test(`refused: ${what}`, async (t) => {
    const accepted = acceptCluster(clusterAny(fields));
    t.equal(accepted.kind, 'refused');
    t.match(accepted.kind === 'refused' && accepted.why, why);
    t.equal(accepted.name, fields['name'] ?? 'es');
  });
}

const ACCEPTED: readonly (readonly [what: string, fields: JsonObject])[] = [
  ['the least there is', {}],
  ['no timeout: it is 5 s', { connectTimeout: null }],
  ['endpoints that EDS tells', { ...EDS, loadAssignment: null }],
  ['endpoints beside EDS, which nobody looks at', { ...EDS, ...at({ host: 'ext.test' }) }],
  ['names that are resolved', { type: 'STRICT_DNS', ...at({ host: 'ext.test' }) }],
  [
    'a socket of the system',
    {
      loadAssignment: {
        clusterName: 'es',
        endpoints: [{ lbEndpoints: [{ endpoint: { address: { pipe: { path: '/a.sock' } } } }] }],
      },
    },
  ],
  [
    'a check over gRPC where HTTP/2 is spoken',
    { typedExtensionProtocolOptions: HTTP2, healthChecks: [{ ...CHECK, grpcHealthCheck: {} }] },
  ],
  ['a ring that is not used', { ringHashLbConfig: { minimumRingSize: '20', maximumRingSize: '10' } }],
  [
    'a policy that Envoy does not know before one that it does',
    {
      loadBalancingPolicy: {
        policies: [
          { typedExtensionConfig: { name: 'x', typedConfig: { '@type': `${TYPES}filters.network.tcp_proxy.v3.TcpProxy` } } },
          { typedExtensionConfig: { name: 'r', typedConfig: { '@type': `${TYPES}load_balancing_policies.random.v3.Random` } } },
        ],
      },
    },
  ],
  [
    'names to check with a CA that comes as a secret',
    tls({
      combinedValidationContext: {
        defaultValidationContext: { matchTypedSubjectAltNames: [{ sanType: 'DNS', matcher: { exact: 'a' } }] },
        validationContextSdsSecretConfig: { name: 'ca', sdsConfig: { ads: {} } },
      },
    }),
  ],
  ['a CA in a file, which is for Envoy to read', tls({ validationContext: { trustedCa: { filename: '/nowhere' } } })],
  ['TLS without any check', tls({})],
  ['a socket that Envoy has and this egress does not', { transportSocket: { name: 'envoy.transport_sockets.alts' } }],
];

for (const [what, fields] of ACCEPTED) {
  t.test(`accepted: ${what}`, async (t) => {
    t.match(acceptCluster(clusterAny(fields)), { kind: 'accepted', name: 'es', remarks: [] });
  });
}

t.test('another type, and bytes that are no cluster, are refused', async (t) => {
  const any = clusterAny();
  t.match(acceptCluster({ ...any, typeUrl: assignmentAny({}).typeUrl }), {
    kind: 'refused',
    name: '',
    why: /its type is .*ClusterLoadAssignment/,
  });
  t.match(acceptCluster({ ...any, value: Buffer.of(255, 255) }), { kind: 'refused', name: '', why: /^cannot be decoded/ });
  t.match(acceptAssignment(any), { kind: 'refused', name: '', why: /its type is .*Cluster,/ });
});

t.test('what is refused holds nothing of a private key', async (t) => {
  const accepted = acceptCluster(
    clusterAny(
      tls({ tlsCertificates: [{ certificateChain: { inlineString: ca.cert }, privateKey: { inlineString: String(otherKey) } }] }),
    ),
  );
  for (const line of String(otherKey).split('\n').slice(1, -2)) t.notOk(JSON.stringify(accepted).includes(line));
});

t.test(
  'every single bit that is wrong in a cluster ends in an answer, not in an exception; what is accepted can be translated',
  async (t) => {
    const any = clusterAny({
      ...tls({ validationContext: { trustedCa: { filename: '/a' } } }),
      healthChecks: [{ ...CHECK, tcpHealthCheck: {} }],
    });
    let refused = 0;
    for (let at = 0; at < any.value.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const value = Buffer.from(any.value);
        value[at] = (value[at] ?? 0) ^ (1 << bit);
        const accepted = acceptCluster({ ...any, value });
        if (accepted.kind === 'refused') refused++;
        else t.ok(translateCluster({ cluster: accepted.resource, secret: () => undefined }).cluster.endpoints.length < 2);
      }
    }
    t.ok(refused > any.value.length, `${refused} of ${any.value.length * 8} are refused`);
  },
);

t.test('endpoints are refused by themselves too, under the name of their cluster', async (t) => {
  const accepted = acceptAssignment(assignmentAny(assignmentJson([{}])));
  t.match(accepted, { kind: 'accepted', name: 'es', remarks: [] });
  t.match(acceptAssignment(assignmentAny(assignmentJson([{ port: 70_000 }]))), {
    kind: 'refused',
    name: 'es',
    why: /70000|65535/,
  });
  t.match(acceptAssignment(assignmentAny(assignmentJson([{ host: 'ext.test' }]))), {
    kind: 'refused',
    why: /malformed IP address: ext\.test/,
  });
  t.match(acceptAssignment(assignmentAny({ ...assignmentJson([{}]), clusterName: '' })), { kind: 'refused', why: /ClusterName/ });
  t.match(acceptAssignment(assignmentAny({ ...assignmentJson([{}]), policy: { overprovisioningFactor: 0 } })), {
    kind: 'refused',
    why: /OverprovisioningFactor/,
  });
  t.match(acceptAssignment(assignmentAny({ clusterName: 'es' })), { kind: 'accepted' }, 'no endpoints at all are fine');
});
