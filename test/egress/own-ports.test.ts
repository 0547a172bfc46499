// The ports of the egress itself: the addresses on which they answer, also when sessions have taken
// everything else.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { until } from './until.ts';
import { MAIN, page, run, writeZone } from './zone-process.ts';
import { CONCURRENCIES, startZone } from './zone.ts';

/** One address of each family that this machine has. */
const LOOPBACK = ['127.0.0.1', '::1'].filter((ip) =>
  Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === ip)),
);

t.test('the readiness port answers on every address, IPv4 and IPv6', async (t) => {
  await using zone = await writeZone();
  await using _egress = await run(zone, ['--concurrency', '1']);
  for (const host of LOOPBACK) t.match(await page(zone.readinessPort, '/ready', { host }), /^200 LIVE/, host);
  t.ok(LOOPBACK.includes('127.0.0.1'));
});

for (const concurrency of CONCURRENCIES) {
  t.test(`on :: listener, admin pages and readiness answer on every address, with ${concurrency} data sides`, async (t) => {
    if (LOOPBACK.length === 1) t.comment('this machine has no IPv6: IPv4 alone');
    const bind = LOOPBACK.length === 1 ? '' : '::';
    await using zone = await startZone(t, { concurrency, bind, admin: { bind, port: 0 }, readiness: { port: 0 } });
    const { egress, mesh } = zone;
    for (const host of LOOPBACK) {
      for (const port of [egress.adminPort, egress.readinessPort])
        t.match(await page(port, '/ready', { host }), /^200 LIVE/, host);
      const socket = connectTls({
        port: egress.port,
        host,
        servername: 'legacy{mesh=default}',
        ...mesh.client('frontend'),
        rejectUnauthorized: false,
      });
      await once(socket, 'secureConnect');
      socket.write('ping');
      await once(socket, 'data');
      socket.destroy();
    }
    await until('both records', () => zone.records.length === LOOPBACK.length);
    t.same(
      zone.records.map(({ clientAddress }) => clientAddress),
      LOOPBACK,
      'IPv4 clients are told by their IPv4 address',
    );
  });
}

t.test(
  'more sessions than there are descriptors for: it is said at start, and the admin pages answer all the same',
  async (t) => {
    await using zone = await writeZone();
    const args = ['run', '--resources', zone.folder, '--readiness-port', String(zone.readinessPort)];
    const { NODE_OPTIONS: _options, ...env } = process.env;
    const command = `ulimit -n 400; exec "$0" "$@"`;
    const child = spawn('sh', ['-c', command, process.execPath, MAIN, ...args, '--max-sessions', '5000', '--concurrency', '1'], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const sockets: Socket[] = [];
    try {
      let log = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (log += text));
      await until('it is ready', () => log.includes('zone egress is ready'));
      t.match(log, /"level":"warn".*--max-sessions 5000 is more than there is room for: this process may have 400 open files/);
      for (let i = 0; i < 600; i++) {
        const socket = connect(zone.port, '127.0.0.1');
        socket.on('error', () => {});
        socket.resume();
        sockets.push(socket);
      }
      await until('all are accepted', async () => sockets.filter(({ connecting }) => connecting).length === 0);
      for (const port of [zone.adminPort, zone.readinessPort]) t.match(await page(port, '/ready'), /^200 LIVE/);
      t.match(await page(zone.adminPort, '/stats/prometheus'), /zone_egress_sessions_active 72\n/);
    } finally {
      for (const socket of sockets) socket.destroy();
      child.kill('SIGKILL');
      await once(child, 'close');
    }
  },
);
