// The admin listener over TLS: who may change something with a client certificate, and what
// attackers try.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { createAdminChanges } from '../../src/admin/changes/changes.ts';
import { TokenFile } from '../../src/admin/changes/token-file.ts';
import { createHostCheck } from '../../src/admin/hosts.ts';
import { TlsFiles } from '../../src/admin/tls-files.ts';
import { serveHttpWithTls } from '../../src/admin/tls-server.ts';
import { textView } from '../../src/admin/views.ts';
import { generateKey, selfSigned } from '../../src/identity/issue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { until } from '../egress/until.ts';

const HOUR_MS = 3_600_000;
const TOKEN = 'fedcba9876543210fedcba9876543210';
const now = Date.now();
const operators = await createTestMesh('operators', { keyType: 'ec' });
const strangers = await createTestMesh('strangers', { keyType: 'ec' });
const servers = await createTestMesh('servers', { keyType: 'ec' });
const server = servers.issue({ uris: [], ips: ['127.0.0.1'], dns: ['localhost'], eku: ['serverAuth'] });
const alice = operators.issue({ uris: ['spiffe://ops/alice'], subject: [['CN', 'alice']], eku: ['clientAuth'] });

type Pair = { readonly cert: string; readonly key: string };

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Asking extends Pick<ConnectionOptions, 'cert' | 'key' | 'maxVersion'> {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly agent?: Agent | false;
}

