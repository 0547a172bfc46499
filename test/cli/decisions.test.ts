// A real egress, and what `zone-egress decisions` prints of it.
import t from 'tap';
import { gone, startZone } from '../egress/zone.ts';
import type { Zone } from '../egress/zone.ts';
import { until } from '../egress/until.ts';
import { runCommand, startCommand } from './running.ts';

async function refused(zone: Zone, service: string): Promise<void> {
  const before = zone.records.length;
  const socket = await zone.connect('api{mesh=default}', zone.mesh.client(service)).catch(() => null);
  if (socket !== null) await gone(socket);
  await until('its record', () => zone.records.length > before);
}

t.test('it prints a line for each decision, the oldest first, and those that it is asked for', async (t) => {
  await using zone = await startZone(t);
  const admin = ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`];
  t.match(await runCommand('decisions', ...admin), { code: 0, out: '', err: '' });
  await refused(zone, 'batch');
  await refused(zone, 'other');
  const legacy = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  legacy.end();
  await gone(legacy);
  await zone.record(({ reason }) => reason === 'closed');

  const all = (await runCommand('decisions', ...admin)).out.split('\n');
  t.match(all[0], /^\d{4}-\d\d-\d\dT[\d:.]+Z \S+ denied: spiffe:\/\/default\/batch to api: .*TrafficPermission/);
  t.match(all[1], /denied: spiffe:\/\/default\/other to api/);
  t.match(all[2], /closed: spiffe:\/\/default\/frontend to legacy: 0 up, 0 down in /);
  const lines = async (...args: readonly string[]) =>
    (await runCommand('decisions', ...admin, ...args)).out.split('\n').filter((line) => line !== '').length;
  t.equal(await lines('--outcome', 'served'), 1);
  t.equal(await lines('--outcome', 'refused'), 2);
  t.equal(await lines('--reason', 'denied', '--client', 'spiffe://default/b*'), 1);
  t.equal(await lines('--since', '1h'), 3);
  t.equal(await lines('--since', '2999-01-01T00:00:00Z'), 0);
  t.equal(await lines('--limit', '2'), 2);
  const json = (await runCommand('decisions', ...admin, '--limit', '1', '-o', 'json')).out;
  t.match(JSON.parse(json), { kind: 'session', reason: 'closed', destination: 'legacy' });

  for (const [args, said] of [
    [['--since', 'yesterday'], 'since must be a duration such as 10m, or a time such as 2026-01-31T12:00:00Z'],
    [['--reason', 'bored'], 'reason must be one of '],
  ] as const)
    t.match(await runCommand('decisions', ...admin, ...args), { code: 64, err: said });
  t.match(await runCommand('decisions', ...admin, '--outcome', 'bad'), { code: 64, err: 'allowed are served and refused' });
});

t.test('--follow prints what comes until it is interrupted, and until the egress ends', async (t) => {
  await using zone = await startZone(t);
  const admin = ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`];
  await refused(zone, 'past');
  const running = startCommand('decisions', ...admin, '--follow', '--limit', '1');
  await until('the past one', () => running.printed.out.includes('spiffe://default/past'));
  await refused(zone, 'present');
  await until('the one that comes', () => running.printed.out.includes('spiffe://default/present'));
  running.signal('SIGINT');
  t.equal(await running.code, 0);

  const other = startCommand('decisions', ...admin, '-f', '-o', 'json');
  await until('a line of JSON', async () => {
    await refused(zone, 'later');
    return other.printed.out.includes('"kind":"session"');
  });
  await zone.egress.close();
  t.equal(await other.code, 69);
  t.match(other.printed.err, /^zone-egress: the egress at http:.* was stopped: no more decisions come from it\n$/);
});
