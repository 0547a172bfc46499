// Who may change something over the admin listeners, and what attackers try.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAdminChanges } from '../../src/admin/changes/changes.ts';
import type { AdminChanges } from '../../src/admin/changes/changes.ts';
import type { ChangeActions } from '../../src/admin/changes/change-table.ts';
import { TokenFile } from '../../src/admin/changes/token-file.ts';
import { createHostCheck } from '../../src/admin/hosts.ts';
import { serveHttp, serveHttpOnSocket } from '../../src/admin/http.ts';
import { textView } from '../../src/admin/views.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { post, send } from './post.ts';
import type { AdminAt } from './post.ts';

const TOKEN = 'fedcba9876543210fedcba9876543210';
const bearer = { authorization: `Bearer ${TOKEN}` };

interface Guarded {
  readonly changes: AdminChanges;
  readonly clock: FakeClock;
  readonly tcp: { readonly port: number };
  readonly socket: AdminAt;
  readonly did: string[];
  readonly lines: Readonly<Record<string, string | number>>[];
  readonly tokenFile: string;
  readonly doubts: string[];
}

async function guarded(t: Test, tokens: string | null = `${TOKEN}\n`): Promise<Guarded> {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-changes-'));
  const tokenFile = join(folder, 'tokens');
  if (tokens !== null) writeFileSync(tokenFile, tokens, { mode: 0o600 });
  const clock = new FakeClock();
  const [did, lines, doubts]: [string[], Readonly<Record<string, string | number>>[], string[]] = [[], [], []];
  const actions: ChangeActions = {
    endSessions: (which, detail) => {
      did.push(`end ${JSON.stringify(which)} ${detail}`);
      return Promise.resolve({ found: 3, sessions: [], silent: [] });
    },
    logLevel: () => 'info',
    setLogLevel: (level) => void did.push(`level ${level}`),
    failHealth: (isFailing) => void did.push(`health ${isFailing ? 'fail' : 'ok'}`),
    drainListeners: (how) => void did.push(`drain ${JSON.stringify(how)}`),
    quit: () => void did.push('quit'),
    resetCounters: () => void did.push('reset'),
    reopenLogs: () => void did.push('reopen'),
    probe({ target, timeoutMs, waitMs }) {
      did.push(`probe ${target} ${timeoutMs} ${waitMs}`);
      if (target === 'busy') return Promise.resolve({ kind: 'busy', why: 'ask again' });
      if (target === 'none') return Promise.resolve({ kind: 'no-destination', why: 'there is none' });
      const about = { version: 1, sni: 'x', mesh: 'm', destination: 'd\u202e', kind: 'terminate' } as const;
      return Promise.resolve({ kind: 'probed', found: { ...about, endpoints: [], leftOut: 0 } });
    },
  };
  const hostRefusal = createHostCheck(['admin.example']);
  const changes = createAdminChanges({
    clock,
    tokens: tokens === null ? null : new TokenFile({ path: tokenFile, onDoubt: (sentence) => void doubts.push(sentence) }),
    hostRefusal,
    actions,
    audit: { line: (outcome, fields) => void lines.push({ outcome, ...fields }) },
  });
  const page = (): ReturnType<typeof textView> => textView(200, 'a page');
  const fault = (error: unknown): void => void t.fail(String(error));
  const tcp = await serveHttp({
    address: '127.0.0.1',
    port: 0,
    name: 'a test',
    admit: hostRefusal,
    change: (request, target) => changes.handle(request, target, { kind: 'tcp', from: request.socket.remoteAddress ?? '' }),
    page,
    fault,
  });
  const path = join(folder, 's');
  const socket = await serveHttpOnSocket({
    path,
    change: (request, target) => changes.handle(request, target, { kind: 'socket', owner: 'uid 7' }),
    page,
    fault,
  });
  t.teardown(async () => {
    await Promise.all([tcp.close(), socket.close()]);
    rmSync(folder, { recursive: true, force: true });
  });
  return { changes, clock, tcp: { port: tcp.port }, socket: { socketPath: path }, did, lines, tokenFile, doubts };
}

t.test('a name that points here by DNS rebinding changes nothing, even with a token', async (t) => {
  const { tcp, socket, did, lines } = await guarded(t);
  for (const at of [tcp, socket])
    for (const host of ['evil.example', 'localhost.evil.example', '2130706433', 'localhost,evil.example'])
      t.match(await post(at, '/healthcheck/fail', { ...bearer, host }), { status: 421 }, host);
  t.same(did, []);
  t.equal(lines.length, 8);
  t.match(await post(tcp, '/healthcheck/fail', { ...bearer, host: 'admin.example' }), { status: 200, body: 'OK\n' });
});

