/**
 * Tests the listener that a control plane asks for: real sockets, real TLS, with the requests that
 * were recorded of kuma-cp.
 */
import { once } from 'node:events';
import { get as httpGet } from 'node:http';
import type { OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { fromJson } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import { createEnvoyAdmin } from '../../../src/admin/envoy/admin.ts';
import type { EnvoyAdmin, EnvoyAdminOptions } from '../../../src/admin/envoy/admin.ts';
import { createAdminChanges } from '../../../src/admin/changes/changes.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { CertificateAndKey } from '../../../src/identity/issue.ts';
import type { AdminListener } from '../../../src/model/admin-listener.ts';
import { contentHash } from '../../../src/model/names.ts';
import { createAdminClient } from '../../../src/testing/control-plane/admin-client.ts';
import type { AdminClient } from '../../../src/testing/control-plane/admin-client.ts';
import { FakeClock } from '../../../src/testing/fake-clock.ts';
import type { TestMesh } from '../../../src/testing/egress/test-mesh.ts';
import { createTestMesh } from '../../../src/testing/egress/test-mesh.ts';
import { ClustersSchema } from '#envoy/admin/v3/clusters_pb.js';
import { ConfigDumpSchema } from '#envoy/admin/v3/config_dump_pb.js';
import { registry } from '../../xds/recorded-state.ts';
import { emptyFacts, recordedFacts, recordedText } from './recorded-facts.ts';
import type { EnvoyFacts } from '../../../src/admin/envoy/facts.ts';
import type { Exposition } from '../../../src/observe/exposition.ts';

interface Opened {
  readonly admin: EnvoyAdmin;
  readonly client: AdminClient;
  readonly at: string;
  readonly port: number;
  /** A mesh under a second CA that the listener trusts. */
  readonly mesh: TestMesh;
  /** Gives it another certificate from now on. */
  readonly rotate: () => Promise<void>;
}

const HASHES = { cert: contentHash('cert'), key: contentHash('key'), clientCa: contentHash('ca') };

async function opened(
  t: Test,
  facts: EnvoyFacts = emptyFacts(),
  clock = systemClock({ keepAlive: false }),
  more: Pick<EnvoyAdminOptions, 'changes'> = {},
): Promise<Opened> {
  const client = await createAdminClient({ nowMs: Date.now() });
  const mesh = await createTestMesh('default');
  const faults: unknown[] = [];
  const admin = createEnvoyAdmin({ clock, facts, fault: (error) => faults.push(error), ...more });
  let rotations = 0;
  const rotate = async (): Promise<void> => {
    const { cert, key } = await client.issueServer('127.0.0.1');
    const n = rotations++;
    const names = { cert: contentHash(`cert ${n}`), key: contentHash(`key ${n}`), clientCa: HASHES.clientCa };
    const texts = new Map([
      [names.cert, cert],
      [names.key, key],
      [names.clientCa, client.caCert + mesh.ca.cert],
    ]);
    const wanted: AdminListener = {
      address: '127.0.0.1',
      port: 0,
      plaintextPaths: ['/ready'],
      tls: { ...names, clientName: 'kuma-cp' },
    };
    await admin.follow(wanted, (hash) => texts.get(hash));
  };
  await rotate();
  t.teardown(async () => {
    client.close();
    await admin.close();
    if (faults.length > 0) throw new Error(String(faults[0]));
  });
  const port = admin.at?.port ?? 0;
  return { admin, client, at: `127.0.0.1:${port}`, port, mesh, rotate };
}

function plain(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    httpGet({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    }).on('error', reject);
  });
}

async function ended(socket: Socket): Promise<void> {
  socket.on('error', () => undefined);
  socket.resume();
  // `once` is not used, because it rejects for an earlier error.
  if (!socket.closed) await new Promise<void>((resolve) => void socket.on('close', () => resolve()));
}