function ask(port: number, { method = 'POST', path = '/healthcheck/fail', headers, ...tls }: Asking = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const host = '127.0.0.1';
    const options = { host, port, method, path, headers: { host: 'localhost', ...headers }, ca: servers.ca.cert };
    const sent = request({ ...options, servername: 'localhost', agent: false, ...tls });
    sent.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

interface Listening {
  readonly port: number;
  readonly clock: FakeClock;
  readonly did: string[];
  readonly lines: Readonly<Record<string, string | number>>[];
  readonly doubts: string[];
  readonly write: (which: 'cert' | 'key' | 'ca', text: string) => void;
}

async function listening(t: Test, { tokens = false } = {}): Promise<Listening> {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-tls-'));
  const path = (name: string): string => join(folder, name);
  const write = (name: string, text: string): void => writeFileSync(path(name), text, { mode: 0o600 });
  write('cert', server.cert);
  write('key', server.key);
  write('ca', operators.ca.cert);
  write('tokens', `${TOKEN}\n`);
  const clock = new FakeClock({ wall: now });
  const [did, lines, doubts]: [string[], Readonly<Record<string, string | number>>[], string[]] = [[], [], []];
  const hostRefusal = createHostCheck([]);
  const nothing = (): void => {};
  const changes = createAdminChanges({
    clock,
    tokens: tokens ? new TokenFile({ path: path('tokens'), onDoubt: (sentence) => void doubts.push(sentence) }) : null,
    hostRefusal,
    actions: {
      endSessions: () => Promise.resolve({ found: 0, sessions: [], silent: [] }),
      logLevel: () => 'info',
      setLogLevel: (level) => void did.push(level),
      failHealth: (isFailing) => void did.push(`health ${isFailing ? 'fail' : 'ok'}`),
      drainListeners: nothing,
      quit: () => void did.push('quit'),
      resetCounters: nothing,
      reopenLogs: nothing,
      probe: () => Promise.resolve({ kind: 'busy', why: '' }),
    },
    audit: { line: (outcome, fields) => void lines.push({ outcome, ...fields }) },
  });
  const files = new TlsFiles({
    certFile: path('cert'),
    keyFile: path('key'),
    clientCaFile: path('ca'),
    wall: () => clock.wall(),
    onDoubt: (sentence) => void doubts.push(sentence),
  });
  t.equal(await files.problem(), null);
  const made = await serveHttpWithTls({
    clock,
    files,
    address: '127.0.0.1',
    port: 0,
    name: 'a test',
    handle: (certificate) => ({
      admit: hostRefusal,
      change: (request, target) =>
        changes.handle(request, target, {
          kind: 'tls',
          from: request.socket.remoteAddress ?? '',
          certificate: () => certificate(request),
        }),
      page: () => textView(200, 'a page'),
      fault: (error) => void t.fail(String(error)),
    }),
  });
  t.teardown(async () => {
    await made.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { port: made.port, clock, did, lines, doubts, write };
}

t.test('a certificate that leads to the CA makes changes, and the log has its names', async (t) => {
  const { port, did, lines } = await listening(t);
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const)
    t.match(await ask(port, { ...alice, maxVersion }), { status: 200, body: 'OK\n' }, maxVersion);
  t.same(did, ['health fail', 'health fail']);
  t.match(lines[0], {
    outcome: 'made',
    change: '/healthcheck/fail',
    by: 'certificate spiffe://ops/alice, CN=alice from 127.0.0.1',
  });
});

t.test('pages are read with and without a certificate, also with a bad one', async (t) => {
  const { port } = await listening(t);
  const stranger = strangers.issue({ eku: ['clientAuth'] });
  for (const pair of [alice, {}, stranger])
    t.match(await ask(port, { ...pair, method: 'GET', path: '/ready' }), { status: 200, body: 'a page\n' });
  t.match(await ask(port, { ...alice, method: 'GET' }), { status: 405 }, 'a GET changes nothing');
});

t.test('certificates that are no proof change nothing, and the answer tells why', async (t) => {
  const { port, did, lines } = await listening(t);
  const key = await generateKey('ec');
  const times = { notBefore: now - HOUR_MS, notAfter: now + HOUR_MS };
  const middle = operators.issue({ uris: [], subject: [['CN', 'no CA']], eku: ['clientAuth'] });
  const { issueCertificate } = await import('../../src/identity/issue.ts');
  const underLeaf = {
    cert:
      issueCertificate({ caCert: middle.cert, caKey: middle.key, publicKey: alice.cert, ...times, eku: ['clientAuth'] }) +
      middle.cert,
    key: alice.key,
  };
  const cases: readonly (readonly [name: string, pair: Partial<Pair>, why: RegExp])[] = [
    ['none', {}, /^a change needs a client certificate that leads to --admin-client-ca-file\n$/],
    [
      'expired',
      operators.issue({ notBefore: now - 2 * HOUR_MS, notAfter: now - HOUR_MS, eku: ['clientAuth'] }),
      /it, or a CA above it, expired/,
    ],
    [
      'not yet valid',
      operators.issue({ notBefore: now + HOUR_MS, notAfter: now + 2 * HOUR_MS, eku: ['clientAuth'] }),
      /is not valid yet/,
    ],
    ['another CA', strangers.issue({ eku: ['clientAuth'] }), /does not lead to a CA of --admin-client-ca-file/],
    ['the CA of the listener', servers.issue({ eku: ['clientAuth'] }), /does not lead to a CA/],
    [
      'only for servers',
      operators.issue({ eku: ['serverAuth'] }),
      /is not one for clients: its extended key usage does not name clientAuth/,
    ],
    ['without a usage', operators.issue({ eku: [] }), /does not name clientAuth/],
    [
      'self-signed',
      selfSigned({ key, subject: [['CN', 'alice']], uris: ['spiffe://ops/alice'], ...times, eku: ['clientAuth'] }),
      /does not lead to a CA .*SELF_SIGNED/,
    ],
    ['issued by a leaf', underLeaf, /the client certificate is not taken/],
    [
      'with names of the CA',
      { ...strangers.issue({ uris: ['spiffe://ops/alice'], subject: [['CN', 'alice']], eku: ['clientAuth'] }) },
      /does not lead/,
    ],
  ];
  for (const [name, pair, why] of cases) t.match(await ask(port, pair), { status: 403, body: why }, name);
  t.same(did, []);
  t.ok(lines.length >= cases.length && lines.every(({ outcome }) => outcome === 'refused'));
});

t.test('a CA without its key does not help: the handshake proves the key', async (t) => {
  const { port, did } = await listening(t);
  const other = operators.issue({ eku: ['clientAuth'] });
  await t.rejects(ask(port, { cert: alice.cert, key: other.key }));
  t.same(did, []);
});

t.test('a session is not resumed, so that a certificate counts only where it is shown', async (t) => {
  const { port, write, did } = await listening(t);
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    write('ca', operators.ca.cert);
    const sessions: Buffer[] = [];
    const first = await secured(port, { ...alice, maxVersion });
    first.on('session', (session) => void sessions.push(session));
    t.match(await overSocket(first, 'POST /logging?level=error HTTP/1.1'), /^HTTP\/1\.1 200/);
    const session = first.getSession() ?? sessions.at(-1);
    first.destroy();
    for (const ca of [operators.ca.cert, strangers.ca.cert]) {
      write('ca', ca);
      const again = await secured(port, { maxVersion, ...(session === undefined ? {} : { session }) });
      t.notOk(again.isSessionReused(), maxVersion);
      t.match(await overSocket(again, 'POST /quitquitquit HTTP/1.1'), /^HTTP\/1\.1 403/);
      again.destroy();
    }
  }
  t.notOk(did.includes('quit'));
});

t.test('a CA that is taken out ends the right of connections that are open', async (t) => {
  const { port, write, did, clock } = await listening(t);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  const kept = { ...alice, agent };
  t.match(await ask(port, kept), { status: 200 });
  write('ca', strangers.ca.cert);
  t.match(await ask(port, kept), { status: 403, body: /the CAs have changed since this connection began: connect anew/ });
  t.match(await ask(port, alice), { status: 403, body: /does not lead to a CA/ }, 'and a new one has none');
  t.match(await ask(port, strangers.issue({ eku: ['clientAuth'] })), { status: 200 }, 'the new CA counts at once');
  write('ca', operators.ca.cert + strangers.ca.cert);
  t.match(await ask(port, alice), { status: 200 }, 'several CAs are one file');
  t.equal(did.length, 3);
  const short = operators.issue({ notBefore: now - HOUR_MS, notAfter: now + HOUR_MS, eku: ['clientAuth'] });
  const soon = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => soon.destroy());
  t.match(await ask(port, { ...short, agent: soon }), { status: 200 });
  clock.jump(2 * HOUR_MS);
  t.match(
    await ask(port, { ...short, agent: soon }),
    { status: 403, body: /not valid at this time/ },
    'it expires on an open connection',
  );
});