t.test('what a browser sends for a page of another origin changes nothing', async (t) => {
  const { tcp, socket, did, lines } = await guarded(t);
  const host = `localhost:${tcp.port}`;
  const own = `http://${host}`;
  for (const headers of [
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: '' },
    { origin: `http://localhost` },
    { origin: `https://${host}` },
    { origin: `${own}.evil.example` },
    { origin: `${own}/` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: own },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': '' },
    { origin: own, 'sec-fetch-site': 'cross-site' },
  ])
    for (const at of [tcp, socket])
      t.match(await post(at, '/quitquitquit', { ...bearer, host, ...headers }), { status: 403 }, JSON.stringify(headers));
  t.same(did, []);
  t.ok(lines.length > 0 && lines.every(({ outcome }) => outcome === 'refused'));
  const page = { ...bearer, host, origin: own, 'sec-fetch-site': 'same-origin' };
  t.match(await post(tcp, '/logging?level=debug', page), { status: 200 }, 'the page of this listener may');
  t.same(did, ['level debug']);
});

t.test('a form changes nothing: it sends no token, and no answer allows another origin anything', async (t) => {
  const { tcp, did } = await guarded(t);
  const form = { 'content-type': 'application/x-www-form-urlencoded', host: `127.0.0.1:${tcp.port}` };
  const answers = [
    await post(tcp, '/sessions/end?all=true', form),
    await send(tcp, 'OPTIONS', '/sessions/end?all=true', {
      ...form,
      origin: 'http://evil.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization',
    }),
    await send(tcp, 'GET', '/sessions/end?all=true', { ...form, ...bearer }),
    await post(tcp, `/sessions/end?all=true&token=${TOKEN}`, form),
    await post(tcp, '/sessions/end?all=true', { ...form, cookie: `token=${TOKEN}` }),
    await post(tcp, '/sessions/end?all=true', {
      ...form,
      authorization: `Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}`,
    }),
  ];
  t.same(
    answers.map(({ status }) => status),
    [401, 405, 405, 401, 401, 401],
  );
  for (const { headers } of answers) {
    t.notOk(Object.keys(headers).some((name) => name.startsWith('access-control-') || name === 'set-cookie'));
    t.not(headers['www-authenticate'], 'Basic', 'a browser asks for no password');
  }
  t.same(did, []);
});

t.test('only POST changes, and the answers are those of Envoy', async (t) => {
  const { socket, did } = await guarded(t);
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH'])
    for (const path of ['/logging', '/drain_listeners', '/healthcheck/fail', '/quitquitquit', '/reset_counters', '/sessions/end'])
      t.match(
        await send(socket, method, path),
        {
          status: 405,
          headers: { allow: 'POST' },
          body: method === 'HEAD' ? '' : `Method ${method} not allowed, POST required.`,
        },
        `${method} ${path}`,
      );
  t.same(did, []);
  const text = { 'content-type': 'text/plain; charset=UTF-8' };
  for (const [path, act] of [
    ['/healthcheck/fail', 'health fail'],
    ['/healthcheck/ok', 'health ok'],
    ['/drain_listeners', 'drain {"graceful":false,"closes":true}'],
    ['/drain_listeners?graceful', 'drain {"graceful":true,"closes":true}'],
    ['/drain_listeners?inboundonly&graceful&skip_exit', 'drain {"graceful":true,"closes":false}'],
    ['/reset_counters', 'reset'],
    ['/reopen_logs', 'reopen'],
    ['/quitquitquit', 'quit'],
  ] as const) {
    t.match(await post(socket, path), { status: 200, body: 'OK\n', headers: text }, path);
    t.equal(did.at(-1), act);
  }
  t.match(await post(socket, '/drain_listeners?skip_exit'), { status: 400, body: 'skip_exit requires graceful\n' });
  // As kuma-dp sends it.
  t.match(await post(socket, '/healthcheck/fail', { 'content-length': '0' }), { status: 200, body: 'OK\n' });
});

t.test('/logging has the words of Envoy', async (t) => {
  const { socket, did } = await guarded(t);
  const logging = (query: string) => post(socket, `/logging${query}`);
  t.match(await logging(''), { status: 200, body: 'active loggers:\n  zone-egress: info\n\n' });
  t.match(await logging('?level='), { status: 200, body: /^active loggers:/ });
  t.same(did, []);
  for (const [query, level] of [
    ['?level=debug', 'debug'],
    ['?level=trace', 'debug'],
    ['?level=warning', 'warn'],
    ['?level=critical', 'error'],
    ['?level=off', 'off'],
    ['?zone-egress=error', 'error'],
    ['?paths=zone-egress:info', 'info'],
  ] as const) {
    t.match(await logging(query), { status: 200 }, query);
    t.equal(did.at(-1), `level ${level}`, query);
  }
  const count = did.length;
  for (const query of [
    '?level=loud',
    '?level=constructor',
    '?level=debug&level=info',
    '?upstream=debug',
    '?paths=',
    '?paths=a:b:c',
    '?paths=x',
  ])
    t.match(
      await logging(query),
      { status: 400, body: /^error: [a-z ]+\n\nusage: \/logging\?[^]*levels: trace debug .*active loggers:/s },
      query,
    );
  t.equal(did.length, count, 'none of these changed it');
});