t.test('each recorded request of a control plane is answered with what its types accept', async (t) => {
  const { client, at } = await opened(t, recordedFacts());
  const lines = JSON.parse(recordedText('cp-api/admin-requests.json')) as { request?: string }[];
  const paths = new Set(lines.flatMap(({ request }) => (request === undefined ? [] : [request.split(' ')[1] ?? ''])));
  t.ok(paths.size >= 6, [...paths].join(' '));
  for (const path of paths) {
    const { status, headers, body } = await client.inspect(at, { path });
    t.equal(status, 200, path);
    if (path.startsWith('/config_dump')) fromJson(ConfigDumpSchema, JSON.parse(body) as JsonValue, { registry });
    else if (path === '/clusters?format=json') fromJson(ClustersSchema, JSON.parse(body) as JsonValue, { registry });
    else if (path.includes('format=json')) t.ok(Array.isArray((JSON.parse(body) as { stats: unknown }).stats), path);
    else t.match(headers['content-type'], /^text\/plain/, path);
  }
});

t.test('many requests at once, each on a connection of its own that stays open', async (t) => {
  const { client, at } = await opened(t);
  const answers = await Promise.all(Array.from({ length: 40 }, () => client.inspect(at, { path: '/stats?usedonly=' })));
  t.ok(answers.every(({ status }) => status === 200));
});

t.test('without TLS only the paths are served that may be', async (t) => {
  const { port } = await opened(t);
  t.same(await plain(port, '/ready'), { status: 200, body: 'LIVE\n' });
  for (const path of ['/config_dump', '/stats', '/stats/prometheus', '/', '/../config_dump', '//config_dump', '/help'])
    t.equal((await plain(port, path)).status, 404, path);
});

t.test('only the holder of a certificate with the right name, of the right CA, gets in', async (t) => {
  const { client, at, port, mesh } = await opened(t);
  const other = await createTestMesh('default');
  const named = (dns: string, eku: 'clientAuth' | 'serverAuth' = 'clientAuth') => ({ uris: [], dns: [dns], eku: [eku] });
  t.equal((await client.inspect(at, { path: '/ready', client: mesh.issue(named('kuma-cp')) })).status, 200);
  const refused: [string, CertificateAndKey][] = [
    ['another name', mesh.issue(named('kuma-cp.example'))],
    ['part of the name', mesh.issue(named('kuma'))],
    ['a name with a wildcard', mesh.issue(named('*'))],
    ['the name as a URI', mesh.issue({ uris: ['kuma-cp'], eku: ['clientAuth'] })],
    ['the name, and not for clients', mesh.issue(named('kuma-cp', 'serverAuth'))],
    ['the name, of another CA', other.issue(named('kuma-cp'))],
    ['a client of a mesh', mesh.client('frontend')],
    [
      'the name, and expired',
      mesh.issue({ ...named('kuma-cp'), notBefore: Date.now() - 7_200_000, notAfter: Date.now() - 3_600_000 }),
    ],
  ];
  for (const [what, certificate] of refused) {
    await t.rejects(client.inspect(at, { client: certificate }), what);
  }
  const anonymous = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
  anonymous.on('error', () => undefined);
  let got = '';
  anonymous.on('data', (chunk: Buffer) => (got += chunk.toString()));
  anonymous.write('GET /config_dump HTTP/1.1\r\nHost: x\r\n\r\n');
  await ended(anonymous);
  t.equal(got, '', 'nobody without a certificate');
  t.equal((await client.inspect(at, { path: '/ready' })).status, 200);
});

