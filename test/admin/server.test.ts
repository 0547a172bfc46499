import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import type { SessionRecord } from '../../src/model/session-record.ts';
import type { Test } from 'tap';
import { serveHttp } from '../../src/admin/http.ts';
import { createAdminServer, createReadinessServer } from '../../src/admin/server.ts';
import type { AdminServerOptions, AdminState } from '../../src/admin/server.ts';
import { textView } from '../../src/admin/views.ts';
import type { Trace } from '../../src/explain/trace.ts';
import { assumedView } from '../../src/explain/assumed-view.ts';
import { explain } from '../../src/explain/explain.ts';
import { factsOfRecord } from '../../src/explain/facts.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import { RecentDecisions } from '../../src/observe/decisions.ts';
import type { Exposition } from '../../src/observe/exposition.ts';
import { facts as asked } from '../explain/zone.ts';
import { freePort } from '../free-ports.ts';
import { sessionRecord, unmatched } from '../observe/record.ts';
import { LIVE } from '../data.ts';

const decisions = new RecentDecisions<SessionRecord>();
decisions.add(sessionRecord({ id: 'a' }));
decisions.add(unmatched({ id: 'b' }));
decisions.add(sessionRecord({ id: 'c', mesh: 'payments' }));

const state: AdminState = {
  ready: () => ({ ok: true, text: 'LIVE' }),
  metrics: () => Promise.resolve({ format: 'prometheus', text: '# HELP x y\nx 1\n' }),
  decisions: (query) => decisions.list(query),
  requests: () => [],
  follow: () => null,
  sessions: () => Promise.resolve(null),
  alarms: () => Promise.resolve([]),
  wall: () => Date.UTC(2026, 0, 1),
  snapshot: () => EMPTY_SNAPSHOT,
  problems: () => [{ severity: 'error', file: 'a.yaml', line: 2, column: 3, field: 'name', message: 'is missing' }],
  explain(question) {
    if ('id' in question && question.id !== 'c') return { kind: 'no-record', why: `session ${question.id}: not there` };
    if ('from' in question && question.from?.includes('bad') === true)
      return { kind: 'bad-question', why: 'bad is no SPIFFE id' };
    const facts = 'id' in question ? factsOfRecord(sessionRecord({ id: 'c' })) : asked(question.sni, ...(question.from ?? []));
    return { kind: 'trace', trace: explain(EMPTY_SNAPSHOT, facts, assumedView) };
  },
  probe({ sni }) {
    if (sni === 'busy') return Promise.resolve({ kind: 'busy', why: 'ask again' });
    const probes = [{ endpoint: '10.0.0.1:443', outcome: 'connected', detail: 'connected', ms: 3 }] as const;
    return Promise.resolve({ kind: 'trace', trace: { ...explain(EMPTY_SNAPSHOT, asked(sni), assumedView), probes } });
  },
};

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Writes `text` and reads until the server closes. */
async function exchange(port: number, text: string): Promise<Answer> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(text, 'latin1');
  await once(socket, 'close');
  return parse(Buffer.concat(chunks).toString('latin1'));
}

function parse(raw: string): Answer {
  const [head = '', ...rest] = raw.split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
  );
  return { status: Number(first.split(' ')[1]), headers, body: rest.join('\r\n\r\n') };
}

function request(line: string, headers: readonly string[] = ['Host: localhost']): string {
  return [`${line} HTTP/1.1`, ...headers, 'Connection: close', '', ''].join('\r\n');
}

async function admin(t: Test, changes: Partial<AdminServerOptions> = {}) {
  const server = await createAdminServer({ address: '127.0.0.1', port: 0, allowedHosts: ['admin.example'], state, ...changes });
  t.teardown(() => server.close());
  const get = (target: string, headers?: readonly string[]) => exchange(server.port, request(`GET ${target}`, headers));
  return { server, get, send: (text: string) => exchange(server.port, text) };
}

async function firstBytes(socket: Socket): Promise<string> {
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString('latin1');
}

