/** TLS to a server as a control plane asks for it: verified as asked, or not at all. */
import type { JsonObject } from '@bufbuild/protobuf';
import t from 'tap';
import type { TlsOrigination } from '../../src/model/cluster.ts';
import type { ReadFile } from '../../src/resources/load.ts';
import { acceptCluster } from '../../src/xds/accept/accept-cluster.ts';
import { translateCluster } from '../../src/xds/translate/translate-cluster.ts';
import type { TranslatedCluster } from '../../src/xds/translate/translate-cluster.ts';
import { ca } from '../resources/fixtures/compiling.ts';
import { makeLeaf } from '../resources/fixtures/pki.ts';
import { assignmentJson, clusterAny, clusterOf, secretOf, tlsSocket, TYPES, withField } from './cluster-json.ts';

const client = makeLeaf('client');
const inline = (text: string): JsonObject => ({ inlineString: text });
const CA = { trustedCa: inline(ca.cert) };
const NAMES = { matchTypedSubjectAltNames: [{ sanType: 'DNS', matcher: { exact: 'ext.test' } }] };
const sds = (name: string): JsonObject => ({ name, sdsConfig: { ads: {}, resourceApiVersion: 'V3' } });
const combined = (own: JsonObject, name = 'ca'): JsonObject => ({
  combinedValidationContext: { defaultValidationContext: own, validationContextSdsSecretConfig: sds(name) },
});

interface Given {
  readonly secrets?: readonly JsonObject[];
  readonly readFile?: ReadFile;
}

function translate(fields: JsonObject, { secrets = [], readFile }: Given = {}): TranslatedCluster {
  const known = new Map(secrets.map((json) => [json['name'], secretOf(json)]));
  const secret = known.get.bind(known);
  return translateCluster({ cluster: clusterOf(fields), secret, ...(readFile === undefined ? {} : { readFile }) });
}

function withTls(common: JsonObject, given: Given = {}, context: JsonObject = {}): TranslatedCluster {
  return translate({ transportSocket: tlsSocket({ commonTlsContext: common, ...context }) }, given);
}

/** TLS of the only endpoint. */
function tlsOf({ cluster }: TranslatedCluster): TlsOrigination {
  return cluster.endpoints[0]!.tls!;
}

function trustText(translated: TranslatedCluster): string | undefined {
  const { trust } = tlsOf(translated);
  return trust.kind === 'bundle' ? translated.secrets.get(trust.ca) : trust.kind;
}

t.test('a CA may be inline, in a secret, or in a secret beside names that are inline', async (t) => {
  const secret = { name: 'ca', validationContext: CA };
  t.equal(trustText(withTls({ validationContext: CA })), ca.cert);
  t.equal(trustText(withTls({ validationContextSdsSecretConfig: sds('ca') }, { secrets: [secret] })), ca.cert);
  const both = withTls(combined(NAMES), { secrets: [secret] });
  t.equal(trustText(both), ca.cert);
  t.same(tlsOf(both).names, [{ kind: 'exact', value: 'ext.test' }]);
  const more = { ...CA, matchTypedSubjectAltNames: [{ sanType: 'DNS', matcher: { prefix: 'alt.' } }] };
  t.same(tlsOf(withTls(combined(NAMES), { secrets: [{ name: 'ca', validationContext: more }] })).names, [
    { kind: 'exact', value: 'ext.test' },
    { kind: 'prefix', value: 'alt.' },
  ]);
});

