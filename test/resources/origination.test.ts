import t from 'tap';
import type { TlsOrigination } from '../../src/model/cluster.ts';
import type { Compiled } from '../../src/model/compiled.ts';
import { ALLOW_ALL, ca, compileZone, external, lines, linesOf, snapshotOf } from './fixtures/compiling.ts';
import { makeLeaf } from './fixtures/pki.ts';

const client = makeLeaf('client');
const inline = (text: string): string => `{inline: ${Buffer.from(text).toString('base64')}}`;
const CA = `caCert: ${inline(ca.cert)}`;
const CLIENT = `clientCert: ${inline(client.cert)}, clientKey: ${inline(client.key)}`;

function externalTls(tls: string, address = 'ext.test:443', protocol = 'tcp'): Compiled {
  const networking = `networking: {address: "${address}", tls: {enabled: true, ${tls}}}`;
  return compileZone(ALLOW_ALL, external('es', networking, `, kuma.io/protocol: ${protocol}`));
}

function meshTls(tls: string, endpoints = '[{address: ext.test, port: 443}]', protocol = 'tcp'): Compiled {
  return compileZone(
    `type: MeshExternalService\nmesh: default\nname: mes\nspec:\n  match: {port: 80, protocol: ${protocol}}\n  endpoints: ${endpoints}\n  tls: {enabled: true, ${tls}}\n`,
  );
}

function tlsOf(compiled: Compiled): TlsOrigination {
  const [cluster] = snapshotOf(compiled).clusters.values();
  const tls = cluster?.endpoints[0]?.tls;
  if (tls === undefined || tls === null) throw new Error('no TLS');
  return tls;
}

function kept(compiled: Compiled, trust: TlsOrigination['trust']): string | undefined {
  return compiled.kind === 'compiled' && trust.kind === 'bundle' ? compiled.secrets.get(trust.ca) : undefined;
}

const exact = (value: string): object => ({ kind: 'exact', value });

t.test('ExternalService: the host is SNI and name, under its own CA', async (t) => {
  const compiled = externalTls(CA);
  const tls = tlsOf(compiled);
  t.same(lines(compiled), []);
  t.equal(kept(compiled, tls.trust), ca.cert);
  t.same(
    { ...tls, trust: null },
    {
      serverName: 'ext.test',
      trust: null,
      names: [exact('ext.test')],
      clientCertificate: null,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      alpn: [],
      allowRenegotiation: false,
    },
  );
});

t.test('ExternalService: serverName counts before the host; an address is never sent as SNI, and still checked', async (t) => {
  const named = tlsOf(externalTls(`${CA}, serverName: other.test, allowRenegotiation: true`, '192.0.2.1:443'));
  t.equal(named.serverName, 'other.test');
  t.same(named.names, [exact('other.test')]);
  t.equal(named.allowRenegotiation, true);
  for (const address of ['192.0.2.1:443', '[2001:db8::1]:443']) {
    const tls = tlsOf(externalTls(CA, address));
    t.equal(tls.serverName, null);
    t.same(tls.names, [exact(address.startsWith('[') ? '2001:db8::1' : '192.0.2.1')]);
  }
  const literal = tlsOf(externalTls(`${CA}, serverName: 192.0.2.9`));
  t.equal(literal.serverName, null);
  t.same(literal.names, [exact('192.0.2.9')]);
  t.equal(tlsOf(externalTls(CA, 'ext.test.:443')).serverName, 'ext.test', 'without the dot of a full name');
});

t.test('ExternalService: without a CA nothing is verified, which is a warning', async (t) => {
  const compiled = externalTls('serverName: other.test');
  t.same(tlsOf(compiled).trust, { kind: 'none', reason: 'networking.tls.caCert is not set' });
  t.equal(tlsOf(compiled).names, null);
  t.same(lines(compiled), [
    'zone.yaml:21:44 warning: networking.tls.caCert: is not set: the connection is encrypted, but the certificate of the service is not verified',
  ]);
});

t.test('ExternalService: skipHostnameVerification keeps the CA and leaves the name out', async (t) => {
  const tls = tlsOf(externalTls(`${CA}, skipHostnameVerification: true`));
  t.equal(tls.trust.kind, 'bundle');
  t.equal(tls.names, null);
  t.equal(tls.serverName, 'ext.test');
});

t.test('ExternalService: a client certificate needs both halves; one alone has no effect and says so', async (t) => {
  const compiled = externalTls(`${CA}, ${CLIENT}`);
  const { clientCertificate } = tlsOf(compiled);
  t.equal(compiled.kind === 'compiled' && clientCertificate !== null && compiled.secrets.get(clientCertificate.key), client.key);
  const half = externalTls(`${CA}, clientCert: ${inline(client.cert)}`);
  t.equal(tlsOf(half).clientCertificate, null);
  t.match(lines(half), [
    /warning: networking.tls.clientCert: has no effect: networking.tls needs both clientCert and clientKey$/,
  ]);
});

t.test('what is offered in ALPN is what the bytes are', async (t) => {
  for (const [protocol, alpn] of [
    ['tcp', []],
    ['kafka', []],
    ['http', ['http/1.1']],
    ['http2', ['h2']],
    ['grpc', ['h2']],
  ] as const) {
    t.same(tlsOf(externalTls(CA, undefined, protocol)).alpn, alpn, protocol);
    if (protocol !== 'kafka') t.same(tlsOf(meshTls(`verification: {${CA}}`, undefined, protocol)).alpn, alpn, protocol);
  }
});