t.test('/ready says LIVE with 200 while ready, else 503 with the reason', async (t) => {
  let ready = { ok: true, text: 'LIVE' };
  const { get } = await admin(t, { state: { ...state, ready: () => ready } });
  t.match(await get('/ready'), { status: 200, body: 'LIVE\n' });
  ready = { ok: false, text: 'PRE_INITIALIZING' };
  t.match(await get('/ready'), { status: 503, body: 'PRE_INITIALIZING\n' });
  ready = { ok: false, text: 'TERMINATING' };
  t.match(await get('/ready?x=1'), { status: 503, body: 'TERMINATING\n' });
});

const file = new URL('admin/ready.txt', LIVE);

t.test('/ready is what Envoy answers, byte by byte', async (t) => {
  const { get } = await admin(t);
  t.equal((await get('/ready')).body, readFileSync(file, 'latin1'));
});

t.test('each page has its type and its content, is not stored, and no other origin may read it', async (t) => {
  const { get } = await admin(t);
  const metrics = await get('/stats/prometheus');
  t.match(metrics, {
    status: 200,
    body: '# HELP x y\nx 1\n',
    headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
  });
  const problems = await get('/config_errors');
  t.match(JSON.parse(problems.body), { problems: [{ file: 'a.yaml', line: 2, text: 'a.yaml:2:3 name: is missing' }] });
  t.equal(problems.headers['content-type'], 'application/json; charset=utf-8');
  const list = await get('/');
  for (const path of ['/ready', '/stats/prometheus', '/routes', '/decisions', '/explain', '/config_errors'])
    t.match(list.body, path);
  for (const { headers } of [metrics, problems, list]) {
    t.match(headers, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    t.notOk(Object.keys(headers).some((name) => name.startsWith('access-control-')));
  }
});

t.test('/routes shows what is served, as JSON or as a table, and nothing else', async (t) => {
  const { get } = await admin(t);
  t.same(JSON.parse((await get('/routes')).body), { version: EMPTY_SNAPSHOT.version, zone: '', routes: [] });
  t.equal((await get('/routes?output=json')).body, (await get('/routes')).body);
  const table = await get('/routes?output=table');
  t.match(table.body, /^SNI +MESH +DESTINATION +MODE +ENDPOINTS +WHO MAY +TLS\n$/);
  t.equal(table.headers['content-type'], 'text/plain; charset=utf-8');
  for (const search of ['?output=yaml', '?x=1', '?output=json&output=json']) t.equal((await get(`/routes${search}`)).status, 400);
});

t.test('/decisions gives the newest first, by limit, reason and mesh', async (t) => {
  const { get } = await admin(t);
  const ids = async (search: string) => {
    const { decisions } = JSON.parse((await get(`/decisions${search}`)).body) as { decisions: { id: string }[] };
    return decisions.map(({ id }) => id).join('');
  };
  t.equal(await ids(''), 'cba');
  t.equal(await ids('?limit=2'), 'cb');
  t.equal(await ids('?reason=no-route'), 'b');
  t.equal(await ids('?mesh=payments&limit=9&reason=closed'), 'c');
  t.equal(await ids('?mesh='), 'b');
});

t.test('/decisions gives 100 where no limit is asked for', async (t) => {
  const many = new RecentDecisions<SessionRecord>();
  for (let i = 0; i < 150; i++) many.add(sessionRecord({ id: String(i) }));
  const { get } = await admin(t, { state: { ...state, decisions: (query) => many.list(query) } });
  const count = async (search: string) =>
    (JSON.parse((await get(`/decisions${search}`)).body) as { decisions: unknown[] }).decisions.length;
  t.equal(await count(''), 100);
  t.equal(await count('?mesh=default'), 100);
});

t.test('/decisions gives as many as are asked for, in pieces, as one document', async (t) => {
  const many = new RecentDecisions<SessionRecord>();
  for (let i = 0; i < 350; i++) many.add(sessionRecord({ id: String(i) }));
  const { server } = await admin(t, { state: { ...state, decisions: (query) => many.list(query) } });
  for (const limit of [101, 200, 201, 350]) {
    const text = await (await fetch(`http://127.0.0.1:${server.port}/decisions?limit=${limit}`)).text();
    t.equal(text, `${JSON.stringify({ decisions: many.list({ limit }), requests: [] }, null, 2)}\n`);
  }
});

t.test('a query that is not understood is refused, with what is allowed', async (t) => {
  const { get } = await admin(t);
  for (const [search, said] of [
    ['?limit=-1', 'limit must be a whole number'],
    ['?limit=1e3', 'limit must be a whole number'],
    ['?limit=', 'limit must be a whole number'],
    ['?reason=nothing', 'reason must be one of hello-timeout'],
    ['?reason=constructor', 'reason must be one of'],
    ['?limit=1&limit=2', 'limit is given twice'],
    ['?mseh=a', 'allowed parameters'],
  ] as const) {
    const { status, body } = await get(`/decisions${search}`);
    t.equal(status, 400, search);
    t.match(body, said);
  }
});

t.test('only GET and HEAD are answered, on both listeners', async (t) => {
  const { send } = await admin(t);
  const readiness = await createReadinessServer({ address: '127.0.0.1', port: 0, ready: () => state.ready() });
  t.teardown(() => readiness.close());
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    for (const { status, headers } of [
      await send(request(`${method} /ready`)),
      await exchange(readiness.port, request(`${method} /ready`)),
    ]) {
      t.equal(status, 405, method);
      t.equal(headers.allow, 'GET, HEAD');
    }
  }
  const read = await send(request('GET /routes'));
  const { status, body, headers } = await send(request('HEAD /routes'));
  t.same([status, body], [200, ''], 'HEAD has no body');
  t.equal(headers['content-length'], read.headers['content-length']);
  const endless = async function* (): AsyncGenerator<string> {
    yield await new Promise<string>(() => undefined);
  };
  const following = await admin(t, { state: { ...state, follow: endless } });
  t.match(await following.send(request('HEAD /decisions?follow=true')), { status: 200, body: '' }, 'it ends where GET would not');
});

