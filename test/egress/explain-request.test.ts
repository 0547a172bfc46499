// Compares `explain` of a request on the command line, for a folder and for a running egress, with
// the egress's answer to that request.
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import type { RequestRecord } from '../../src/egress.ts';
import type { Trace } from '../../src/explain/trace.ts';
import { runCommand } from '../cli/running.ts';
import { answersIn, readUntilGone } from './http-zone.ts';
import { until } from './until.ts';
import { startZone } from './zone.ts';
import type { Zone, ZoneOptions } from './zone.ts';

const [SHOP, RAW] = ['shop{mesh=default}', 'raw{mesh=default}'];
const FRONTEND = 'spiffe://default/frontend';

const fault = (name: string, version: string, status: number): string => `type: FaultInjection
name: ${name}
mesh: default
sources: [{ match: { kuma.io/service: '*', version: ${version} } }]
destinations: [{ match: { kuma.io/service: shop, kuma.io/protocol: http } }]
conf: { abort: { httpStatus: ${status}, percentage: 100 } }
---
`;

const resources = (port: number): string => `type: ExternalService
name: shop
mesh: default
tags: { kuma.io/service: shop, kuma.io/protocol: http }
networking: { address: 'shop.partner.test:${port}' }
---
type: ExternalService
name: raw
mesh: default
tags: { kuma.io/service: raw }
networking: { address: 'shop.partner.test:${port}' }
---
${fault('teapot', 'bad', 418)}${fault('gone', 'old', 410)}type: RateLimit
name: limited
mesh: default
sources: [{ match: { kuma.io/service: limited } }]
destinations: [{ match: { kuma.io/service: shop } }]
conf: { http: { requests: 1, interval: 1h, onRateLimit: { status: 423 } } }
---
type: MeshTrafficPermission
name: shop
mesh: default
spec:
  targetRef: { kind: Mesh }
  from:
    - targetRef: { kind: MeshService, name: frontend }
      default: { action: Allow }
`;

async function startShop(t: Test, options: ZoneOptions = {}): Promise<Zone> {
  const server = createServer((request, response) => void request.resume().on('end', () => response.end('served')));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { traffic, ...rest } = options;
  return startZone(t, {
    lookup: async () => ['127.0.0.1'],
    traffic: { allowedResolved: ['127.0.0.0/8'], ...traffic },
    resources: () => resources((server.address() as AddressInfo).port),
    ...rest,
  });
}

const folder = (zone: Zone): readonly string[] => ['--resources', zone.folder];
const admin = (zone: Zone): readonly string[] => ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`];

async function ask(...args: readonly string[]): Promise<{ readonly code: number; readonly trace: Trace }> {
  const { code, out, err } = await runCommand('explain', ...args, '-o', 'json');
  if (out === '') throw new Error(`exit ${code}: ${err}`);
  return { code, trace: JSON.parse(out) as Trace };
}

const requestStep = ({ steps }: Trace) => steps.find(({ step }) => step === 'request');

/** A request, its headers besides `Host`, and the status of the egress; null where it is served. */
const CASES: readonly (readonly [client: string, method: string, headers: readonly string[], status: number | null])[] = [
  ['frontend', 'GET', [], null],
  ['frontend', 'GET', ['a: b'], null],
  ['batch', 'GET', [], 403],
  ['frontend', 'GET', ['x-kuma-tags: &kuma.io/service=frontend&&version=bad&'], 418],
  ['frontend', 'GET', ['X-Kuma-Tags: &kuma.io/service=frontend&&version=old&'], 410],
  ['frontend', 'GET', ['x-kuma-tags: &kuma.io/service=frontend&&version=new&'], null],
  // What traffic does not serve whatever is configured; `test/routing/check-head.test.ts` has the list.
  ['frontend', 'TRACE', [], 400],
  ['frontend', 'CONNECT', [], 404],
  ['frontend', 'GET', ['Host: other'], 400],
  ['frontend', 'GET', ['connection: host, close'], 400],
  ['frontend', 'GET', ['connection: upgrade, close', 'upgrade: websocket'], 403],
  ['frontend', 'GET', ['connection: upgrade, close', 'upgrade: h2c'], null],
  ['frontend', 'POST', ['transfer-encoding: gzip'], 501],
];

t.test('explain of a request tells the status that the egress answers it with', async (t) => {
  await using zone = await startShop(t);
  for (const [client, method, more, status] of CASES) {
    const headers = ['Host: shop.mesh', ...more];
    const question = ['--sni', SHOP, '--from', `spiffe://default/${client}`, '--method', method, '--path', '/x'].concat(
      headers.flatMap((line) => ['--header', line]),
    );
    const name = `${client} ${method} ${more.join(', ')}`;
    const socket = await zone.connect(SHOP, zone.mesh.client(client));
    const target = method === 'CONNECT' ? 'shop.mesh:80' : '/x';
    const lines = [
      `${method} ${target} HTTP/1.1`,
      ...headers,
      ...(/^connection/m.test(more.join('\n')) ? [] : ['Connection: close']),
    ];
    const answers = answersIn(await readUntilGone(socket, `${lines.join('\r\n')}\r\n\r\n`));
    t.equal(answers[0]?.status, status ?? 200, `traffic: ${name}`);
    const [offline, live] = [await ask(...question, ...folder(zone)), await ask(...question, ...admin(zone))];
    for (const { code, trace } of [offline, live]) {
      t.equal(code, status === null ? 0 : 3, `exit: ${name}`);
      t.match(trace.request, { method, path: '/x', authority: 'shop.mesh', status }, `explain: ${name}`);
      t.equal(trace.request?.host, status === null ? 'shop.partner.test' : '', `the Host: ${name}`);
    }
    t.same(requestStep(live.trace), requestStep(offline.trace), `the same step: ${name}`);
  }
});