t.test('MeshExternalService: the four modes', async (t) => {
  const more = `serverName: sni.test, subjectAltNames: [{value: alt.test}, {type: Prefix, value: pre.}], ${CA}, ${CLIENT}`;
  const secured = tlsOf(meshTls(`verification: {mode: Secured, ${more}}`));
  t.equal(secured.trust.kind, 'bundle');
  t.equal(secured.serverName, 'sni.test');
  t.same(secured.names, [exact('sni.test'), exact('alt.test'), { kind: 'prefix', value: 'pre.' }]);
  t.not(secured.clientCertificate, null);

  const skipSan = tlsOf(meshTls(`verification: {mode: SkipSAN, ${more}}`));
  t.equal(skipSan.trust.kind, 'bundle');
  t.equal(skipSan.serverName, 'ext.test', 'the configured name is dropped');
  t.equal(skipSan.names, null);
  t.not(skipSan.clientCertificate, null);

  const skipCa = tlsOf(meshTls(`verification: {mode: SkipCA, ${more}}`));
  t.same(skipCa.trust, { kind: 'none', reason: 'spec.tls.verification.mode is SkipCA' });
  t.equal(skipCa.serverName, 'sni.test');
  t.equal(skipCa.names, null);
  t.not(skipCa.clientCertificate, null);

  const all = meshTls(`verification: {mode: SkipAll, ${more}}`);
  t.same(tlsOf(all).trust, { kind: 'none', reason: 'spec.tls.verification.mode is SkipAll' });
  t.equal(tlsOf(all).serverName, 'ext.test');
  t.equal(tlsOf(all).names, null);
  t.equal(tlsOf(all).clientCertificate, null);
  t.match(lines(all), [/^zone.yaml:17:8 warning: spec.tls.verification.mode: is SkipAll: the connection is encrypted, but/]);
});

t.test('MeshExternalService: without a CA the one of the operating system counts', async (t) => {
  for (const tls of ['', 'verification: {}', 'verification: {mode: Secured}']) {
    const compiled = meshTls(tls);
    t.same(tlsOf(compiled).trust, { kind: 'system' }, tls);
    t.same(tlsOf(compiled).names, [exact('ext.test')]);
    t.same(lines(compiled), []);
  }
  const skipSan = tlsOf(meshTls('verification: {mode: SkipSAN}'));
  t.same(skipSan.trust, { kind: 'system' });
  t.equal(skipSan.names, null);
});

t.test('MeshExternalService: the first endpoint names the server for all of them', async (t) => {
  const endpoints = '[{address: one.test, port: 1}, {address: two.test, port: 2}]';
  const [cluster] = snapshotOf(meshTls('', endpoints)).clusters.values();
  t.same(
    cluster?.endpoints.map(({ tls }) => tls?.serverName),
    ['one.test', 'one.test'],
  );
  const address = tlsOf(meshTls('', '[{address: 192.0.2.1, port: 1}, {address: two.test, port: 2}]'));
  t.equal(address.serverName, null);
  t.same(address.names, [exact('192.0.2.1')]);
});

t.test('MeshExternalService: the range of TLS versions', async (t) => {
  for (const [version, min, max] of [
    ['{}', 'TLSv1.2', 'TLSv1.3'],
    ['{min: TLS13}', 'TLSv1.3', 'TLSv1.3'],
    ['{min: TLS10, max: TLS12}', 'TLSv1', 'TLSv1.2'],
    ['{max: TLS11}', 'TLSv1.1', 'TLSv1.1'],
    ['{min: TLSAuto, max: TLSAuto}', 'TLSv1.2', 'TLSv1.3'],
  ] as const) {
    const { minVersion, maxVersion } = tlsOf(meshTls(`version: ${version}`));
    t.same([minVersion, maxVersion], [min, max], version);
  }
});

t.test('TLS that is not enabled is plain, and its sources are not looked for', async (t) => {
  const compiled = compileZone(
    ALLOW_ALL,
    external('es', 'networking: {address: "ext.test:443", tls: {enabled: false, caCert: {secret: nowhere}}}'),
  );
  t.same(linesOf(compiled, 'error'), []);
  t.equal([...snapshotOf(compiled).clusters.values()][0]?.endpoints[0]?.tls, null);
});

t.test('TLS settings without `enabled` mean plain TCP, which is reported', async (t) => {
  const compiled = compileZone(
    ALLOW_ALL,
    external('es', 'networking: {address: "ext.test:443", tls: {caCert: {secret: nowhere}}}'),
    'type: MeshExternalService\nmesh: default\nname: m\nspec: {match: {port: 1}, endpoints: [{address: a, port: 1}], tls: {verification: {mode: SkipCA}}}\n',
  );
  t.same(
    lines(compiled).map((line) => line.replace(/^\S+ /, '')),
    ['networking.tls', 'spec.tls'].map(
      (path) =>
        `warning: ${path}.enabled: is not set: the connection is not encrypted, and nothing else that is written here counts`,
    ),
  );
  const empty = compileZone(ALLOW_ALL, external('es', 'networking: {address: "ext.test:443", tls: {}}'));
  t.same(lines(empty), []);
});
