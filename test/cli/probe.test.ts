// Each fault of a service is a real server; `probe` has to name it, and the field that mends it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { TlsOptions } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { findingOf, EXTERNAL_SERVICE_FIELDS } from '../../src/control/tls-finding.ts';
import type { Attempt } from '../../src/control/tls-probe.ts';
import { generateKey, selfSigned } from '../../src/identity/issue.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { ZONE } from '../explain/zone.ts';
import { freePort } from '../free-ports.ts';
import { listening } from '../listening.ts';
import { runCommand } from './running.ts';

const DAY_MS = 86_400_000;
const partner = await createTestMesh('partner', { keyType: 'ec' });
const stranger = await createTestMesh('stranger', { keyType: 'ec' });
const good = partner.issue({ uris: [], dns: ['api.partner.test'], subject: [['CN', 'api']] });
const client = partner.issue({ uris: [], dns: ['egress.partner.test'], subject: [['CN', 'egress']] });

function tlsServer(t: Test, options: TlsOptions): Promise<number> {
  const server = createTlsServer(options, (socket) => void socket.on('error', () => {}).resume());
  server.on('tlsClientError', () => {});
  return listening(t, server);
}

const inline = (pem: string): string => `{ inlineString: ${JSON.stringify(pem)} }`;
const TRUSTED = `enabled: true, serverName: api.partner.test, caCert: ${inline(partner.ca.cert)}`;

/** Writes a zone with one external service, and probes it. */
async function probe(t: Test, service: string, ...more: readonly string[]) {
  const dir = `${t.testdir({})}/zone`;
  mkdirSync(dir);
  writeFileSync(`${dir}/zone.yaml`, `${ZONE}---\n${service}`);
  // A busy machine takes its time; only a failure takes all of it.
  const ran = await runCommand('probe', 'partner', '--resources', dir, '--timeout', '60s', ...more);
  t.equal(ran.err, '');
  t.notMatch(ran.out, /PRIVATE KEY|BEGIN/);
  return ran;
}

const external = (address: string, tls: string): string => `type: ExternalService
mesh: default
name: partner
tags: { kuma.io/service: partner }
networking: { address: '${address}'${tls === '' ? '' : `, tls: { ${tls} }`} }
`;
const meshExternal = (port: number, tls: string): string => `type: MeshExternalService
mesh: default
name: partner
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: ${port} }]
  tls: { enabled: true, ${tls} }
`;

t.test('a service that can be used is good, with what was agreed and how long it took', async (t) => {
  const port = await tlsServer(t, { ...good, ca: partner.ca.cert, requestCert: true, rejectUnauthorized: true });
  const pair = `clientCert: ${inline(client.cert)}, clientKey: ${inline(client.key)}`;
  const ran = await probe(t, external(`127.0.0.1:${port}`, `${TRUSTED}, ${pair}`));
  t.match(ran, {
    code: 0,
    out: /^partner of mesh default: 1 address\n127\.0\.0\.1:\d+: good; connected in \d+ ms, TLS in \d+ ms\n {2}TLSv1\.3, TLS_\w+.*; certificate valid to 20\d\d-.*Z\n$/,
  });
});