t.test('a path matches whole or not at all', async (t) => {
  const { get } = await admin(t);
  for (const path of [
    ...[
      '//ready',
      '/ready/',
      '/Ready',
      '/%72eady',
      '/./ready',
      '/x/../ready',
      '/ready%00',
      '/ready;x',
      '*',
      'http://localhost/ready',
      '/readyz',
    ],
    ...['/constructor', '/__proto__', '/toString', '/stats', '/stats/prometheus/', '/decisions/0', '/quitquitquit'],
  ])
    t.equal((await get(path)).status, 404, path);
});

t.test('IP addresses, localhost and allowed names may be the host; no other name may', async (t) => {
  const { get } = await admin(t);
  for (const host of [
    'localhost',
    'LOCALHOST:9901',
    '127.0.0.1',
    '127.0.0.1:9901',
    '10.1.2.3:80',
    '[::1]',
    '[::1]:9901',
    'admin.example',
    'Admin.Example:1',
  ])
    t.equal((await get('/ready', [`Host: ${host}`])).status, 200, host);
  for (const host of [
    ...[
      'evil.example',
      'localhost.evil.example',
      'admin.example.evil',
      'localhost.',
      '127.0.0.1.evil.example',
      '0x7f000001',
      '2130706433',
    ],
    ...[
      '127.1',
      'localhost:9901:1',
      'a@localhost',
      'localhost/',
      '[localhost]',
      '[127.0.0.1]',
      '::1',
      '',
      'localhost,evil.example',
    ],
  ])
    t.equal((await get('/ready', [`Host: ${host}`])).status, 421, host);
});

t.test('two hosts, or none, are refused', async (t) => {
  const { get, send } = await admin(t);
  t.equal((await get('/ready', ['Host: localhost', 'Host: evil.example'])).status, 400);
  t.equal((await get('/ready', [])).status, 400);
  t.equal((await send('GET /ready HTTP/1.0\r\n\r\n')).status, 400);
});

