// An egress that starts on the configuration it kept, while its control plane is away.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTcp } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { startEgress } from '../../src/egress.ts';
import type { Egress, EgressOptions, SessionRecord } from '../../src/egress.ts';
import { startControlledZone, joining } from './controlled-zone.ts';
import type { ControlledZone } from './controlled-zone.ts';
import { until } from './until.ts';
import { ask, gone } from './zone.ts';

const USED = /starts on the configuration that was kept/;
const TAKEN_OVER = /in place of the kept one/;
const FILE = 'egress-1.kept';

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-kept-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

type Lines = readonly Record<string, unknown>[];

function saying(log: Lines, msg: RegExp): Lines {
  return log.filter((line) => msg.test(String(line.msg)));
}

/** Ends the egress of the zone, which writes what it has, and then its control plane. */
async function leaveKept(zone: ControlledZone): Promise<void> {
  await zone.egress.close();
  await zone.controlPlane.stop();
}

/** Starts a second egress of the same name. */
async function startAgain(t: Test, zone: ControlledZone, stateDir: string, options: Partial<EgressOptions> = {}) {
  const log: Record<string, unknown>[] = [];
  const records: SessionRecord[] = [];
  const token = zone.controlPlane.tokens.issue();
  const started = startEgress({
    port: 0,
    admin: { port: 0 },
    readiness: { bind: '127.0.0.1', port: 0 },
    logLevel: 'debug',
    logDestination: { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    ...options,
    controlPlane: joining(zone.controlPlane, token, { stateDir }),
  });
  started.catch(() => undefined);
  t.teardown(async () => (await started.catch(() => null))?.close());
  void started.then(
    (egress) => egress.onRecord((record) => void records.push(record)),
    () => undefined,
  );
  return { started, log, records };
}

function connectTo(zone: ControlledZone, { port }: Egress, service: string, client = 'frontend') {
  return zone.connect(`${service}{mesh=default}`, zone.mesh.client(client), { port });
}

async function page(port: number, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } });
  return `${response.status} ${(await response.text()).trim()}`;
}

