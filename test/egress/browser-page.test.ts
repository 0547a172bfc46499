// The page for browsers at `/` of the admin listener, as a browser without JavaScript gets it, over
// real sockets from an egress with real sessions.
import { once } from 'node:events';
import { request } from 'node:http';
import t from 'tap';
import { until } from './until.ts';
import { ask, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Asks as Node's client does, which lets a test name any Host. */
async function get(zone: Zone, path: string, headers: Readonly<Record<string, string>> = { accept: BROWSER }): Promise<Answer> {
  const asked = request({ host: '127.0.0.1', port: zone.egress.adminPort, path, headers, agent: false }).end();
  const [answer] = (await once(asked, 'response')) as [
    NodeJS.ReadableStream & { statusCode: number; headers: Answer['headers'] },
  ];
  let body = '';
  answer.setEncoding('utf8');
  for await (const chunk of answer) body += String(chunk);
  return { status: answer.statusCode, headers: answer.headers, body };
}

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

function section(body: string, id: string): string {
  return body.split(`<section id="${id}"`)[1]?.split('</section>')[0] ?? '';
}

t.test('a browser gets the page, and everything that asks today gets the list', async (t) => {
  await using zone = await startZone(t, { concurrency: 1 });
  for (const accept of [BROWSER, 'text/html', 'TEXT/HTML;level=1', 'application/json, text/html;q=0.5'])
    t.match((await get(zone, '/', { accept })).headers, { 'content-type': 'text/html; charset=utf-8' }, accept);
  const others = ['*/*', 'text/plain', 'application/json', 'text/html;q=0'].map((accept) => ({ accept }));
  for (const headers of [{}, ...others]) {
    const answer = await get(zone, '/', headers);
    t.match(answer, {
      status: 200,
      headers: { 'content-type': 'text/plain; charset=utf-8' },
      body: /^zone egress\n\n\/ +a browser/,
    });
  }
  t.match((await get(zone, '/?output=text')).headers, { 'content-type': /^text\/plain/ });
  t.match((await get(zone, '/?output=html', {})).headers, { 'content-type': /^text\/html/ });
  t.match((await get(zone, '/explain?sni=a&output=text')).headers, { 'content-type': /^text\/plain/ });
  t.match((await get(zone, '/ready')).body, /^LIVE\n/);
});

t.test('the page and its files come only from here, and go nowhere else', async (t) => {
  await using zone = await startZone(t, { concurrency: 1 });
  const page = await get(zone, '/');
  const policy = String(page.headers['content-security-policy']).split('; ').sort();
  t.strictSame(policy, [
    "base-uri 'none'",
    "connect-src 'self'",
    "default-src 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "img-src 'self'",
    "script-src 'self'",
    "style-src 'self'",
  ]);
  const files = [...page.body.matchAll(/(?:src|href)="(\/page\/[^"]+)"/g)].map(([, path = '']) => path);
  t.strictSame(files.sort(), ['/page/console.css', '/page/console.js', '/page/icon.svg']);
  let bytes = Buffer.byteLength(page.body);
  for (const path of files) {
    const file = await get(zone, path);
    t.equal(file.status, 200, path);
    t.match(file.headers, { 'x-content-type-options': 'nosniff', 'cross-origin-resource-policy': 'same-origin' }, path);
    bytes += Buffer.byteLength(file.body);
  }
  t.ok(bytes < 150 * 1_024, `${bytes} bytes in all`);
  t.match(page.headers, { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store' });
  t.notMatch(
    page.body,
    /<style|style=|<script(?! src="\/page\/console.js" defer>)| on[a-z]+=|https?:/,
    'nothing inline, nothing foreign',
  );
  t.equal((await get(zone, '/page/../page/console.css')).status, 404);
  t.equal((await get(zone, '/page/console.ts')).status, 404);
  for (const path of ['/', ...files, '/explain?sni=a&output=html']) {
    t.equal((await get(zone, path, { accept: BROWSER, host: 'evil.example' })).status, 421, `${path} under a foreign name`);
    t.equal((await get(zone, path, { accept: BROWSER, origin: 'http://evil.example' })).status, 403, `${path} for another page`);
  }
  t.equal((await get(zone, '/', { accept: BROWSER, host: 'localhost:9901' })).status, 200);
});

t.test('without its script it has everything that matters', async (t) => {
  await using zone = await startZone(t, { concurrency: 2, watch: true });
  const frontend = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  await ask(frontend, 'x'.repeat(1_000));
  await gone(await zone.connect('legacy{mesh=default}', zone.mesh.client('batch')));
  const denied = await zone.record(({ reason }) => reason === 'denied');
  await gone(await zone.connect('nowhere', zone.mesh.client('frontend')).catch(() => zone.raw().destroy()));
  await zone.record(({ reason }) => reason === 'no-route');

  let body = '';
  await until('the open session is shown', async () => {
    ({ body } = await get(zone, '/'));
    return section(body, 'sessions').includes('spiffe://default/frontend');
  });
  t.match(section(body, 'state'), /●\sLIVE/);
  t.match(section(body, 'state'), new RegExp(`east[^]*${zone.egress.snapshot().version}[^]*has no problem`));
  t.match(section(body, 'sessions'), /1 of 1[^]*spiffe:\/\/default\/frontend[^]*legacy[^]*relay[^]*1\.0k \/ /);
  const refusals = section(body, 'refusals');
  t.ok(refusals.includes(denied.detail.replaceAll('"', '&quot;').replaceAll("'", '&#39;')), 'the sentence of the refusal');
  t.match(refusals, /no-route/);
  t.match(section(body, 'routes'), /legacy[^]*spiffe:\/\/default\/frontend|legacy[^]*frontend/);
  t.match(
    section(body, 'certificates'),
    /default[^]*this egress[^]*spiffe:\/\/default\/zone-egress[^]*(?:days|hours)[^]*authority of clients/,
  );
  t.match(section(body, 'map'), /mesh default: 3 destinations, [^"]*1 refused in the last 5 minutes/);
  t.match(section(body, 'map'), /legacy in mesh default: 1 of 1 endpoint usable, 1 connection open/);
  t.match(section(body, 'map'), /refused before a destination was found: 1 no-route/);
  t.match(section(body, 'explain'), /<form [^>]*action="\/explain"[^]*name="sni"/);

  const trace = await get(zone, `/explain?id=${denied.id}&output=html`);
  t.ok(refusals.includes(`href="/explain?id=${denied.id}&amp;output=html"`), 'one click from the refusal to its trace');
  t.match(trace, { status: 200, body: /■ refused at\spermission: denied[^]*To make it pass:[^]*TrafficPermission/ });
  const asked = await get(
    zone,
    '/explain?output=html&sni=api%7Bmesh%3Ddefault%7D&from=spiffe%3A%2F%2Fdefault%2Ffrontend&method=&path=',
  );
  t.match(asked.body, /● allowed/, 'empty fields of the form ask for nothing');
  t.match(await get(zone, '/explain?output=html&sni=a&from=nonsense'), { status: 400, body: /role="alert">■ [^]*nonsense/ });
  t.match(await get(zone, '/explain?output=html&id=9.9'), { status: 404, body: /not among the last ones/ });

  zone.write('more.yaml', ARCHIVE);
  await until('the change is shown', async () => {
    ({ body } = await get(zone, '/?part=state&part=map'));
    return body.includes('1 route added');
  });
  t.match(body, /newly allowed[^]*archive\{mesh=default\}: /);
  t.notOk(body.includes('<section id="sessions"'), 'an update has only the parts that it asks for');
  zone.write('more.yaml', 'type: [\n');
  await until('the rejected load is shown', async () => {
    ({ body } = await get(zone, '/'));
    return /was rejected: the configuration of .* is live/.test(body);
  });
  t.match(section(body, 'state'), /<details id="problems"\s+open[^]*more\.yaml:/);
  frontend.destroy();
});

const ARCHIVE = `type: ExternalService
mesh: default
name: archive
tags: { kuma.io/service: archive }
networking: { address: 127.0.0.1:9 }
---
type: TrafficPermission
mesh: default
name: archive
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: archive } }]
`;

t.test('filters of the address narrow the lists', async (t) => {
  await using zone = await startZone(t, { concurrency: 1 });
  for (const sni of ['nowhere-1', 'nowhere-2']) await zone.connect(sni, zone.mesh.client('frontend')).catch(() => undefined);
  await gone(await zone.connect('legacy{mesh=default}', zone.mesh.client('batch')));
  await until('all are recorded', () => zone.records.length >= 3);
  const refusals = async (search: string): Promise<number> =>
    [...section((await get(zone, `/${search}`)).body, 'refusals').matchAll(/<tr data-key/g)].length;
  t.equal(await refusals(''), 3);
  t.equal(await refusals('?reason=no-route'), 2);
  t.equal(await refusals('?destination=legacy'), 1);
  t.equal(await refusals('?client=spiffe://default/*'), 1);
  t.equal(await refusals('?mesh=other'), 0);
  const found = async (find: string): Promise<string> => section((await get(zone, `/?find=${find}`)).body, 'routes');
  t.match(await found('LEDG'), /1 of \d+/);
  t.match(await found('%3Cb%3E'), /No route has “&lt;b&gt;” in a name/);
  t.equal((await get(zone, '/?sort=nonsense&limit=7&part=nonsense&other=1')).status, 200, 'an address that was edited');
});