t.test('what a web page sends is refused, whatever its origin', async (t) => {
  const { get, send } = await admin(t);
  for (const origin of ['http://evil.example', 'null', 'http://localhost:9901', ''])
    t.equal((await get('/decisions', ['Host: localhost', `Origin: ${origin}`])).status, 403, origin);
  t.equal(
    (await send(request('OPTIONS /decisions', ['Host: localhost', 'Origin: null', 'Access-Control-Request-Method: GET']))).status,
    403,
  );
  // A picture of another site has no Origin; a link to a page is followed.
  const picture = ['Host: localhost', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors', 'Sec-Fetch-Dest: image'];
  t.equal((await get('/explain?sni=a', picture)).status, 403);
  t.equal((await get('/ready', ['Host: localhost', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate'])).status, 200);
});

t.test('a body is not read, even one that never comes', async (t) => {
  const { server, send } = await admin(t);
  t.equal((await send(request('GET /ready', ['Host: localhost', 'Content-Length: 10485760']))).status, 413);
  t.equal((await send(request('GET /ready', ['Host: localhost', 'Transfer-Encoding: chunked']))).status, 413);
  t.equal((await send(request('GET /ready', ['Host: localhost', 'Content-Length: 5', 'Expect: 100-continue']))).status, 413);
  t.equal((await send('POST /ready HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10485760\r\n\r\n')).status, 405);
  t.match(await send(request('GET /ready')), { status: 200 }, `port ${server.port} still answers`);
});

t.test('large headers and broken requests end with an error', async (t) => {
  const { send } = await admin(t);
  t.equal((await send(request('GET /ready', ['Host: localhost', `X: ${'x'.repeat(9_000)}`]))).status, 431);
  t.equal((await send('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03')).status, 400);
  t.equal(
    (await send('GET /ready HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n')).status,
    400,
  );
});

t.test('a page that throws answers 500 without a word about why, and is reported', async (t) => {
  const faults: unknown[] = [];
  const { get } = await admin(t, {
    state: { ...state, metrics: () => Promise.reject(new Error('canary')) },
    fault: (error) => void faults.push(error),
  });
  const answer = await get('/stats/prometheus');
  t.equal(answer.status, 500);
  t.notMatch(JSON.stringify(answer), /canary/);
  t.match(faults, [{ message: 'canary' }]);
  t.equal((await get('/ready')).status, 200);
});

t.test('the readiness listener answers /ready to any host, and nothing else', async (t) => {
  let ready = { ok: true, text: 'LIVE' };
  const server = await createReadinessServer({ address: '127.0.0.1', port: 0, ready: () => ready });
  t.teardown(() => server.close());
  const get = (path: string, host: string) => exchange(server.port, request(`GET ${path}`, [`Host: ${host}`]));
  t.match(await get('/ready', 'pod.example'), { status: 200, body: 'LIVE\n' });
  ready = { ok: false, text: 'TERMINATING' };
  t.match(await get('/ready', '10.1.2.3:9902'), { status: 503, body: 'TERMINATING\n' });
  for (const path of ['/', '/stats/prometheus', '/decisions', '/config_errors'])
    t.equal((await get(path, 'localhost')).status, 404, path);
  t.equal((await exchange(server.port, request('POST /ready'))).status, 405);
});

t.test('a client that does not finish its request in time is let go', async (t) => {
  const server = await serveHttp({
    address: '127.0.0.1',
    port: 0,
    name: 'a test',
    admit: () => null,
    page: () => textView(200, 'x'),
    fault: (error) => t.fail(String(error)),
    requestTimeoutMs: 100,
  });
  t.teardown(() => server.close());
  t.equal((await exchange(server.port, 'GET /ready HTTP/1.1\r\nHost: loc')).status, 408);
});

/** Connects, sends `text`, and waits for the answer if there was a text. */
async function hold(port: number, text: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  if (text !== '') {
    socket.write(text);
    t.match(await firstBytes(socket), /^HTTP\/1.1 200/);
  }
  return socket;
}

const KEPT = 'GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n';

t.test('no more than 64 sockets stay: the oldest that has no request under way gives way to a new one', async (t) => {
  let release: (text: string) => void = () => undefined;
  const metrics = new Promise<Exposition>((resolve) => (release = (text) => resolve({ format: 'prometheus', text })));
  let asked: () => void = () => undefined;
  const underWay = new Promise<void>((resolve) => (asked = resolve));
  const { server, get } = await admin(t, { state: { ...state, metrics: () => (asked(), metrics) } });
  const busy = get('/stats/prometheus');
  await underWay;
  const held: Socket[] = [];
  for (let i = 0; i < 63; i++) held.push(await hold(server.port, KEPT));
  const [first, second] = held.map((socket) => once(socket.resume(), 'close'));
  t.equal((await get('/ready')).body, 'LIVE\n');
  await first;
  held.push(await hold(server.port, KEPT), await hold(server.port, KEPT));
  await second;
  t.equal(held.filter(({ destroyed }) => !destroyed).length, 63);
  release('x 1\n');
  t.match(await busy, { status: 200, body: 'x 1\n' });
  for (const socket of held) socket.destroy();
});

t.test('a client that does not read its answer gives way when no idle one is left', async (t) => {
  const large = { ...state, metrics: () => Promise.resolve({ format: 'prometheus', text: 'x 1\n'.repeat(1_000_000) } as const) };
  const { server, get } = await admin(t, { state: large });
  const slow: Socket[] = [];
  for (let i = 0; i < 64; i++) {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /stats/prometheus HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await once(socket, 'readable');
    slow.push(socket);
  }
  t.equal((await get('/ready')).body, 'LIVE\n');
  for (const socket of slow) socket.destroy();
});

t.test('200 silent connections that come back whenever they are closed do not keep /ready from being answered', async (t) => {
  const readiness = await createReadinessServer({ address: '127.0.0.1', port: 0, ready: () => state.ready() });
  t.teardown(() => readiness.close());
  const { server } = await admin(t);
  for (const { port } of [readiness, server]) {
    const crowd = new Set<Socket>();
    let closes = 0;
    let gone = false;
    const join = (): void => {
      if (gone) return;
      const socket = connect(port, '127.0.0.1');
      crowd.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        crowd.delete(socket);
        closes++;
        join();
      });
    };
    for (let i = 0; i < 200; i++) join();
    for (let i = 0; i < 10; i++) t.match(await exchange(port, request('GET /ready')), { status: 200, body: 'LIVE\n' });
    t.ok(closes > 0, 'the crowd is more than there is room for');
    gone = true;
    for (const socket of crowd) socket.destroy();
  }
});

t.test('the readiness listener gives a request 1 s, and one answer per connection', async (t) => {
  const server = await createReadinessServer({ address: '127.0.0.1', port: 0, ready: () => state.ready() });
  t.teardown(() => server.close());
  const answered = await exchange(server.port, KEPT);
  t.match(answered, { status: 200, body: 'LIVE\n', headers: { connection: 'close' } });
  const startedAt = performance.now();
  t.equal((await exchange(server.port, 'GET /ready HTTP/1.1\r\n')).status, 408);
  t.ok(performance.now() - startedAt < 120_000);
});

t.test('close ends silent and idle connections at once, and lets a request finish', async (t) => {
  const port = await freePort();
  let release: (text: string) => void = () => undefined;
  const metrics = new Promise<Exposition>((resolve) => (release = (text) => resolve({ format: 'prometheus', text })));
  const asked = new Promise<void>((resolve) => {
    const slow = { ...state, metrics: () => (resolve(), metrics) };
    void createAdminServer({ address: '127.0.0.1', port, allowedHosts: [], state: slow }).then(started);
  });
  let server: Awaited<ReturnType<typeof createAdminServer>> | undefined;
  let busy: Promise<Answer> | undefined;
  const ends: Promise<unknown>[] = [];
  async function started(made: Awaited<ReturnType<typeof createAdminServer>>): Promise<void> {
    server = made;
    const silent = connect(made.port, '127.0.0.1');
    const idle = connect(made.port, '127.0.0.1');
    for (const socket of [silent, idle]) {
      socket.on('error', () => undefined);
      ends.push(once(socket, 'close'));
    }
    await once(silent, 'connect');
    idle.write('GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await firstBytes(idle);
    idle.resume();
    silent.resume();
    busy = exchange(made.port, 'GET /stats/prometheus HTTP/1.1\r\nHost: localhost\r\n\r\n');
  }
  await asked;
  const closed = server?.close();
  await Promise.all(ends);
  release('x 1\n');
  t.match(await busy, { status: 200, body: 'x 1\n', headers: { connection: 'close' } });
  await closed;
  await t.rejects(exchange(port, request('GET /ready')), { code: 'ECONNREFUSED' });
});

t.test('a port that is taken is an error with the system code and the address', async (t) => {
  const { server } = await admin(t);
  await t.rejects(createAdminServer({ address: '127.0.0.1', port: server.port, allowedHosts: [], state }), {
    code: 'EADDRINUSE',
    message: `listen on 127.0.0.1:${server.port} for the admin pages: another socket has this port (EADDRINUSE)`,
  });
});

t.test(
  '/explain answers for a connection and for a session, as JSON or as text, and says what is wrong with a question',
  async (t) => {
    const { get } = await admin(t);
    const trace = JSON.parse((await get('/explain?sni=backend%7Bmesh%3Ddefault%7D')).body) as Trace;
    t.match(trace, {
      version: 1,
      outcome: 'refused',
      reason: 'no-route',
      connection: { sni: 'backend{mesh=default}', from: [] },
    });
    t.match(JSON.parse((await get('/explain?sni=')).body), { reason: 'no-sni', connection: { sni: null } });
    const two = '&from=spiffe%3A%2F%2Fdefault%2Fa&from=kuma%3A%2F%2Fversion%2Fv1';
    t.match(JSON.parse((await get(`/explain?sni=x${two}`)).body), {
      connection: { from: ['spiffe://default/a', 'kuma://version/v1'] },
    });
    t.match(JSON.parse((await get('/explain?id=c')).body), { record: { id: 'c', changed: true } });
    const text = await get('/explain?sni=x&output=text');
    t.match(text, { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' } });
    t.match(text.body, /^refused at route: no-route\nno route has the SNI "x"\nto make it pass: /);
    t.match(JSON.parse((await get('/explain?sni=x&probe=true')).body), { probes: [{ outcome: 'connected' }] });
    t.match(await get('/explain?sni=busy&probe=true'), { status: 503, body: 'ask again\n' });
    t.notOk('probes' in (JSON.parse((await get('/explain?sni=x&probe=false')).body) as Trace), 'nothing is dialled unasked');
    t.match(await get('/explain?id=z'), { status: 404, body: 'session z: not there\n' });
    t.match(await get('/explain?sni=x&from=bad'), { status: 400, body: 'bad is no SPIFFE id\n' });
    for (const search of [
      '',
      '?from=a',
      '?sni=a&sni=b',
      '?sni=a&id=c',
      '?sni=a&x=1',
      '?sni=a&output=xml',
      '?sni=a&probe=yes',
      '?id=c&probe=true',
      `?sni=a${'&from=b'.repeat(65)}`,
    ]) {
      t.equal((await get(`/explain${search}`)).status, 400, search.slice(0, 40));
    }
  },
);

t.test('an answer may take longer to be made than a connection may be silent', async (t) => {
  const made = Promise.withResolvers<ReturnType<typeof textView>>();
  const page = (): Promise<ReturnType<typeof textView>> => made.promise;
  const fault = (error: unknown): void => void t.fail(String(error));
  const server = await serveHttp({ address: '127.0.0.1', port: 0, name: 'a test', silenceMs: 50, page, fault });
  t.teardown(() => server.close());
  const answer = exchange(server.port, 'GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
  // One that came later is ended for its silence: the first has been silent for longer.
  const later = connect(server.port, '127.0.0.1');
  later.on('error', () => {}).resume();
  await once(later, 'close');
  made.resolve(textView(200, 'made'));
  t.match(await answer, { status: 200, body: 'made\n' });
});