t.test('a new certificate is for new connections, and an answer under way is not broken', async (t) => {
  const slow = Promise.withResolvers<Exposition>();
  const asked = Promise.withResolvers<undefined>();
  const facts = emptyFacts({
    metrics: () => {
      asked.resolve(undefined);
      return slow.promise;
    },
  });
  const { admin, client, at, port, rotate } = await opened(t, facts);
  const underWay = client.inspect(at, { path: '/stats/prometheus' });
  await asked.promise;
  await rotate();
  t.equal(admin.at?.port, port, 'the port stays');
  t.equal((await client.inspect(at, { path: '/ready' })).status, 200);
  slow.resolve({ format: 'prometheus', text: '# own\n' });
  t.match(await underWay, { status: 200, body: /^# own/ });
});

t.test('a certificate that cannot be used is reported, and the one before stays', async (t) => {
  const { admin, client, at } = await opened(t);
  const wanted = { address: '127.0.0.1', port: 0, plaintextPaths: [], tls: { ...HASHES, clientName: 'kuma-cp' } };
  await t.rejects(admin.follow(wanted, () => 'no PEM'));
  t.equal((await client.inspect(at, { path: '/ready' })).status, 200);
});

t.test('it moves to another address, and closes when it is not wanted any more', async (t) => {
  const { admin, client, port } = await opened(t);
  const texts = await client.issueServer('127.0.0.1');
  const moved = { address: '127.0.0.2', port: 0, plaintextPaths: ['/ready'], tls: null };
  await admin.follow(moved, () => texts.cert);
  t.equal(admin.at?.address, '127.0.0.2');
  await t.rejects(plain(port, '/ready'));
  await admin.follow(null, () => undefined);
  t.equal(admin.at, null);
});

t.test('who connects and says nothing is ended, before TLS and after it', async (t) => {
  const clock = new FakeClock();
  const { client, port } = await opened(t, emptyFacts(), clock);
  const silent = connect(port, '127.0.0.1');
  await once(silent, 'connect');
  const stalled = connect(port, '127.0.0.1');
  await once(stalled, 'connect');
  stalled.write(Buffer.from([0x16, 3, 1]));
  const half = connect(port, '127.0.0.1');
  await once(half, 'connect');
  half.write('GET /ready HTTP/1.1\r\n');
  // The answer on another connection shows that the bytes above were read.
  t.equal((await plain(port, '/ready')).status, 200);
  await client.inspect(`127.0.0.1:${port}`, { path: '/ready' });
  clock.advance(5_001);
  await Promise.all([ended(silent), ended(stalled), ended(half)]);
  t.pass('all three ended');
});

t.test('many silent connections keep no client out', async (t) => {
  const { client, at, port } = await opened(t);
  const crowd = Array.from({ length: 100 }, () => connect(port, '127.0.0.1'));
  for (const socket of crowd) socket.on('error', () => undefined);
  await Promise.all(crowd.map((socket) => once(socket, 'connect')));
  t.equal((await client.inspect(at, { path: '/ready' })).status, 200);
  for (const socket of crowd) socket.destroy();
});

t.test('changes are taken from the certificate that the control plane names, and from nothing else', async (t) => {
  const did: string[] = [];
  const lines: string[] = [];
  const act = (what: string) => () => void did.push(what);
  const clock = systemClock({ keepAlive: false });
  const changes = createAdminChanges({
    clock,
    tokens: null,
    hostRefusal: () => null,
    audit: { line: (outcome, { by, change }) => void lines.push(`${outcome} ${String(change)} by ${String(by)}`) },
    actions: {
      endSessions: () => Promise.resolve({ found: 0, sessions: [], silent: [] }),
      logLevel: () => 'info',
      setLogLevel: (level) => void did.push(level),
      failHealth: act('health'),
      drainListeners: act('drain'),
      quit: act('quit'),
      resetCounters: act('reset'),
      reopenLogs: act('reopen'),
      probe: () => Promise.resolve({ kind: 'busy', why: '' }),
    },
  });
  const { port, mesh } = await opened(t, emptyFacts(), clock, { changes });
  const asked = (path: string, client: CertificateAndKey, method = 'POST', headers: OutgoingHttpHeaders = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port, path, method, headers, ...client, rejectUnauthorized: false, agent: false };
      const sent = httpsRequest(options, (response) => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0));
      });
      sent.on('error', reject).end();
    });
  const controlPlane = mesh.issue({ uris: [], dns: ['kuma-cp'], eku: ['clientAuth'] });
  t.equal(await asked('/logging?level=debug', controlPlane), 200);
  t.equal(await asked('/healthcheck/fail', controlPlane, 'POST', { host: 'egress.zone.svc' }), 200);
  t.equal(await asked('/quitquitquit', controlPlane, 'GET'), 405);
  t.equal(await asked('/quitquitquit', controlPlane, 'POST', { origin: 'https://evil.example' }), 403);
  await t.rejects(asked('/quitquitquit', mesh.client('frontend')), 'a client of a mesh');
  t.same(did, ['debug', 'health']);
  t.same(lines, [
    'made /logging by certificate kuma-cp',
    'made /healthcheck/fail by certificate kuma-cp',
    'refused /quitquitquit by certificate kuma-cp',
  ]);
  const withoutTls = connect(port, '127.0.0.1');
  let got = '';
  withoutTls.on('data', (chunk: Buffer) => (got += chunk.toString()));
  withoutTls.write('POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  await ended(withoutTls);
  t.match(got, /^HTTP\/1\.1 404 /, 'without TLS the path is none');
  t.equal(did.length, 2);
});
