// A control plane lists an egress from the first request on its stream, and sends its configuration
// later: clients that come in between wait, and are served with that configuration or turned away.
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { startEgress } from '../../src/egress.ts';
import type { Egress, EgressOptions } from '../../src/egress.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { FakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { page } from './zone-process.ts';
import { joining } from './controlled-zone.ts';
import { until } from './until.ts';
import { activeResources, ask, gone, leftovers } from './zone.ts';

const mesh = await createTestMesh('default', { keyType: 'ec' });
const SNI = 'legacy{mesh=default}';

interface Starting extends AsyncDisposable {
  readonly port: number;
  readonly readiness: number;
  readonly cp: FakeControlPlane;
  /** Resolves with the egress when the control plane has sent a configuration. */
  readonly started: Promise<Egress>;
  readonly log: readonly Record<string, unknown>[];
  /** Sends the first configuration, with its listener at `port`. */
  answer(port?: number): void;
  client(): Promise<{ readonly tls: TLSSocket; readonly tcp: Socket }>;
}

/** Starts an egress that has joined, and has no configuration yet. */
async function starting(t: Test, options: Partial<EgressOptions> = {}): Promise<Starting> {
  const [port, readiness] = [await freePort(), await freePort()];
  const before = activeResources();
  const service = await createFakeExternalService();
  const cp = await createFakeControlPlane({ deregistrationDelayMs: 100 });
  const sockets: Socket[] = [];
  const log: Record<string, unknown>[] = [];
  const networking = { address: '127.0.0.1', port };
  const resource = JSON.stringify({ type: 'ZoneEgress', name: 'egress-1', zone: 'zone-1', networking });
  const ending = new AbortController();
  const started = startEgress({
    admin: false,
    readiness: { bind: '127.0.0.1', port: readiness },
    logLevel: 'debug',
    logDestination: { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    signal: ending.signal,
    ...options,
    controlPlane: joining(cp, cp.tokens.issue(), { resource }),
  });
  started.catch(() => undefined);
  await until('it is in the list of sidecars', () => cp.proxies.length > 0);
  return {
    port,
    readiness,
    cp,
    started,
    log,
    answer(at = port) {
      const external = { legacy: { address: '127.0.0.1', port: service.port, allow: ['frontend'] } };
      cp.set(fakeConfiguration({ address: '127.0.0.1', port: at, meshes: [mesh], external }));
    },
    async client() {
      const tcp = connectTcp(port, '127.0.0.1');
      sockets.push(tcp);
      tcp.on('error', () => {});
      await once(tcp, 'connect');
      const tls = connectTls({ socket: tcp, servername: SNI, ...mesh.client('frontend'), rejectUnauthorized: false });
      tls.on('error', () => {});
      return { tls, tcp };
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await started.then(
        (egress) => egress.close(),
        () => undefined,
      );
      for (const socket of sockets) socket.destroy();
      await cp.close();
      await service.close();
      t.strictSame(await leftovers(before), [], 'nothing is left');
    },
  };
}

async function answered(tls: TLSSocket): Promise<string> {
  if (!tls.authorized && tls.getProtocol() === null) await once(tls, 'secureConnect');
  return ask(tls, 'ping');
}

for (const concurrency of [1, 2])
  t.test(`a connection from before the first configuration is served with it, by ${concurrency} workers`, async (t) => {
    await using zone = await starting(t, { concurrency });
    const early = await Promise.all(Array.from({ length: 40 }, () => zone.client()));
    t.equal((await page(zone.readiness, '/ready')).trim(), '503 PRE_INITIALIZING', 'it is not ready');
    zone.answer();
    t.strictSame(new Set(await Promise.all(early.map(({ tls }) => answered(tls)))), new Set(['ping']));
    const egress = await zone.started;
    t.equal(egress.port, zone.port);
    t.equal((await page(zone.readiness, '/ready')).trim(), '200 LIVE');
    t.equal(egress.sessions(), 40);
    const { tls } = await zone.client();
    t.equal(await answered(tls), 'ping', 'a later one is served at the same place');
    for (const each of [...early.map((one) => one.tls), tls]) each.end();
    await until('their places are free', () => egress.sessions() === 0);
    await until('each has one record', () => egress.decisions().length === 41);
  });

t.test('a configuration that does not come in time turns the waiting away, and the egress serves when it comes', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  await using zone = await starting(t, { clock, traffic: { setupTimeoutMs: 7_000 } });
  const { tls } = await zone.client();
  clock.advance(6_999);
  t.notOk(tls.destroyed);
  clock.advance(1);
  await gone(tls);
  await until('it is logged', () => zone.log.some(({ turnedAway }) => turnedAway === 1));
  await t.rejects(zone.client(), { code: 'ECONNREFUSED' }, 'it no longer listens');
  t.equal((await page(zone.readiness, '/ready')).trim(), '503 PRE_INITIALIZING');
  zone.answer();
  const egress = await zone.started;
  t.equal(egress.port, zone.port);
  const { tls: late } = await zone.client();
  await once(late, 'secureConnect');
  late.end();
  await gone(late);
  await until('it has a record', () => egress.decisions().length > 0);
  t.equal(egress.decisions().length, 1, 'only a session has one');
});

t.test('an egress that ends before its first configuration turns the waiting away', async (t) => {
  const zone = await starting(t);
  const { tls } = await zone.client();
  await zone[Symbol.asyncDispose]();
  await gone(tls);
  t.pass();
});

t.test('those that wait count as sessions: one above the limit is refused at once', async (t) => {
  await using zone = await starting(t, { traffic: { maxSessions: 2 } });
  const [first, second] = [await zone.client(), await zone.client()];
  const third = connectTcp(zone.port, '127.0.0.1');
  third.on('error', () => {});
  await new Promise<void>((resolve) => third.on('close', () => resolve()));
  zone.answer();
  t.strictSame([await answered(first.tls), await answered(second.tls)], ['ping', 'ping']);
  const egress = await zone.started;
  await until('the third has a record', () => egress.decisions().length > 0);
  t.match(egress.decisions(), [{ reason: 'over-limit' }]);
});

t.test('a configuration for another place is served there, and no client of the first place is judged by it', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  await using zone = await starting(t, { clock });
  const { tls } = await zone.client();
  const other = await freePort();
  zone.answer(other);
  const egress = await zone.started;
  t.equal(egress.port, other);
  t.notOk(tls.destroyed);
  clock.advance(15_000);
  await gone(tls);
  t.strictSame(egress.decisions(), []);
});

t.test('a place that somebody else has is no reason not to start', async (t) => {
  await using taken = await starting(t);
  taken.answer();
  await taken.started;
  const cp = taken.cp;
  const networking = { address: '127.0.0.1', port: taken.port };
  const resource = JSON.stringify({ type: 'ZoneEgress', name: 'egress-2', zone: 'zone-1', networking });
  const free = await freePort();
  const external = { legacy: { address: '127.0.0.1', port: free, allow: ['frontend'] } };
  cp.set(fakeConfiguration({ address: '127.0.0.1', port: free, meshes: [mesh], external }), { of: '.egress-2' });
  await using second = await startEgress({
    admin: false,
    controlPlane: joining(cp, cp.tokens.issue(), { name: 'egress-2', resource }),
  });
  t.equal(second.port, free);
});
