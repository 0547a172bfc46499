import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Worker } from 'node:worker_threads';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { WorkerPool } from '../../src/control/worker-pool.ts';
import type { ContentHash } from '../../src/model/names.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../../src/model/settings.ts';
import type { TerminateRoute } from '../../src/model/route.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { BOUND_MS, FAR_MS, until } from '../egress/until.ts';
import { ask, gone, startZone } from '../egress/zone.ts';
import type { Zone } from '../egress/zone.ts';
import { cluster } from '../routing/endpoints.ts';
import { freePort } from '../free-ports.ts';

/** Collects the threads of data sides in the order of their start, from Node's events. */
function workersOf(t: Test): readonly Worker[] {
  const workers: Worker[] = [];
  const onWorker = (message: unknown): void => void workers.push((message as { worker: Worker }).worker);
  subscribe('worker_threads', onWorker);
  t.teardown(() => unsubscribe('worker_threads', onWorker));
  return workers;
}

async function serves(zone: Zone, sni: string): Promise<void> {
  const socket = await zone.connect(sni, zone.mesh.client('frontend'));
  const answer = await ask(socket, 'ping');
  socket.end();
  await gone(socket);
  if (answer !== 'ping') throw new Error(`${sni} answered ${answer}`);
}

const named = (port: number): string => `type: ExternalService
mesh: default
name: named
tags: { kuma.io/service: named, kuma.io/protocol: tcp }
networking: { address: 'named.test:${port}' }
---
type: TrafficPermission
mesh: default
name: named
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: named } }]
`;

t.test('a port that the kernel chose is held until every data side listens on it', async (t) => {
  const workers = workersOf(t);
  const servers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPServerWrap').length;
  const pool = new WorkerPool({
    clock: systemClock({ keepAlive: false }),
    watchClock: new FakeClock(),
    count: 2,
    settings: { ...DEFAULT_TRAFFIC_SETTINGS, unref: false },
    onRecords() {},
    onResolve() {},
    onCredentialsNeeded() {},
    onRelay() {},
    onFault: (message) => t.fail(message),
    onSilence() {},
  });
  t.teardown(() => pool.stop());
  await pool.start();
  const before = servers();
  const held: number[] = [];
  for (const worker of workers)
    worker.on('message', ({ kind }: { kind: string }) => void (kind === 'listening' && held.push(servers() - before)));
  t.ok((await pool.listen('127.0.0.1', 0)) > 0);
  t.same(held, [1, 1]);
  await until('it is released', () => servers() === before);
});

t.test('a change that one data side cannot take is live in none, and the next one is taken', async (t) => {
  for (const count of [1, 2]) {
    const workers = workersOf(t);
    const pool = new WorkerPool({
      clock: systemClock({ keepAlive: false }),
      watchClock: new FakeClock(),
      count,
      settings: { ...DEFAULT_TRAFFIC_SETTINGS, unref: false },
      onRecords() {},
      onResolve() {},
      onCredentialsNeeded() {},
      onRelay() {},
      onFault: (message) => t.fail(message),
      onSilence() {},
    });
    t.teardown(() => pool.stop());
    await pool.start();
    const answers: string[] = [];
    for (const worker of workers)
      worker.on('message', ({ kind, version = '' }: { kind: string; version?: string }) => {
        if (kind === 'live' || kind === 'change-failed') answers.push(`${kind} ${version}`);
      });
    const goLive = (version: string, clusters: readonly string[], broken: string | null = null): Promise<void> => {
      const made = clusters.map(
        (name) => [name, { ...cluster([]), name, ...(name === broken ? { endpoints: null } : {}) }] as const,
      );
      const snapshot = { ...EMPTY_SNAPSHOT, version, clusters: new Map(made) } as unknown as Snapshot;
      return pool.goLive({ snapshot, secrets: new Map([[version as ContentHash, version]]), credentials: [] });
    };
    await goLive('one', ['a', 'b']);
    await t.rejects(goLive('two', ['b', 'c'], 'c'), {
      message: /^data side 0 could not take the change: .*; the previous configuration stays live in all of them$/,
    });
    t.equal(pool.secret('two' as ContentHash), undefined);
    t.equal(pool.secret('one' as ContentHash), 'one');
    await goLive('three', ['b', 'c', 'd']);
    if (count === 2) {
      const expected = ['live one', 'change-failed ', 'live one', 'live three'].flatMap((each) => [each, each]);
      t.strictSame([...answers].sort(), [...expected].sort());
    }
  }
});

t.test('a limit that a failed change would have removed holds on', async (t) => {
  const pool = new WorkerPool({
    clock: systemClock({ keepAlive: false }),
    watchClock: new FakeClock(),
    count: 1,
    settings: { ...DEFAULT_TRAFFIC_SETTINGS, unref: false },
    onRecords() {},
    onResolve() {},
    onCredentialsNeeded() {},
    onRelay() {},
    onFault: (message) => t.fail(message),
    onSilence() {},
  });
  t.teardown(() => pool.stop());
  await pool.start();
  const limited = {
    kind: 'terminate',
    serverName: 'a{mesh=default}',
    mesh: 'default',
    destination: 'a',
    cluster: 'a',
    permission: { kind: 'allow-all', by: 'test' },
    rateLimit: { connections: 1, intervalMs: FAR_MS },
  } as unknown as TerminateRoute;
  const { rateLimit: _, ...unlimited } = limited;
  const goLive = (version: string, route: object, endpoints: readonly [] | null = []): Promise<void> => {
    const clusters = new Map([['a', { ...cluster([]), name: 'a', endpoints }]]);
    const snapshot = { ...EMPTY_SNAPSHOT, version, routes: new Map([[limited.serverName, route]]), clusters };
    return pool.goLive({ snapshot: snapshot as unknown as Snapshot, secrets: new Map(), credentials: [] });
  };
  await goLive('one', limited);
  t.equal(pool.breakers.admit(limited), null);
  t.match(pool.breakers.admit(limited), { limit: 'rate' });
  await t.rejects(goLive('two', unlimited, null), { message: /could not take the change/ });
  t.match(pool.breakers.admit(limited), { limit: 'rate' }, 'after the failed change');
  await goLive('three', { ...limited, destination: 'b' });
  t.match(pool.breakers.admit(limited), { limit: 'rate' }, 'after the next one');
});