t.test('rotated files count for the next connection, and bad ones leave the last good ones', async (t) => {
  const { port, write, doubts } = await listening(t);
  const serial = async (): Promise<string> => {
    const socket = await secured(port);
    const shown = socket.getPeerX509Certificate()?.serialNumber ?? '';
    socket.destroy();
    return shown;
  };
  const first = await serial();
  const next = servers.issue({ uris: [], ips: ['127.0.0.1'], dns: ['localhost'], eku: ['serverAuth'] });
  write('cert', next.cert);
  t.equal(await serial(), first, 'a certificate without its key waits for it');
  t.match(doubts, [/the last good ones stay: --admin-tls-key-file .*key: the key does not belong to the first certificate of/]);
  write('key', next.key);
  const second = await serial();
  t.not(second, first);
  for (const [which, text, why] of [
    ['cert', 'nothing', /--admin-tls-cert-file .*cert: there is no PEM certificate in it/],
    ['cert', operators.issue({ eku: ['clientAuth'] }).cert, /--admin-tls-(cert|key)-file/],
    ['key', next.key.replace(/\n.{8}/, '\n????????'), /--admin-tls-key-file .*key: there is no PEM private key in it/],
    ['ca', '', /--admin-client-ca-file .*ca: it is empty/],
    ['ca', alice.cert, /--admin-client-ca-file .*ca: certificate 1 of 1 in it is no CA certificate/],
    ['ca', 'x'.repeat(70_000), /--admin-client-ca-file .*ca: it has more than 65536 bytes/],
  ] as const) {
    const good = { cert: next.cert, key: next.key, ca: operators.ca.cert }[which];
    write(which, text);
    t.equal(await serial(), second);
    t.match(doubts.at(-1), why);
    t.notMatch(doubts.at(-1), /BEGIN|PRIVATE|\?\?\?\?/);
    t.match(await ask(port, alice), { status: 200 });
    write(which, good);
    await serial();
  }
});

