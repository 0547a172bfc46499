// What /sessions shows of the sessions that are open, with one data side and with two.
import { once } from 'node:events';
import t from 'tap';
import type { ShownSession } from '../../src/model/shown-session.ts';
import { runCommand } from '../cli/running.ts';
import { until } from './until.ts';
import { ask, CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

interface Page {
  readonly found: number;
  readonly silent: readonly number[];
  readonly sessions: readonly ShownSession[];
}

async function sessionsOf(zone: Zone, search = ''): Promise<Page> {
  return (await (await fetch(`http://127.0.0.1:${zone.egress.adminPort}/sessions${search}`)).json()) as Page;
}

async function status(zone: Zone, search: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${zone.egress.adminPort}/sessions${search}`);
  return `${answer.status} ${(await answer.text()).trim()}`;
}

for (const concurrency of CONCURRENCIES) {
  t.test(`open sessions are shown with who, where to, and how much, with ${concurrency} data sides`, async (t) => {
    await using zone = await startZone(t, { concurrency });
    t.same(await sessionsOf(zone), { found: 0, silent: [], sessions: [] });

    const silent = zone.raw();
    await once(silent, 'connect');
    await until('the connection without a hello is shown', async () => (await sessionsOf(zone)).found === 1);
    t.match((await sessionsOf(zone)).sessions[0], { state: 'hello', mesh: '', sni: '', endpoint: '', spiffeIds: [] });

    const frontend = zone.mesh.client('frontend');
    const legacy = await zone.connect('legacy{mesh=default}', frontend);
    await ask(legacy, 'x'.repeat(1_000));
    const backend = await zone.connect('backend{mesh=default}', frontend);
    await until('all three are shown', async () => (await sessionsOf(zone)).found === 3);

    const [session] = (await sessionsOf(zone, '?destination=legacy')).sessions;
    t.match(session, {
      state: 'relay',
      mode: 'terminate',
      mesh: 'default',
      destination: 'legacy',
      sni: 'legacy{mesh=default}',
      clientAddress: '127.0.0.1',
      clientPort: legacy.localPort,
      spiffeIds: ['spiffe://default/frontend'],
      endpoint: `127.0.0.1:${zone.ports.tcp}`,
      endpointTls: false,
      bytesUp: 1_000,
    });
    t.equal(session?.id.split('.')[0], String(session?.worker), 'its record will have this id');
    const passed = (await sessionsOf(zone, '?destination=backend')).sessions;
    t.match(passed, [{ state: 'relay', mode: 'passthrough', spiffeIds: [], clientPort: backend.localPort }]);

    const count = async (search: string) => (await sessionsOf(zone, search)).sessions.length;
    t.equal(await count('?client=spiffe://default/frontend'), 1);
    t.equal(await count('?client=spiffe://default/*'), 1);
    t.equal(await count('?client=127.0.0.1'), 3);
    t.equal(await count('?client=spiffe://default'), 0);
    t.equal(await count('?mesh=default'), 2);
    t.equal(await count('?mesh=default&limit=1'), 1);
    t.equal(await count('?limit=0'), 0);
    const byAge = (await sessionsOf(zone, '?sort=age')).sessions;
    t.equal(byAge[0]?.clientPort, silent.localPort, 'the oldest is the first');
    t.same(await sessionsOf(zone, '?sort=age&offset=3').then(({ sessions, found }) => [sessions, found]), [[], 3]);
    t.equal((await sessionsOf(zone, '?sort=bytes')).sessions.at(-1)?.clientPort, silent.localPort, 'and it moved nothing');

    const admin = ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`];
    const listed = await runCommand('sessions', ...admin, '--destination', 'legacy');
    t.match(listed, {
      code: 0,
      out: /^ID .*\n\S+ +relay +spiffe:\/\/default\/frontend +default +legacy +127\.0\.0\.1:\d+ .* 1\.0k .*\n$/,
    });
    const json = await runCommand('sessions', ...admin, '--mesh', 'default', '-o', 'json');
    t.equal((JSON.parse(json.out) as Page).found, 2);

    for (const socket of [legacy, backend]) {
      socket.end();
      await gone(socket);
    }
    silent.destroy();
    await until('none is open', async () => (await sessionsOf(zone)).found === 0);
    const record = await zone.record(({ destination }) => destination === 'legacy');
    t.equal(record.id, session?.id);
  });
}

t.test('a rate is that of the last seconds', async (t) => {
  await using zone = await startZone(t, { traffic: { idleTimeoutMs: 0, halfClosedTimeoutMs: 80 } });
  const legacy = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  legacy.resume();
  const one = async () => (await sessionsOf(zone, '?destination=legacy')).sessions[0];
  await until('bytes have a rate each way', async () => {
    legacy.write('x'.repeat(1_000));
    const { rateUp = 0, rateDown = 0 } = (await one()) ?? {};
    return rateUp > 0 && rateDown > 0;
  });
  await until('and none when it is quiet', async () => {
    const { rateUp, rateDown, idleMs = 0 } = (await one()) ?? {};
    return rateUp === 0 && rateDown === 0 && idleMs > 50;
  });
  t.ok(((await one())?.bytesUp ?? 0) >= 1_000);
});

t.test('a query that is not understood is refused, with what is allowed', async (t) => {
  await using zone = await startZone(t);
  t.match(await status(zone, '?sort=name'), '400 sort must be one of age, idle, bytes, rate');
  t.match(await status(zone, '?limit=-1'), '400 limit must be a whole number');
  t.match(await status(zone, '?limit=9000&offset=2000'), '400 offset and limit must be 10000 at most together');
  t.match(await status(zone, '?who=x'), /^400 allowed parameters are limit, .* and output$/);
  t.match(await status(zone, '?mesh=a&mesh=b'), '400 mesh is given twice');
  const admin = ['--admin', `http://127.0.0.1:${zone.egress.adminPort}`];
  t.match(await runCommand('sessions', ...admin, '--sort', 'name'), {
    code: 64,
    err: '--sort "name": allowed are age, idle, bytes and rate',
  });
  t.match(await runCommand('sessions'), { code: 64, err: 'sessions needs --admin URL: ' });
  t.match(await runCommand('sessions', '--admin', 'http://127.0.0.1:1'), { code: 69, err: /ECONNREFUSED|bad port/ });
});