t.test('data sides that took the place of dead ones know it all: routes, certificates, secrets, names', async (t) => {
  const workers = workersOf(t);
  await using zone = await startZone(t, {
    // Nothing listens on it between two data sides.
    port: await freePort(),
    concurrency: 2,
    lookup: () => Promise.resolve(['127.0.0.1']),
    traffic: { allowedResolved: ['127.0.0.0/8'] },
  });
  zone.write('named.yaml', named(zone.ports.tcp));
  t.match(await zone.egress.reload(), { kind: 'live', changed: true });
  await serves(zone, 'named{mesh=default}');
  const { port } = zone.egress;

  for (const dead of [0, 1]) {
    await workers[dead]!.terminate();
    await until('another takes its place', () => workers.length === 3 + dead);
  }
  // The first data sides no longer exist: the port is open again when one of the new ones is ready.
  await until('one of them listens', async () =>
    serves(zone, 'backend{mesh=default}').then(
      () => true,
      () => false,
    ),
  );
  for (let i = 0; i < 10; i++) {
    for (const service of ['backend', 'legacy', 'api', 'named']) await serves(zone, `${service}{mesh=default}`);
  }
  t.equal(zone.egress.port, port);
  t.strictSame([...new Set(zone.records.map(({ reason }) => reason))], ['closed']);
  const serving = new Set(zone.records.slice(-40).map(({ id }) => id.split('.')[0]));
  t.strictSame([...serving].sort(), ['0', '1'], 'both of them serve');

  zone.write('named.yaml', named(zone.ports.tcp).replace('service: frontend', 'service: nobody'));
  t.match(await zone.egress.reload(), { kind: 'live', changed: true }, 'and follow what changes');
});

t.test('a data side that took the place of a dead one knows which endpoints are bad', async (t) => {
  const workers = workersOf(t);
  const bad = await createFakeExternalService({ port: await freePort() });
  const sni = encodeHashSni({ kind: 'mes', name: 'ledger', mesh: 'default', port: 9_000 });
  await using zone = await startZone(t, {
    port: await freePort(),
    concurrency: 2,
    resources: ({ tcp }) => `type: MeshExternalService
mesh: default
name: ledger
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: ${tcp} }, { address: 127.0.0.1, port: ${bad.port} }]
---
type: MeshHealthCheck
mesh: default
name: check
spec:
  targetRef: { kind: Mesh }
  to:
  - targetRef: { kind: MeshExternalService, name: ledger }
    default: { interval: 50ms, noTrafficInterval: 50ms, timeout: 60s, unhealthyThreshold: 1, healthyThreshold: 1, tcp: {} }
`,
  });
  await bad.close();
  await until('it is found', async () => (await zone.egress.metrics()).includes('zone_egress_endpoints{health="unhealthy"} 1'));
  for (const dead of [0, 1]) {
    await workers[dead]!.terminate();
    await until('another takes its place', () => workers.length === 3 + dead);
  }
  await until('one of them listens', async () =>
    serves(zone, sni).then(
      () => true,
      () => false,
    ),
  );
  for (let i = 0; i < 10; i++) await serves(zone, sni);
  t.same([...new Set(zone.records.map(({ attempts }) => attempts))], [1], 'the bad one is never tried');
});

t.test('the sessions of a data side end with it, those of the others go on', async (t) => {
  const workers = workersOf(t);
  await using zone = await startZone(t, { concurrency: 2 });
  const sockets = await Promise.all(
    Array.from({ length: 20 }, () => zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'))),
  );
  for (const socket of sockets) t.equal(await ask(socket, 'ping'), 'ping');
  t.equal(zone.egress.sessions(), 20);
  const ended = sockets.map((socket) => {
    const over = { is: false };
    void gone(socket).then(() => (over.is = true));
    return over;
  });
  await workers[0]!.terminate();
  await until('its sessions are not counted any more', () => zone.egress.sessions() < 20);
  const left = zone.egress.sessions();
  await until('their clients see the end', () => ended.filter(({ is }) => !is).length === left);
  const running = sockets.filter((_, i) => ended[i]?.is === false);
  t.equal(running.length, left);
  for (const socket of running) t.equal(await ask(socket, 'pong'), 'pong');
  await until('another takes its place', () => workers.length === 3);
});

t.test('a data side that dies amid a drain does not hold it up', async (t) => {
  const workers = workersOf(t);
  await using zone = await startZone(t, { concurrency: 2 });
  await workers[0]!.terminate();
  // No data side has replaced it yet, so there is none to send the close to.
  const startedAt = performance.now();
  t.equal(await zone.egress.drain(FAR_MS).done, 'clean');
  t.ok(performance.now() - startedAt < BOUND_MS, `${Math.round(performance.now() - startedAt)} ms`);
});

t.test('an egress can be closed while a data side is dead', async (t) => {
  const workers = workersOf(t);
  await using zone = await startZone(t, { concurrency: 2 });
  await workers[1]!.terminate();
  await zone.egress.close();
  t.equal(workers.length, 2, 'nothing is started any more');
});