t.test('a body is refused before any of it is read', async (t) => {
  const { tcp, did } = await guarded(t);
  const raw = async (head: string): Promise<string> => {
    const socket = connect(tcp.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.write(`POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n${head}\r\n`);
    await once(socket, 'close');
    return text;
  };
  for (const head of [
    'Content-Length: 99999999\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Content-Length: 5\r\nExpect: 100-continue\r\n',
  ])
    t.match(await raw(head), /^HTTP\/1\.1 413 /, head);
  t.match(await raw(`X: ${'x'.repeat(9_000)}\r\n`), /^HTTP\/1\.1 431 /);
  t.match(await post(tcp, `/sessions/end?mesh=${'x'.repeat(7_000)}`, bearer), { status: 200 }, 'a long query is only a name');
  t.same(
    did.map((act) => act.slice(0, 4)),
    ['end '],
  );
});

t.test('clients that send slowly, or do not read, hold up no change', async (t) => {
  const { tcp, did } = await guarded(t);
  const slow: Socket[] = [];
  for (let i = 0; i < 80; i++) {
    const socket = connect(tcp.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(
      i % 2 === 0
        ? 'POST /logging HTTP/1.1\r\nHost: loc'
        : `POST /logging HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx`,
    );
    slow.push(socket);
  }
  t.match(await post(tcp, '/healthcheck/fail', bearer), { status: 200 });
  t.same(did, ['health fail']);
  for (const socket of slow) socket.destroy();
});

t.test('wrong tokens are bounded for each address, and a right one counts nothing and passes in any case', async (t) => {
  const { tcp, socket, clock, lines } = await guarded(t);
  const tried = async (token: string): Promise<number> =>
    (await post(tcp, '/healthcheck/ok', { authorization: `Bearer ${token}` })).status;
  for (let i = 0; i < 30; i++) t.equal(await tried(TOKEN), 200);
  const wrong = [TOKEN.slice(1), `${TOKEN}0`, TOKEN.toUpperCase(), TOKEN.replace('f', 'e'), 'x', 'x'.repeat(500)];
  for (const token of [...wrong, ...wrong.slice(0, 4)]) t.equal(await tried(token), 401);
  for (const token of wrong) t.equal(await tried(token), 429);
  t.equal(await tried(TOKEN), 200, 'others behind the same address lock nobody out');
  t.match(await post(socket, '/healthcheck/ok'), { status: 200 }, 'the socket asks for no token');
  clock.advance(6_000);
  t.equal(await tried(TOKEN), 200, 'one try is back');
  t.equal(await tried('x'), 401);
  t.equal(await tried('x'), 429);
  t.notMatch(JSON.stringify(lines), new RegExp(TOKEN, 'i'), 'no token is in the log');
});

t.test('thirty wrong tokens at the same time are no more than ten tries', async (t) => {
  const { tcp } = await guarded(t);
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, i) => post(tcp, '/healthcheck/ok', { authorization: `Bearer wrong${i}` })),
  );
  t.equal(answers.filter(({ status }) => status === 401).length, 10);
  t.equal(answers.filter(({ status }) => status === 429).length, 20);
});

t.test('each change has its line; those of refused ones are bounded, and the rest is counted', async (t) => {
  const { tcp, socket, clock, lines } = await guarded(t, null);
  for (let i = 0; i < 25; i++) await post(tcp, '/quitquitquit');
  t.equal(lines.length, 10);
  for (let i = 0; i < 25; i++) await post(socket, '/sessions/end?client=spiffe://default/*');
  t.equal(lines.length, 35);
  t.match(lines.at(-1), {
    outcome: 'made',
    change: '/sessions/end',
    by: 'the admin socket of uid 7',
    what: /^3 sessions ended: client=/,
  });
  clock.advance(10_000);
  t.match(lines.at(-1), { outcome: 'refused', leftOut: 15 });
  await post(tcp, '/quitquitquit');
  t.match(lines.at(-1), { outcome: 'refused', change: '/quitquitquit', by: '127.0.0.1' });
});