t.test('older TLS is refused, and plain HTTP gets a sentence and nothing else', async (t) => {
  const { port, did } = await listening(t);
  for (const version of ['TLSv1', 'TLSv1.1'] as const)
    await t.rejects(
      secured(port, { ...alice, minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' }),
      { code: /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/ },
      version,
    );
  const plain = connectTcp(port, '127.0.0.1');
  plain.on('error', () => {});
  let text = '';
  plain.on('data', (bytes) => (text += bytes.toString()));
  plain.write(`POST /quitquitquit HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${TOKEN}\r\n\r\n`);
  await once(plain, 'close');
  t.match(text, /^HTTP\/1\.1 400 Bad Request\r\n[^]*this port speaks TLS: use https:\/\/\n$/);
  t.same(did, []);
});

t.test('handshakes that do not go on are ended in time, and keep nobody out', async (t) => {
  const { port, clock } = await listening(t);
  const silent = await connected(port);
  const begun = await connected(port);
  begun.write(Buffer.from('16030100a5010000a10303', 'hex'));
  const halfPlain = await connected(port);
  halfPlain.write('G');
  const ends = [silent, begun].map((socket) => once(socket, 'close'));
  await until('the plain one has its answer', () => halfPlain.bytesRead > 0);
  clock.advance(5_001);
  await Promise.all(ends);
  const many = await Promise.all(Array.from({ length: 100 }, () => connected(port)));
  t.match(await ask(port, alice), { status: 200 }, 'a hundred silent connections are in nobody’s way');
  await until('the oldest were ended', () => many.filter(({ destroyed }) => destroyed).length >= 36);
  for (const socket of [...many, halfPlain]) socket.destroy();
  const lazy = await secured(port, alice);
  const closed = once(lazy, 'close');
  clock.advance(10_001);
  await closed;
  t.pass('a client without a request is ended too');
});

t.test('a browser that has the certificate changes nothing for a page of another origin', async (t) => {
  const { port, did } = await listening(t);
  const host = `localhost:${port}`;
  for (const headers of [
    { origin: 'http://evil.example' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `http://${host}` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: `https://${host}` },
    { 'content-type': 'application/x-www-form-urlencoded' },
    { 'content-type': 'text/plain' },
    { 'content-type': '' },
  ])
    t.match(await ask(port, { ...alice, headers: { host, ...headers } }), { status: 403 }, JSON.stringify(headers));
  for (const name of ['evil.example', 'localhost.evil.example'])
    t.match(await ask(port, { ...alice, headers: { host: name } }), { status: 421 }, name);
  t.match(await ask(port, { ...alice, headers: { host: 'evil.example' }, method: 'GET', path: '/ready' }), { status: 421 });
  t.same(did, []);
  const own = { host, origin: `https://${host}`, 'sec-fetch-site': 'same-origin' };
  t.match(await ask(port, { ...alice, headers: own }), { status: 200 });
  t.match(await ask(port, { ...alice, headers: { host, 'transfer-encoding': 'chunked' } }), { status: 413 });
});

t.test('a token is taken beside a certificate, and only where there is a token file', async (t) => {
  const bearer = { authorization: `Bearer ${TOKEN}` };
  const without = await listening(t);
  t.match(await ask(without.port, { headers: bearer }), { status: 403, body: /needs a client certificate that leads/ });
  const { port, lines } = await listening(t, { tokens: true });
  const bad = strangers.issue({ eku: ['clientAuth'] });
  t.match(await ask(port), { status: 401, body: /needs a client certificate .*, or a token: the header `Authorization/ });
  t.match(await ask(port, bad), { status: 401, body: /^the client certificate is not taken: it does not lead/ });
  t.match(await ask(port, { headers: bearer }), { status: 200 });
  t.match(await ask(port, { ...bad, headers: bearer }), { status: 200 });
  t.match(await ask(port, { headers: { authorization: `Bearer ${'x'.repeat(32)}` } }), {
    status: 401,
    body: /not in the token file/,
  });
  t.match(
    lines.filter(({ outcome }) => outcome === 'made'),
    [{ by: 'token of line 1 from 127.0.0.1' }, {}],
  );
});

t.test('names in a certificate give no orders to a terminal, and leave room for the address', async (t) => {
  const { port, lines } = await listening(t);
  const evil = operators.issue({ uris: [], subject: [['CN', `x\u001b[2J\u009b1m\ny${'z'.repeat(400)}`]], eku: ['clientAuth'] });
  t.match(await ask(port, evil), { status: 200 });
  t.notMatch(JSON.stringify(lines), /[\u007f-\u009f]|\\u001b|\\n/);
  t.match(lines, [{ by: /^certificate CN=x.* from 127\.0\.0\.1$/ }]);
});

async function connected(port: number): Promise<Socket> {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  return socket;
}

function secured(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: '127.0.0.1', ca: servers.ca.cert, ...options });
    socket.on('secureConnect', () => resolve(socket));
    socket.on('error', reject);
  });
}

/** Sends a request and resolves with the beginning of its answer. */
async function overSocket(socket: TLSSocket, line: string): Promise<string> {
  socket.write(`${line}\r\nhost: localhost\r\n\r\n`);
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes.toString();
}