t.test('each fault of the TLS of a service has its name, a sentence and a field', async (t) => {
  const now = Date.now();
  const issued = (changes: object) =>
    partner.issue({ uris: [], dns: ['api.partner.test'], subject: [['CN', 'api']], ...changes });
  const alone = selfSigned({
    key: await generateKey('ec'),
    subject: [['CN', 'api']],
    dns: ['api.partner.test'],
    notBefore: now - DAY_MS,
    notAfter: now + DAY_MS,
  });
  const foreign = stranger.issue({ uris: [], dns: ['api.partner.test'], subject: [['CN', 'api']] });
  const cases: readonly (readonly [kind: string, server: TlsOptions, says: RegExp, write: RegExp, tls?: string])[] = [
    [
      'expired',
      issued({ notBefore: now - 3 * DAY_MS, notAfter: now - DAY_MS }),
      /^the certificate "CN=api" expired at 20\S+Z; our clock has 20\S+Z$/,
      /^$/,
    ],
    [
      'not-yet-valid',
      issued({ notBefore: now + DAY_MS, notAfter: now + 2 * DAY_MS }),
      /^the certificate "CN=api" is valid from 20\S+Z on; our clock has 20\S+Z: one of the two clocks is wrong/,
      /^$/,
    ],
    [
      'name-mismatch',
      issued({ dns: ['www.partner.test'] }),
      /the server is not api\.partner\.test: its certificate is for www\.partner\.test, wanted one of: api\.partner\.test/,
      /^networking\.tls\.serverName: www\.partner\.test, if that is the service that you mean$/,
    ],
    [
      'chain-incomplete',
      foreign,
      /^the server sends its own certificate only, issued by ".*", which is not among the CAs of networking\.tls\.caCert/,
      /^networking\.tls\.caCert: the certificate of "/,
    ],
    [
      'unknown-ca',
      { ...foreign, cert: foreign.cert + stranger.ca.cert },
      /^the server sends 2 certificates, issued by ".*", which is not among the CAs of networking\.tls\.caCert$/,
      /^networking\.tls\.caCert: /,
    ],
    ['purpose', stranger.ca, /^the certificate ".*" is not one for servers/, /^$/],
    ['self-signed', alone, /^the certificate ".*" is self-signed/, /^networking\.tls\.caCert: this certificate itself/],
    [
      'client-certificate-wanted',
      { ...good, ca: partner.ca.cert, requestCert: true, rejectUnauthorized: true },
      /^the server wants a certificate of its client, and the resource has none$/,
      /^networking\.tls\.clientCert and networking\.tls\.clientKey: /,
    ],
    [
      'ended',
      { ...good, ca: stranger.ca.cert, requestCert: true, rejectUnauthorized: true, maxVersion: 'TLSv1.3' },
      /^TLS is set up, and the server ends the connection at once/,
      /^networking\.tls\.clientCert and networking\.tls\.clientKey: /,
      `clientCert: ${inline(client.cert)}, clientKey: ${inline(client.key)}`,
    ],
  ];
  for (const [kind, server, says, write, more = ''] of cases) {
    const port = await tlsServer(t, server);
    const service = external(`127.0.0.1:${port}`, more === '' ? TRUSTED : `${TRUSTED}, ${more}`);
    const { code, out } = await probe(t, service, '-o', 'json', '--wait', '60s');
    t.equal(code, 3, kind);
    t.match(JSON.parse(out), { version: 1, destination: 'partner', endpoints: [{ finding: { kind, says, write } }] }, kind);
  }
});

t.test('a version that is not common, and a server that nothing verifies, of a MeshExternalService', async (t) => {
  const old = await tlsServer(t, { ...good, maxVersion: 'TLSv1.2' });
  const trust = `verification: { mode: Secured, serverName: api.partner.test, caCert: ${inline(partner.ca.cert)} }`;
  const version = await probe(t, meshExternal(old, `version: { min: TLS13, max: TLS13 }, ${trust}`));
  t.match(version, {
    code: 3,
    out: /: version; .*\n {2}no version of TLS is common: TLSv1\.3 to TLSv1\.3 are offered; the server speaks TLSv1\.2\n {2}write spec\.tls\.version: a range/,
  });
  const open = await probe(t, meshExternal(old, 'verification: { mode: SkipAll }'));
  t.match(open, {
    code: 0,
    out: /: unverified; .*\n.*\n {2}TLS is set up, and the server is not verified.*\n {2}write spec\.tls\.verification\.caCert/,
  });
  const other = await tlsServer(t, stranger.issue({ uris: [], dns: ['x.test'] }));
  const names = await probe(t, meshExternal(other, trust.replace(inline(partner.ca.cert), inline(stranger.ca.cert))));
  t.match(names, { code: 3, out: /name-mismatch[^]*write spec\.tls\.verification\.subjectAltNames: x\.test, if that/ });
});

t.test('what is no TLS, and TLS where the resource has none', async (t) => {
  const plain = await listening(
    t,
    createTcpServer((socket) => void socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))),
  );
  t.match(await probe(t, external(`127.0.0.1:${plain}`, TRUSTED)), {
    code: 3,
    out: /: not-tls; .*\n {2}the server does not speak TLS on this port\n {2}write networking\.tls\.enabled: false/,
  });
  t.match(await probe(t, external(`127.0.0.1:${plain}`, '')), { code: 0, out: /: good; connected in \d+ ms\n$/ });
  const https = await listening(
    t,
    createHttpsServer(good, (_, response) => void response.end('ok')),
  );
  t.match(await probe(t, external(`127.0.0.1:${https}`, '')), {
    code: 3,
    out: /: speaks-tls; .*\n {2}the server speaks TLS on this port, and the resource has no TLS.*\n {2}write networking\.tls\.enabled: true\n$/,
  });
});