for (const http of [true, false]) {
  const what = http ? 'a service of bytes' : 'an egress with HTTP off';
  t.test(`a request is not looked at, which a note says: ${what}`, async (t) => {
    const about = (sni: string): readonly string[] => ['--sni', sni, '--from', FRONTEND, '--method', 'GET'];
    const check = (asked: { readonly code: number; readonly trace: Trace }, destination: string): void => {
      t.equal(asked.code, 0);
      t.notOk('request' in asked.trace);
      t.notOk(asked.trace.steps.some(({ step }) => step === 'request'));
      t.ok(asked.trace.notes.includes(`requests of ${destination} are not looked at here: its bytes pass as they are`));
    };
    await using zone = await startShop(t, { traffic: { http } });
    check(await ask(...about(http ? RAW : SHOP), ...admin(zone)), http ? 'raw' : 'shop');
    if (http) check(await ask(...about(RAW), ...folder(zone)), 'raw');
  });
}

t.test('a recorded request tells the status that its client was answered', async (t) => {
  await using zone = await startShop(t);
  const requests: RequestRecord[] = [];
  zone.egress.onRequest((record) => requests.push(record));
  const get = (more: string): string => `GET /x HTTP/1.1\r\nHost: shop.mesh\r\n${more}\r\n`;
  const tags = (text: string): string => `x-kuma-tags: &${text}&\r\n`;
  const sent = [
    get(tags('kuma.io/service=limited')),
    get(tags('kuma.io/service=limited')),
    get(tags('kuma.io/service=x&&version=old')),
    get('Host: b\r\n'),
  ];
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const answers = answersIn(await readUntilGone(socket, sent.join('')));
  t.same(
    answers.map(({ status }) => status),
    [200, 423, 410, 400],
  );
  await until('the requests have ended', () => requests.length === sent.length);
  for (const { id, status } of requests.slice(1)) {
    const { code, trace } = await ask('--id', id, ...admin(zone));
    t.equal(code, 3);
    t.match(trace, { endsAt: 'request', request: { method: 'GET', status } }, `answered ${status}`);
  }
});

t.test('what is no request is a usage error that says what is wanted, of a folder and of an egress alike', async (t) => {
  await using zone = await startShop(t);
  const cases: readonly (readonly [args: readonly string[], err: RegExp])[] = [
    [['--method', 'get'], /method "get": allowed are capitals, as GET/],
    [['--path', 'x'], /path "x": it begins with a slash and has no space/],
    [['--path', '/a b'], /path "\/a b": it begins with a slash/],
    [['--header', 'nonsense'], /header "nonsense": wanted is name: value/],
    [['--header', 'a: b', '--header', 'c d: e'], /header "c d: e": wanted is name: value/],
    [['--header', 'a: b\r\nc: d'], /header "a: b\\r\\nc: d": wanted is name: value/],
  ];
  for (const [args, err] of cases)
    for (const against of [folder(zone), admin(zone)])
      t.match(await runCommand('explain', '--sni', SHOP, '--from', FRONTEND, ...args, ...against), { code: 64, out: '', err });
  t.match(await runCommand('explain', '--id', '0.1', '--method', 'GET', ...admin(zone)), { code: 64, err: /--id goes without/ });
});
