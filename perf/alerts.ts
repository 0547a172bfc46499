// npm run alerts: makes the fault of each alert of deploy/monitoring at running egresses, and waits
// until a real Prometheus fires it. The rules are those of the files, with shorter times.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Test } from 'tap';
import { startPrometheus } from '../deploy/monitoring/prometheus.ts';
import type { Prometheus, Target } from '../deploy/monitoring/prometheus.ts';
import { ruleGroups } from '../deploy/monitoring/render.ts';
import { alerts } from '../deploy/monitoring/rules.ts';
import { startEgress } from '../src/egress.ts';
import { createFakeExternalService } from '../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import { joining, startControlledZone } from '../test/egress/controlled-zone.ts';
import { readUntilGone, shopService, SHOP, startRawService } from '../test/egress/http-zone.ts';
import { until } from '../test/egress/until.ts';
import { gone, startZone } from '../test/egress/zone.ts';
import type { Zone } from '../test/egress/zone.ts';
import { freePort } from '../test/free-ports.ts';

const QUICK = { rate: '15s', before: '60s', event: '30s' };
const LATE_MS = 1_500;

/** What keeps a fault going: called again and again until the alert fires. */
type Trouble = () => Promise<unknown>;

interface Stage {
  readonly target: Target;
  readonly troubles: readonly Trouble[];
}

const targetOf = (instance: string, port: number): Target => ({ port, labels: { job: 'zone-egress', instance } });