t.test('addresses that cannot be reached or must not be dialled', async (t) => {
  t.match(await probe(t, external(`127.0.0.1:${await freePort()}`, TRUSTED)), {
    code: 3,
    out: /: refused\n {2}nothing listens there: the connection is refused\n {2}write networking\.address: /,
  });
  // The kernel takes the connection, and the server never answers.
  const silent = await listening(
    t,
    createTcpServer(() => {}),
  );
  t.match(await probe(t, external(`127.0.0.1:${silent}`, TRUSTED), '--timeout', '100ms'), {
    code: 3,
    out: /: timeout[^]*(no answer came in time|does not answer the TLS handshake in time)/,
  });
  t.match(await probe(t, external('nothing.invalid:443', TRUSTED), '--timeout', '3s'), {
    code: 3,
    out: /: name-not-resolved\n {2}nothing\.invalid does not resolve: .*\n {2}write networking\.address: /,
  });
  const port = await tlsServer(t, good);
  t.match(await probe(t, external(`localhost:${port}`, TRUSTED)), {
    code: 3,
    out: /: forbidden-address; resolved in \d+ ms\n {2}it resolves to 127\.0\.0\.1, an address of this machine/,
  });
  t.match(await probe(t, external(`localhost:${port}`, TRUSTED), '--allow-resolved', '127.0.0.0/8'), {
    code: 0,
    out: /^localhost:\d+ \(127\.0\.0\.1:\d+\): good; resolved in \d+ ms, connected in /m,
  });
});

t.test('names in a certificate give no orders to a terminal', async (t) => {
  const evil = stranger.issue({ uris: [], dns: ['a.test'], subject: [['CN', 'x\u001b[2J\u009b1m\ny']] });
  const { out } = await probe(t, external(`127.0.0.1:${await tlsServer(t, evil)}`, TRUSTED));
  t.match(out, /chain-incomplete/);
  t.notMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
});

t.test('questions that cannot be asked', async (t) => {
  const dir = t.testdir({ 'zone.yaml': `${ZONE}---\n${external('127.0.0.1:1', '')}` });
  const at = ['--resources', dir];
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [at, 64, /probe needs the SNI or the name of a destination/],
    [['partner'], 64, /probe needs --resources DIR, or --admin URL of a running egress/],
    [['partner', 'x', ...at], 64, /takes one destination, got "x" too/],
    [['partner', ...at, '--admin', 'http://127.0.0.1:1'], 64, /give only one of --resources and --admin/],
    [
      ['partner', '--admin', 'http://127.0.0.1:1', '--allow-resolved', '127.0.0.0/8'],
      64,
      /--allow-resolved goes with --resources/,
    ],
    [['partner', '--admin', `http://127.0.0.1:${await freePort()}`], 69, /ask http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/],
    [['patner', ...at], 66, /no destination and no SNI is "patner".*did you mean "?partner/],
    [['partner', '--resources', `${dir}/none`], 66, /there is no such folder/],
  ];
  for (const [args, code, err] of cases) t.match(await runCommand('probe', ...args), { code, err }, args.join(' '));
  t.match(await runCommand('probe', 'backend', ...at, '--timeout', '100ms'), {
    out: /note: the TLS of clients goes through to the other zone/,
  });
});

t.test('alerts about the certificate of the client are told apart from others', async (t) => {
  const kindOf = (code: string, clientCertificate: object | null): string | undefined => {
    const error = Object.assign(new Error(code), { code });
    const first: Attempt = { connectMs: 1, tlsMs: -1, error, at: 'tls', tls: null };
    const seen = { protocol: 'TLSv1.3', cipher: 'x', alpn: '', chain: [] };
    const loose: Attempt = { ...first, error: null, tls: seen };
    const tls = { serverName: null, trust: { kind: 'system' }, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', alpn: ['h2'] };
    const probed = { first, loose, tls: { ...tls, clientCertificate }, fields: EXTERNAL_SERVICE_FIELDS, nowMs: 0 };
    return findingOf(probed as unknown as Parameters<typeof findingOf>[0])?.kind;
  };
  t.equal(kindOf('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', {}), 'client-certificate-refused');
  t.equal(kindOf('ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', {}), 'client-certificate-refused');
  t.equal(kindOf('ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', {}), 'client-certificate-refused');
  t.equal(kindOf('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', null), 'client-certificate-wanted');
  t.equal(kindOf('ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL', null), 'alpn');
  t.equal(kindOf('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', null), 'version');
  t.equal(kindOf('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', null), 'tls-failed');
});