t.test('the bundle of the system is known by its path, other files are read by the given function', async (t) => {
  const at = (filename: string): JsonObject => ({ validationContext: { trustedCa: { filename }, ...NAMES } });
  for (const path of ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'])
    t.equal(trustText(withTls(at(path))), 'system');
  t.equal(trustText(withTls(at('/my/ca.pem'), { readFile: () => ({ text: ca.cert }) })), ca.cert);
  t.match(
    withTls(at('/my/ca.pem'), { readFile: () => ({ error: 'is not there' }) }).unusable,
    /the file \/my\/ca\.pem: is not there/,
  );
  t.match(withTls(at('/my/ca.pem')).unusable, /its CA is not known: it is in the file \/my\/ca\.pem, which is not read here/);
});

t.test('without a CA nothing is verified, which is a remark; names are not checked then', async (t) => {
  for (const common of [
    {},
    { validationContext: {} },
    { validationContext: { ...CA, trustChainVerification: 'ACCEPT_UNTRUSTED' } },
  ]) {
    const translated = withTls(common);
    t.match(tlsOf(translated), { trust: { kind: 'none' }, names: null });
    t.match(translated.remarks, [/^its TLS is encrypted, but the certificate of the service is not verified: the control plane/]);
    t.equal(translated.unusable, undefined);
  }
  t.match(tlsOf(translate({ transportSocket: tlsSocket({}) })), { trust: { kind: 'none' } });
});

t.test('with a CA and no names the name is not checked', async (t) => {
  t.equal(tlsOf(withTls({ validationContext: CA })).names, null);
});

const exact = (sanType: string, value: string): JsonObject => ({ sanType, matcher: { exact: value } });
const prefix = (sanType: string, value: string): JsonObject => ({ sanType, matcher: { prefix: value } });

t.test('names are DNS names or addresses, whole or by their beginning; Kuma sends each as both', async (t) => {
  const names = (...list: readonly JsonObject[]): TranslatedCluster =>
    withTls({ validationContext: { ...CA, matchTypedSubjectAltNames: [...list] } });
  const kuma = names(
    exact('DNS', 'ext.test.'),
    exact('IP_ADDRESS', 'ext.test.'),
    exact('DNS', '10.0.0.1'),
    exact('IP_ADDRESS', '10.0.0.1'),
    prefix('DNS', 'a.'),
    prefix('IP_ADDRESS', 'a.'),
  );
  t.same(tlsOf(kuma).names, [
    { kind: 'exact', value: 'ext.test' },
    { kind: 'exact', value: '10.0.0.1' },
    { kind: 'prefix', value: 'a.' },
  ]);
  t.same(kuma.remarks, []);
  const other = { sanType: 'DNS', matcher: { suffix: '.test' } };
  const some = names(exact('URI', 'spiffe://a'), other, exact('DNS', 'ext.test'));
  t.same(tlsOf(some).names, [{ kind: 'exact', value: 'ext.test' }]);
  t.match(some.remarks, [/not compared here: URI exact spiffe:\/\/a, DNS suffix \.test$/]);
  for (const alone of [
    exact('URI', 'spiffe://a'),
    other,
    exact('DNS', '10.0.0.1'),
    exact('IP_ADDRESS', 'ext.test'),
    prefix('IP_ADDRESS', '10.'),
    prefix('DNS', ''),
  ]) {
    const { cluster, unusable } = names(alone);
    t.match(unusable, /accepts certificates by names that are not compared here/);
    t.same(cluster.endpoints, []);
  }
  const old = withTls({ validationContext: { ...CA, matchSubjectAltNames: [{ exact: 'ext.test' }, { exact: '::1' }] } });
  t.same(tlsOf(old).names, [
    { kind: 'exact', value: 'ext.test' },
    { kind: 'exact', value: '::1' },
  ]);
});

const UNUSABLE: readonly (readonly [what: string, common: JsonObject, why: RegExp, given?: Given])[] = [
  ['a CA in a secret that has not come', combined({}), /has not sent the secret ca/],
  [
    'one in a secret that is a certificate',
    combined({}),
    /secret ca is a tlsCertificate, not a CA/,
    { secrets: [{ name: 'ca', tlsCertificate: {} }] },
  ],
  [
    'one in a secret that is empty',
    combined({}),
    /secret of its CA has none/,
    { secrets: [{ name: 'ca', validationContext: {} }] },
  ],
  [
    'the same without anything beside it',
    { validationContextSdsSecretConfig: sds('ca') },
    /secret of its CA has none/,
    { secrets: [{ name: 'ca', validationContext: {} }] },
  ],
  [
    'one in a secret of the bootstrap',
    { validationContextSdsSecretConfig: { name: 'ca' } },
    /the secret ca does not come over ADS/,
  ],
  [
    'one in a secret of a file',
    { validationContextSdsSecretConfig: { name: 'ca', sdsConfig: { pathConfigSource: { path: '/a' } } } },
    /does not come over ADS/,
  ],
  ['one in a variable', { validationContext: { trustedCa: { environmentVariable: 'CA' } } }, /it is in the variable CA/],
  ['one that is empty', { validationContext: { trustedCa: inline('') } }, /its CA is empty/],
  ['one that is none', { validationContext: { trustedCa: inline('xyz') } }, /its CA holds no certificate/],
  [
    'one of a plugin',
    { validationContext: { caCertificateProviderInstance: { instanceName: 'p' } } },
    /its CA comes from a plugin/,
  ],
  [
    'one of an older plugin',
    { validationContextCertificateProviderInstance: { instanceName: 'p' } },
    /its CA comes from a plugin/,
  ],
  [
    'a validator of its own',
    {
      validationContext: {
        ...CA,
        customValidatorConfig: {
          name: 'envoy.tls.cert_validator.spiffe',
          typedConfig: { '@type': `${TYPES}transport_sockets.tls.v3.SPIFFECertValidatorConfig` },
        },
      },
    },
    /SPIFFECertValidatorConfig/,
  ],
  ['the hash of a certificate', { validationContext: { verifyCertificateHash: ['aa'] } }, /certain hashes/],
  ['the hash of a key', { validationContext: { ...CA, verifyCertificateSpki: ['aa'] } }, /certain hashes/],
  ['a list of revoked certificates', { validationContext: { ...CA, crl: inline('x') } }, /revoked/],
  ['a depth', { validationContext: { ...CA, maxVerifyDepth: 1 } }, /depth/],
  ['timestamps', { validationContext: { ...CA, requireSignedCertificateTimestamp: true } }, /timestamps/],
  ['a handshaker', { customHandshaker: { name: 'x' } }, /handshaker/],
  [
    'a client certificate in a secret that has not come',
    { validationContext: CA, tlsCertificateSdsSecretConfigs: [sds('pair')] },
    /has not sent the secret pair/,
  ],
  [
    'one with another key',
    { validationContext: CA, tlsCertificates: [{ certificateChain: inline(client.cert), privateKey: inline(ca.key) }] },
    /the key of its client certificate is not the key/,
  ],
  ['one without a key', { validationContext: CA, tlsCertificates: [{ certificateChain: inline(client.cert) }] }, /without a key/],
  ['one in one piece', { validationContext: CA, tlsCertificates: [{ pkcs12: inline('x') }] }, /not a plain pair/],
  [
    'one of a plugin',
    { validationContext: CA, tlsCertificateProviderInstance: { instanceName: 'p' } },
    /client certificate comes from a plugin/,
  ],
];

for (const [what, common, why, given] of UNUSABLE) {
  t.test(`no endpoint is connected, neither plain nor unverified, where TLS asks for what cannot be done: ${what}`, async (t) => {
    const { cluster, unusable } = withTls(common, given);
    t.match(unusable, why);
    t.same(cluster.endpoints, []);
  });
}

t.test('nor where the transport socket is another one, or has fields that are not known', async (t) => {
  t.match(
    translate({ transportSocket: { name: 'envoy.transport_sockets.alts' } }).unusable,
    /its transport socket is envoy\.transport_sockets\.alts/,
  );
  const socket = clusterOf({ transportSocket: tlsSocket({}) }).transportSocket!;
  if (socket.configType.case === 'typedConfig') socket.configType.value = withField(socket.configType.value, 99);
  const cluster = { ...clusterOf(), transportSocket: socket };
  t.match(translateCluster({ cluster, secret: () => undefined }).unusable, /UpstreamTlsContext field 99/);
});

t.test('nor where a newer field of the cluster chooses the sockets; other newer fields are only remarks', async (t) => {
  const withNewer = (field: number): TranslatedCluster => {
    const accepted = acceptCluster(withField(clusterAny(), field));
    if (accepted.kind === 'refused') throw new Error(accepted.why);
    return translateCluster({ cluster: accepted.resource, secret: () => undefined });
  };
  t.match(withNewer(59).unusable, /chosen by a matcher/);
  t.same(withNewer(59).cluster.endpoints, []);
  t.match(withNewer(99), { remarks: [/not used: field 99/] });
  t.equal(withNewer(99).unusable, undefined);
});

t.test('a client certificate is inline or a secret', async (t) => {
  const pair = { certificateChain: inline(client.cert), privateKey: inline(client.key) };
  const secrets = [{ name: 'pair', tlsCertificate: pair }];
  for (const translated of [
    withTls({ tlsCertificates: [pair] }),
    withTls({ tlsCertificateSdsSecretConfigs: [sds('pair')] }, { secrets }),
  ]) {
    const { clientCertificate } = tlsOf(translated);
    t.equal(translated.secrets.get(clientCertificate!.cert), client.cert);
    t.equal(translated.secrets.get(clientCertificate!.key), client.key);
    t.notOk(JSON.stringify([translated.cluster, translated.remarks]).includes('PRIVATE KEY'));
  }
});

t.test('versions are 1.2 to 1.3, or what is asked for', async (t) => {
  const bounds = (tlsParams: JsonObject): readonly string[] => {
    const { minVersion, maxVersion } = tlsOf(withTls({ tlsParams }));
    return [minVersion, maxVersion];
  };
  t.same(bounds({}), ['TLSv1.2', 'TLSv1.3']);
  t.same(bounds({ tlsMinimumProtocolVersion: 'TLSv1_0', tlsMaximumProtocolVersion: 'TLSv1_2' }), ['TLSv1', 'TLSv1.2']);
  t.same(bounds({ tlsMinimumProtocolVersion: 'TLSv1_3' }), ['TLSv1.3', 'TLSv1.3']);
  t.same(bounds({ tlsMaximumProtocolVersion: 'TLSv1_1' }), ['TLSv1.1', 'TLSv1.1']);
  t.match(withTls({ tlsParams: { cipherSuites: ['x'] } }).remarks[1], /those of this egress: cipherSuites/);
});

t.test('the SNI is sent as it is, but never an address', async (t) => {
  const sni = (text: string): string | null => tlsOf(withTls({}, {}, { sni: text })).serverName;
  t.same(['ext.test', 'ext.test.', '10.0.0.1', '::1', ''].map(sni), ['ext.test', 'ext.test', null, null, null]);
  t.equal(tlsOf(withTls({}, {}, { allowRenegotiation: true })).allowRenegotiation, true);
});

const protocol = (options: JsonObject): JsonObject => ({
  typedExtensionProtocolOptions: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${TYPES}upstreams.http.v3.HttpProtocolOptions`,
      ...options,
    },
  },
});

t.test('the protocol that is offered is the one of the TLS, else the one of the cluster', async (t) => {
  const offered = (options: JsonObject, common: JsonObject = {}): readonly string[] =>
    tlsOf(translate({ ...options, transportSocket: tlsSocket({ commonTlsContext: common }) })).alpn;
  t.same(offered({}), []);
  t.same(offered(protocol({ explicitHttpConfig: { httpProtocolOptions: {} } })), ['http/1.1']);
  t.same(offered(protocol({ explicitHttpConfig: { http2ProtocolOptions: {} } })), ['h2']);
  t.same(offered({ http2ProtocolOptions: {} }), ['h2']);
  t.same(offered(protocol({ autoConfig: {} })), [], 'which one clients speak is not known');
  t.same(offered({}, { alpnProtocols: ['kuma'] }), ['kuma']);
});

const MATCH = 'envoy.transport_socket_match';
const labelled = (host: string, labels: JsonObject): JsonObject => ({ host, metadata: { filterMetadata: { [MATCH]: labels } } });

t.test('the first socket whose match is part of an endpoint’s labels is its socket; else the cluster’s, else none', async (t) => {
  const socket = (sni: string): JsonObject => tlsSocket({ sni, commonTlsContext: { validationContext: CA } });
  const matches = {
    transportSocketMatches: [
      { name: 'a', match: { tier: 'a' }, transportSocket: socket('a.test') },
      { name: 'both', match: { tier: 'b', zone: 'z' }, transportSocket: socket('b.test') },
    ],
  };
  const endpoints = [
    labelled('10.0.0.1', { tier: 'a', zone: 'z' }),
    labelled('10.0.0.2', { tier: 'b', zone: 'z' }),
    labelled('10.0.0.3', { tier: 'b' }),
    {},
  ];
  const loadAssignment = assignmentJson(endpoints);
  const names = ({ cluster }: TranslatedCluster): readonly unknown[] => cluster.endpoints.map(({ tls }) => tls?.serverName);
  t.same(names(translate({ ...matches, loadAssignment })), ['a.test', 'b.test', undefined, undefined]);
  t.same(names(translate({ ...matches, loadAssignment, transportSocket: socket('c.test') })), [
    'a.test',
    'b.test',
    'c.test',
    'c.test',
  ]);
  const always = { transportSocketMatches: [{ name: 'all', transportSocket: socket('d.test') }] };
  t.same(
    names(translate({ ...always, loadAssignment })),
    ['d.test', 'd.test', 'd.test', 'd.test'],
    'no match meets every endpoint',
  );
  const locality = { metadata: { filterMetadata: { [MATCH]: { tier: 'a' } } } };
  t.same(
    names(translate({ ...matches, loadAssignment: assignmentJson([{}], locality) })),
    ['a.test'],
    'labels may be its locality’s',
  );
});

t.test('endpoints whose TLS cannot be done are left out, and the others stay', async (t) => {
  const bad = tlsSocket({ commonTlsContext: { validationContextSdsSecretConfig: sds('ca') } });
  const cluster = {
    transportSocketMatches: [{ name: 'a', match: { tier: 'a' }, transportSocket: bad }],
    loadAssignment: assignmentJson([labelled('10.0.0.1', { tier: 'a' }), labelled('10.0.0.2', { tier: 'b' })]),
  };
  const some = translate(cluster);
  t.match(some.cluster.endpoints, [{ address: { ip: '10.0.0.2' }, tls: null }]);
  t.equal(some.cluster.endpoints.length, 1);
  t.match(some.remarks, [/left out: the control plane has not sent the secret ca/]);
  t.equal(some.unusable, undefined);
  const none = translate({ ...cluster, loadAssignment: assignmentJson([labelled('10.0.0.1', { tier: 'a' })]) });
  t.match(none.unusable, /has not sent the secret ca/);
});