for (const delta of [false, true]) {
  t.test(`it starts while the control plane is away, says so, and follows it when it is back (delta: ${delta})`, async (t) => {
    const dir = folder(t);
    await using zone = await startControlledZone(t, { fake: { delta }, joining: { stateDir: dir } });
    t.equal(await ask(await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend')), 'ping'), 'ping');
    const { version } = zone.egress.snapshot();
    await leaveKept(zone);
    t.strictSame(readdirSync(dir), [FILE], 'nothing else is left in the folder');
    t.equal(statSync(join(dir, FILE)).mode & 0o777, 0o600);

    const { started, log, records } = await startAgain(t, zone, dir);
    const egress = await started;
    t.equal(egress.snapshot().version, version, 'the same configuration');
    t.match(saying(log, USED), [{ level: 'warn', file: join(dir, FILE), keptAt: /^20/, why: /ECONNREFUSED/ }]);
    t.match(await page(egress.readinessPort, '/ready'), /^200 LIVE\nthe control plane is away: the configuration was kept at 20/);
    t.match(await page(egress.adminPort, '/config_errors'), /runs on the configuration that was kept at/);
    t.match(await egress.metrics(), /zone_egress_kept_configuration_timestamp_seconds 1\d{9}/);
    const running = await connectTo(zone, egress, 'legacy');
    t.equal(await ask(running, 'ping'), 'ping');
    t.equal(await ask(await connectTo(zone, egress, 'backend'), 'ping'), 'ping');
    await gone(await connectTo(zone, egress, 'legacy', 'batch'));
    await until('a refusal', () => records.some(({ reason }) => reason === 'denied'));

    await zone.controlPlane.start();
    await until('it has taken over', () => saying(log, TAKEN_OVER).length === 1);
    t.equal(egress.snapshot().version, version);
    t.equal(await ask(running, 'pong'), 'pong', 'a session of before goes on');
    t.equal(await page(egress.readinessPort, '/ready'), '200 LIVE');
    t.notMatch(await page(egress.adminPort, '/config_errors'), /was kept/);
    t.match(await egress.metrics(), /zone_egress_kept_configuration_timestamp_seconds 0/);
    t.equal(saying(log, /listener for clients/).length, 1, 'the listener stays open');
    const keys = readFileSync(join(dir, FILE), 'latin1').match(/-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n([^\r\n]{20})/);
    t.ok(keys, 'the file has the keys');
    t.notMatch(JSON.stringify(log), keys?.[1] ?? '', 'the log has none');
    await egress.close();
  });
}

t.test(
  'a control plane that comes back with another configuration is followed, and sessions have their drain time',
  async (t) => {
    const dir = folder(t);
    await using zone = await startControlledZone(t, { joining: { stateDir: dir } });
    await leaveKept(zone);
    const { started, log } = await startAgain(t, zone, dir);
    const egress = await started;
    const running = await connectTo(zone, egress, 'backend');
    t.equal(await ask(running, 'ping'), 'ping');
    const legacy = { address: '127.0.0.1', port: zone.tcp.port, allow: ['batch'] };
    await zone.send({ external: { legacy } }, { isSame: true });
    await zone.controlPlane.start();
    await until('it has taken over', () => saying(log, TAKEN_OVER).length === 1);
    t.equal(await ask(await connectTo(zone, egress, 'legacy', 'batch'), 'ping'), 'ping');
    t.equal(await ask(running, 'pong'), 'pong');
    await egress.close();
  },
);

t.test('a file that cannot be used is one sentence, and the start waits for the control plane as without it', async (t) => {
  const dir = folder(t);
  await using zone = await startControlledZone(t, { joining: { stateDir: dir } });
  await leaveKept(zone);
  const bytes = readFileSync(join(dir, FILE));
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 9) ^ 1, bytes.length - 9);
  writeFileSync(join(dir, FILE), bytes);
  const { started, log } = await startAgain(t, zone, dir);
  await until('it says why', () => saying(log, /kept configuration is not used: it is damaged/).length === 1);
  await zone.controlPlane.start();
  const egress = await started;
  t.equal(await ask(await connectTo(zone, egress, 'legacy'), 'ping'), 'ping');
  t.strictSame(saying(log, USED), []);
  await egress.close();
});

t.test('a control plane that answers and refuses the egress ends the start, whatever was kept', async (t) => {
  const dir = folder(t);
  await using zone = await startControlledZone(t, { joining: { stateDir: dir } });
  await zone.egress.close();
  zone.controlPlane.refuseBootstrap({ status: 422, body: 'no' });
  const { started, log } = await startAgain(t, zone, dir);
  await t.rejects(started, { name: 'Error', message: /refused the bootstrap \(422\): no/ });
  t.strictSame(saying(log, USED), []);
});

t.test('an expired certificate in it is refused as always', async (t) => {
  const dir = folder(t);
  await using zone = await startControlledZone(t, { joining: { stateDir: dir } });
  await leaveKept(zone);
  const real = systemClock({ keepAlive: false });
  const clock = { ...real, wall: () => real.wall() + 20 * 365 * 86_400_000 };
  const { started, log, records } = await startAgain(t, zone, dir, { clock });
  const egress = await started;
  t.equal(saying(log, USED).length, 1);
  const socket = connectTcp(egress.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
  await t.rejects(connectTo(zone, egress, 'legacy'));
  await until('it is refused', () => records.some(({ reason }) => reason === 'identity-unavailable'));
  await egress.close();
});

t.test('a folder that cannot be written is said once, and ends nothing', async (t) => {
  const dir = folder(t);
  const file = join(dir, 'a-file');
  writeFileSync(file, '');
  await using zone = await startControlledZone(t, { joining: { stateDir: join(file, 'below') } });
  const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  t.equal(await ask(socket, 'ping'), 'ping');
  await until('it is said', () => saying(zone.log, /could not be kept.*not a folder/).length === 1);
  t.match(await zone.egress.metrics(), /zone_egress_kept_writes_total\{result="failed"\} 1/);
  await zone.send({ external: {} });
  await zone.egress.close();
  t.equal(saying(zone.log, /could not be kept/).length, 1);
});