t.test('a line of the log is one line, whatever the query holds', async (t) => {
  const { socket, lines } = await guarded(t);
  await post(socket, '/sessions/end?mesh=%0a%1b%5b31m%e2%80%aex');
  await post(socket, `/logging?${'%0a'.repeat(500)}=debug`);
  for (const line of lines)
    for (const text of Object.values(line)) t.notMatch(String(text), /[\p{Cc}\p{Cf}]/u, JSON.stringify(text));
  t.ok(lines.every((line) => Object.values(line).every((text) => String(text).length <= 256)));
});

t.test('a token file that others can read is used, with a warning; one without a token is not', async (t) => {
  const { tcp, tokenFile, doubts } = await guarded(t);
  const status = async (): Promise<number> => (await post(tcp, '/healthcheck/ok', bearer)).status;
  t.equal(await status(), 200);
  t.same(doubts, []);
  rmSync(tokenFile);
  writeFileSync(tokenFile, `ops ${TOKEN}\n`, { mode: 0o644 });
  t.equal(await status(), 200);
  t.equal(await status(), 200);
  t.match(doubts, [/has the mode 0644, so other users can read or write it: chmod 600/]);
  for (const [text, why] of [
    ['', 'it has no token: write one in a line of its own'],
    ['# only words\n', 'it has no token'],
    ['short\n', 'a token has at least 32 characters'],
    [`a b ${TOKEN}\n`, 'allowed is a token, or a name and a token'],
    [`bad/name ${TOKEN}\n`, 'allowed in the name of a token'],
    ['x'.repeat(70_000), 'it has more than 65536 bytes'],
  ] as const) {
    writeFileSync(tokenFile, text);
    t.equal(await status(), 503, why);
    t.match(doubts.at(-1), why);
    t.notMatch(doubts.at(-1) ?? '', TOKEN);
  }
  writeFileSync(tokenFile, `${TOKEN}\n`);
  t.equal(await status(), 200, 'and it counts again once it is right');
});

t.test('a proxy that passes the requests of a browser on to the socket changes nothing for it', async (t) => {
  const { socket, did } = await guarded(t);
  const proxy = createServer((request, response) => {
    void send(socket, request.method ?? '', request.url ?? '', request.headers).then(({ status, body }) => {
      response.writeHead(status);
      response.end(body);
    });
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.teardown(() => proxy.close());
  const address = proxy.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const answer = await fetch(`http://127.0.0.1:${port}/quitquitquit`, {
    method: 'POST',
    mode: 'cors',
    headers: { origin: 'http://evil.example' },
  });
  t.equal(answer.status, 403);
  t.same(did, []);
});

t.test('a probe makes the egress dial, so it passes the same guard, and has its line', async (t) => {
  const { tcp, socket, did, lines } = await guarded(t);
  const host = `localhost:${tcp.port}`;
  const refused = [
    await send(socket, 'GET', '/probe?target=d'),
    await send(socket, 'HEAD', '/probe?target=d'),
    await post(tcp, '/probe?target=d'),
    await post(tcp, '/probe?target=d', { ...bearer, host: 'evil.example' }),
    await post(tcp, '/probe?target=d', { ...bearer, host, origin: 'http://evil.example' }),
    await post(tcp, '/probe?target=d', { ...bearer, host, 'sec-fetch-site': 'cross-site' }),
    await post(socket, '/probe?target=d', { 'content-length': '1' }).catch(() => ({ status: 413 })),
  ];
  t.same(
    refused.map(({ status }) => status),
    [405, 405, 401, 421, 403, 403, 413],
  );
  t.same(did, [], 'nothing was dialled');
  for (const [query, body] of [
    ['', /target is needed/],
    ['?target=', /target is needed/],
    ['?target=a&target=b', /target is given twice/],
    ['?target=a&timeout=1h', /timeout must be a duration from 1ms to 15s/],
    ['?target=a&timeout=0s', /timeout must be/],
    ['?target=a&wait=6s', /wait must be a duration from 0s to 5s/],
    ['?target=a&admin=x', /allowed parameters are target, timeout and wait/],
    [`?target=${'x'.repeat(1_001)}`, /1000 characters at most/],
  ] as const)
    t.match(await post(socket, `/probe${query}`), { status: 400, body }, query);
  t.match(await post(socket, '/probe?target=none'), { status: 404, body: 'there is none\n' });
  t.match(await post(socket, '/probe?target=busy'), { status: 503, body: 'ask again\n' });
  lines.length = did.length = 0;
  const { status, body } = await post(tcp, '/probe?target=d&timeout=2s&wait=0s', bearer);
  t.equal(status, 200);
  t.match(JSON.parse(body), { version: 1, destination: 'd\u202e', endpoints: [], leftOut: 0 });
  t.notMatch(body, /\u202e/);
  t.same(did, ['probe d 2000 0']);
  t.match(lines, [{ outcome: 'probed', change: '/probe', by: /^token/, what: '0 addresses of d\\u{202e} of mesh m' }]);
});