/** Passes bytes on, the later ones of one direction late. */
async function lateProxy(t: Test, to: number, late: 'answers' | 'second'): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const service = connect(to, '127.0.0.1');
    let pieces = 0;
    for (const socket of [client, service]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    const pass = (from: Socket, into: Socket, isLate: () => boolean): void => {
      from.on(
        'data',
        (piece: Buffer) => void (isLate() ? setTimeout(() => into.write(piece), LATE_MS).unref() : into.write(piece)),
      );
      from.on('close', () => into.destroy());
    };
    pass(client, service, () => late === 'second' && pieces++ > 0);
    pass(service, client, () => late === 'answers');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const permitted = (name: string, clients = 'frontend'): string => `type: MeshTrafficPermission
mesh: default
name: to-${name}
spec:
  targetRef: { kind: MeshService, name: ${name} }
  from: [{ targetRef: { kind: MeshService, name: ${clients} }, default: { action: Allow } }]
`;

const external = (name: string, address: string, more = ''): string => `type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }
networking:
  address: ${address}
${more}---
${permitted(name)}`;

const tlsOf = (
  ca: string,
): string => `  tls: { enabled: true, serverName: api.partner.test, caCert: { inlineString: ${JSON.stringify(ca)} } }
`;

const checked = (port: number, dead: number): string => `type: MeshExternalService
mesh: other
name: ledger
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: 127.0.0.1, port: ${port} }, { address: 127.0.0.1, port: ${dead} }]
---
type: MeshHealthCheck
mesh: other
name: ledger
spec:
  targetRef: { kind: Mesh }
  to:
  - targetRef: { kind: MeshExternalService, name: ledger }
    default: { interval: 200ms, noTrafficInterval: 200ms, timeout: 5s, unhealthyThreshold: 1, healthyThreshold: 1, tcp: {} }
`;

async function session(zone: Zone, service: string, client = 'frontend'): Promise<void> {
  const socket = await zone.connect(`${service}{mesh=default}`, zone.mesh.client(client));
  socket.end();
  await gone(socket);
}

/** Services that fail, and clients that may not use them. */
async function faultyServices(t: Test): Promise<{ readonly zone: Zone; readonly stage: Stage }> {
  const partner = await createTestMesh('partner', { keyType: 'ec' });
  const api = await createFakeExternalService({
    tls: partner.issue({ uris: [], dns: ['api.partner.test'], subject: [['CN', 'api']] }),
  });
  const shop = await startRawService(t, () => 'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n');
  const slow = await lateProxy(t, api.port, 'answers');
  const [dead, unwell] = [await freePort(), await freePort()];
  const zone = await startZone(t, {
    lookup: (name) => (name.startsWith('missing') ? Promise.reject(new Error('ENOTFOUND')) : Promise.resolve(['127.0.0.1'])),
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: ({ tcp }) =>
      [
        external('legacy', `127.0.0.1:${tcp}`),
        external('dead', `127.0.0.1:${dead}`),
        external('missing', `missing.partner.test:${tcp}`),
        external('slow', `127.0.0.1:${slow}`, tlsOf(partner.ca.cert)),
        shopService(`127.0.0.1:${shop.port}`, { clients: ['frontend'] }),
        checked(tcp, unwell),
      ].join('\n---\n'),
  });
  t.teardown(() => api.close());
  const behindLate = await lateProxy(t, zone.egress.port, 'second');
  const shakeLate = async (): Promise<void> => {
    const client = { ...zone.mesh.client('frontend'), servername: 'legacy{mesh=default}', rejectUnauthorized: false };
    const socket = connectTls({ ...client, port: behindLate, host: '127.0.0.1' });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    await pause(2 * LATE_MS);
    socket.destroy();
  };
  const buy = async (): Promise<unknown> =>
    readUntilGone(
      await zone.connect(SHOP, zone.mesh.client('frontend')),
      'GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n',
    );
  const troubles = [
    () => session(zone, 'dead'),
    () => session(zone, 'missing'),
    () => session(zone, 'legacy', 'stranger'),
    () => session(zone, 'slow'),
    shakeLate,
    buy,
  ];
  return { zone, stage: { target: targetOf('services', zone.egress.adminPort), troubles } };
}

/** One session at a time is allowed, and a recording whose disk is full. */
async function limited(t: Test): Promise<{ readonly zone: Zone; readonly stage: Stage }> {
  const zone = await startZone(t, { traffic: { maxSessions: 1 }, record: { file: '/dev/full' } });
  const held = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  const over = async (): Promise<void> => gone(zone.raw());
  const ends = async (): Promise<void> => {
    zone.egress.reportFault(new Error('made by the proof of the alerts'));
    await pause(100);
  };
  t.teardown(() => held.destroy());
  return { zone, stage: { target: targetOf('limited', zone.egress.adminPort), troubles: [over, ends] } };
}

/** A certificate that lives for less than an hour, a Secret that is not there, and a file that is broken. */
async function misconfigured(t: Test): Promise<{ readonly zone: Zone; readonly stage: Stage }> {
  const zone = await startZone(t);
  const file = join(zone.folder, 'zone.yaml');
  const backend = 'backends: [{ name: ca-1, type: builtin';
  const text = readFileSync(file, 'utf8');
  if (!text.includes(backend)) throw new Error('the mesh of the tests has no such backend');
  const short = text.replaceAll(backend, `${backend}, dpCert: { rotation: { expiration: 30m } }`);
  const dangling = external('dangling', '127.0.0.1:9', '  tls: { enabled: true, caCert: { secret: not-there } }\n');
  writeFileSync(file, `${short}\n---\n${dangling}`);
  await zone.egress.reload();
  return { zone, stage: { target: targetOf('misconfigured', zone.egress.adminPort), troubles: [] } };
}

/** Keeps the event loop from its turns: 300 of each 350 ms. */
function blocking(): Trouble {
  const word = new Int32Array(new SharedArrayBuffer(4));
  return async () => {
    for (let i = 0; i < 8; i++) {
      Atomics.wait(word, 0, 0, 300);
      await pause(50);
    }
  };
}

/** Lowers the limit of this process to what it has open and a little more. */
function lowerDescriptors(t: Test, open: number): void {
  const pid = String(process.pid);
  const { stdout } = spawnSync('prlimit', ['--pid', pid, '--nofile', '--noheadings', '--output', 'SOFT'], { encoding: 'utf8' });
  spawnSync('prlimit', ['--pid', pid, `--nofile=${Math.ceil(open / 0.85)}:`]);
  t.teardown(() => spawnSync('prlimit', ['--pid', pid, `--nofile=${stdout.trim()}:`]));
}

/** Several zones are open: what is left at the end of one of them belongs to others. */
async function closeZone({ egress, ingress, tls, tcp }: Zone): Promise<void> {
  await egress.close();
  await Promise.all([ingress.close(), tls.close(), tcp.close()]);
}

async function fires(t: Test, prometheus: Prometheus, name: string, troubles: readonly Trouble[]): Promise<void> {
  const since = performance.now();
  let found: Readonly<Record<string, string>> | undefined;
  await until(`${name} fires`, async () => {
    await Promise.allSettled(troubles.map((trouble) => trouble()));
    found = (await prometheus.firing()).find(({ alertname }) => alertname === name);
    return found !== undefined;
  });
  const { alertname: _name, severity, ...labels } = found ?? {};
  t.pass(`${name} (${severity}) fires ${JSON.stringify(labels)} after ${((performance.now() - since) / 1e3).toFixed(1)} s`);
}

t.setTimeout(900_000);

t.test('each alert fires by its fault, and none by traffic that is well', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-alerts-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const well = await startZone(t);
  await using prometheus = await startPrometheus({
    port: await freePort(),
    targets: [targetOf('well', well.egress.adminPort)],
    rules: ruleGroups(QUICK, true),
    everyMs: 250,
  });
  await until('it is read', async () => (await prometheus.query('up == 1')).length === 1);
  for (let i = 0; i < 10; i++) {
    const socket = await well.connect('legacy{mesh=default}', well.mesh.client('frontend'));
    socket.end();
    await gone(socket);
  }
  await until(
    'its traffic is read',
    async () => (await prometheus.query('rate(zone_egress_sessions_total[15s]) > 0')).length > 0,
  );
  t.same(await prometheus.firing(), [], 'an egress that is well has no alert');

  const services = await faultyServices(t);
  const limits = await limited(t);
  const broken = await misconfigured(t);
  const joined = await startControlledZone(t, { egress: { admin: { port: 0 } } });
  joined.controlPlane.nackLoop('cluster');
  const alone = await startControlledZone(t, { egress: { admin: { port: 0 } }, joining: { stateDir: dir } });
  await alone.egress.close();
  await alone.controlPlane.stop();
  const kept = await startEgress({
    port: 0,
    admin: { port: 0 },
    controlPlane: joining(alone.controlPlane, alone.controlPlane.tokens.issue(), { stateDir: dir }),
  });
  const stages = [services, limits, broken].map(({ stage }) => stage);
  prometheus.watch([
    targetOf('well', well.egress.adminPort),
    ...stages.map(({ target }) => target),
    targetOf('joined', joined.egress.adminPort),
    targetOf('kept', kept.adminPort),
    // Its egress has ended.
    targetOf('ended', alone.egress.adminPort),
  ]);
  const troubles = stages.flatMap((stage) => stage.troubles);
  const last = ['ZoneEgressConfigErrors', 'ZoneEgressLoopSlow', 'ZoneEgressDescriptorsNear'];
  const names = alerts(QUICK).map(({ name }) => name);
  for (const name of names.filter((each) => !last.includes(each))) await fires(t, prometheus, name, troubles);
  writeFileSync(join(broken.zone.folder, 'broken.yaml'), 'type: [');
  await broken.zone.egress.reload();
  await fires(t, prometheus, 'ZoneEgressConfigErrors', []);
  await fires(t, prometheus, 'ZoneEgressLoopSlow', [blocking()]);
  t.same(await prometheus.brokenRules(), [], 'each rule can be evaluated');
  const wrong = (await prometheus.firing()).filter(({ instance }) => instance === 'well');
  t.same(
    wrong.filter(({ alertname }) => alertname !== 'ZoneEgressLoopSlow'),
    [],
    'the egress that is well has no alert but for the process that all of them share',
  );
  // Prometheus itself may get no connection from here on.
  const [open] = await prometheus.query('max(process_open_fds)');
  lowerDescriptors(t, Number(open?.value[1] ?? 100));
  await fires(t, prometheus, 'ZoneEgressDescriptorsNear', []);
  for (const zone of [services.zone, limits.zone, broken.zone, well]) await closeZone(zone);
  for (const zone of [joined, alone])
    await Promise.all([zone.egress.close(), zone.controlPlane.close(), zone.ingress.close(), zone.tcp.close()]);
  await kept.close();
});
