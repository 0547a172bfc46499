// The egress as a process that has no file descriptor left: it lives, says why, and goes on once
// there are some again.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { withPrlimit } from '../data.ts';
import { until } from './until.ts';
import { page, run, start, writeZone } from './zone-process.ts';
import type { Process, ZoneFolder } from './zone-process.ts';
import { CONCURRENCIES, ask, gone } from './zone.ts';

const LIMIT = 200;
const LACK = 'this process has no file descriptor left (EMFILE): raise its limit, ulimit -n';

interface Service {
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
}

/** A service that reads its requests and answers none. */
async function startHanging(t: Test): Promise<Service> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await once(server.close(), 'close');
  });
  return { port: (server.address() as AddressInfo).port, sockets };
}

function writeService(zone: ZoneFolder, name: string, port: number, protocol = 'tcp'): void {
  writeFileSync(
    join(zone.folder, `${name}.yaml`),
    `type: ExternalService
name: ${name}
mesh: default
tags: { kuma.io/service: ${name}, kuma.io/protocol: ${protocol} }
networking: { address: '127.0.0.1:${port}' }
---
type: TrafficPermission
mesh: default
name: ${name}
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: ${name} } }]
`,
  );
}

async function openHttp2(zone: ZoneFolder): Promise<ClientHttp2Session> {
  const socket = await zone.connect('shop');
  const session = connectHttp2('https://a', { createConnection: () => socket });
  session.on('error', () => {});
  return session;
}

/** The status of a request; none comes for one that its service does not answer. */
function request(session: ClientHttp2Session, path: string): Promise<number> {
  const stream = session.request({ ':path': path });
  stream.on('error', () => {});
  return new Promise((resolve) => stream.on('response', (head) => resolve(Number(head[':status']))));
}

const details = (egress: Process): string =>
  egress
    .lines()
    .map(({ detail }) => String(detail))
    .join('\n');

for (const concurrency of CONCURRENCIES) {
  t.test(`requests that take all descriptors leave some for the rest, with ${concurrency} data sides`, async (t) => {
    const service = await startHanging(t);
    await using zone = await writeZone();
    writeService(zone, 'shop', service.port, 'http');
    await using egress = await run(zone, ['--concurrency', String(concurrency)], LIMIT);
    const [first, second] = [await openHttp2(zone), await openHttp2(zone)];
    const waiting = [first, second].flatMap((session) => Array.from({ length: 95 }, (_, i) => request(session, `/${i}`)));
    t.equal(await Promise.race(waiting), 503, 'a request above the limit is answered');
    const sentence = /connect 127\.0\.0\.1:\d+: 175 files are open \(limit 200, of which 25 are kept for other uses\)/;
    await until('the record of one', () => sentence.test(details(egress)));

    t.match(await page(zone.readinessPort, '/ready'), /^200 LIVE/);
    t.match(await page(zone.adminPort, '/stats/prometheus'), /^200 /);
    writeService(zone, 'later', service.port);
    await until('the change', () =>
      egress.lines().some(({ msg, routesAdded }) => /configuration/.test(String(msg)) && routesAdded === 1),
    );

    for (const session of [first, second]) session.destroy();
    // One that was made for a request that is over is kept for another.
    await until('most connections to the service to end', () => service.sockets.size < 10);
    const socket = await zone.connect('legacy');
    t.equal(await ask(socket, 'ping'), 'ping', 'what is free again is used');
    t.notOk(egress.exited());
  });
}

/** So many more files may be opened by the process. */
function leaveFree(pid: number, free: number): void {
  const open = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let limit = 0;
  for (let left = free; left > 0 || open.has(limit); limit++) if (!open.has(limit)) left--;
  setLimit(pid, limit);
}

function setLimit(pid: number, soft: number): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--nofile=${soft}:`], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

t.test('a process without any descriptor says so, blames no endpoint, and goes on by itself', withPrlimit, async (t) => {
  const service = await startHanging(t);
  await using zone = await writeZone();
  writeService(zone, 'shop', service.port, 'http');
  await using egress = await run(zone, ['--concurrency', '1'], LIMIT);
  const session = await openHttp2(zone);
  await once(session, 'remoteSettings');
  leaveFree(egress.pid, 0);
  t.equal(await request(session, '/'), 503);
  await until('the record', () => details(egress).includes(LACK));
  t.match(details(egress), `connect 127.0.0.1:${service.port}: ${LACK}`);
  const refused = await zone.connect('legacy').then(gone, () => {});
  t.equal(refused, undefined, 'a new client is not served');
  writeService(zone, 'later', service.port);
  const rejected = (): Record<string, unknown> | undefined => egress.lines().find(({ result }) => result === 'rejected');
  await until('the load to be rejected', () => rejected() !== undefined);
  t.same(rejected()?.['problems'], [`${zone.folder} read folder: ${LACK}`]);

  setLimit(egress.pid, LIMIT);
  await until('the change', () => egress.lines().some(({ result, routesAdded }) => result === 'applied' && routesAdded === 1));
  t.equal(await ask(await zone.connect('legacy'), 'ping'), 'ping');
  t.match(await page(zone.readinessPort, '/ready'), /^200 LIVE/);
  session.destroy();
  t.notOk(egress.exited());
});

t.test('files that could not be opened are read later, with nothing changed', withPrlimit, async (t) => {
  const service = await startHanging(t);
  await using zone = await writeZone();
  for (let i = 0; i < 12; i++) writeService(zone, `service-${i}`, service.port);
  await using egress = await run(zone, ['--concurrency', '1'], LIMIT);
  leaveFree(egress.pid, 2);
  writeService(zone, 'later', service.port);
  await until('the load to be rejected', () => egress.lines().some(({ result }) => result === 'rejected'));
  const problems = egress.lines().find(({ result }) => result === 'rejected')?.['problems'];
  t.match(problems, [`.yaml read: ${LACK}`]);
  setLimit(egress.pid, LIMIT);
  await until('the change', () => egress.lines().some(({ result, routesAdded }) => result === 'applied' && routesAdded === 1));
  t.equal(await ask(await zone.connect('legacy'), 'ping'), 'ping');
});

t.test('with too few descriptors to serve at all it does not start', async (t) => {
  await using zone = await writeZone();
  for (const [concurrency, needed] of [
    ['1', 64],
    ['3', 96],
  ] as const) {
    const { exit, output } = start(
      ['run', '--resources', zone.folder, '--readiness-port', '0', '--concurrency', concurrency],
      50,
    );
    t.equal((await exit).code, 78);
    t.match(output.stderr, `this process may have 50 open files, and an egress`);
    t.match(output.stderr, `needs at least ${needed} to serve at all: raise the limit (ulimit -n)`);
  }
});
