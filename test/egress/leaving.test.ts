// Every way to end finishes, even when a reader of the log, a disk or an admin client does not
// respond.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createReadinessServer } from '../../src/admin/server.ts';
import { until } from './until.ts';
import { MAIN, page, run, writeZone } from './zone-process.ts';
import { CONCURRENCIES, ask, startZone } from './zone.ts';

/** Only a process that waits forever reaches this bound. */
const FOR_EVER_MS = 40_000;
const { NODE_OPTIONS: _options, ...env } = process.env;

/** Makes a full pipe that is never read. */
function fullPipe(): { readonly fd: number; readonly path: string; close(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-pipe-'));
  const path = join(folder, 'pipe');
  spawnSync('mkfifo', [path]);
  const filling = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  // A second description of the same pipe: it blocks, like one that a shell made.
  const fd = openSync(path, constants.O_RDWR);
  for (const size of [4_096, 1]) {
    try {
      for (;;) writeSync(filling, Buffer.alloc(size));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
  return {
    fd,
    path,
    close() {
      for (const each of [filling, fd]) closeSync(each);
      rmSync(folder, { recursive: true });
    },
  };
}

const OUTPUTS = ['standard output', 'standard error', 'both'] as const;

for (const concurrency of CONCURRENCIES) {
  for (const full of OUTPUTS) {
    t.test(`SIGTERM ends it while ${full} is not read, with ${concurrency} data sides`, async (t) => {
      await using zone = await writeZone();
      const pipe = fullPipe();
      const args = [MAIN, 'run', '--resources', zone.folder, '--readiness-port', String(zone.readinessPort)];
      const child = spawn(process.execPath, [...args, '--concurrency', String(concurrency), '--drain-time', '300ms'], {
        env,
        stdio: ['ignore', full === 'standard error' ? 'ignore' : pipe.fd, full === 'standard output' ? 'ignore' : pipe.fd],
      });
      const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
      try {
        await until('it is ready', async () => (await page(zone.readinessPort, '/ready').catch(() => '')).startsWith('200'));
        const socket = await zone.connect('legacy');
        t.equal(await ask(socket, 'ping'), 'ping');
        child.kill('SIGTERM');
        const killer = setTimeout(() => child.kill('SIGKILL'), FOR_EVER_MS);
        t.strictSame(await exit, [1, null], 'with the code of a drain that cut a session');
        clearTimeout(killer);
      } finally {
        child.kill('SIGKILL');
        await exit;
        pipe.close();
      }
    });
  }
}

t.test('SIGTERM ends it when its reader has gone', async (t) => {
  await using zone = await writeZone();
  const args = [MAIN, 'run', '--resources', zone.folder, '--readiness-port', String(zone.readinessPort), '--concurrency', '1'];
  const child = spawn(process.execPath, [...args, '--drain-time', '300ms'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  child.stdout.destroy();
  child.stderr.destroy();
  await until('it is ready', async () => (await page(zone.readinessPort, '/ready').catch(() => '')).startsWith('200'));
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), FOR_EVER_MS);
  t.strictSame(await exit, [0, null]);
  clearTimeout(killer);
});

t.test('SIGTERM ends it while the disk of its recording hangs in the kernel', async (t) => {
  await using zone = await writeZone();
  const pipe = fullPipe();
  await using egress = await run(zone, ['--concurrency', '1', '--drain-time', '300ms', '--record', pipe.path]);
  const socket = await zone.connect('legacy');
  t.equal(await ask(socket, 'ping'), 'ping');
  egress.kill('SIGTERM');
  const killer = setTimeout(() => egress.kill('SIGKILL'), FOR_EVER_MS);
  t.strictSame(await egress.exit, { code: 1, signal: null });
  t.equal(egress.stderr(), '');
  clearTimeout(killer);
  pipe.close();
});

for (const concurrency of CONCURRENCIES) {
  t.test(`the last line says how the drain ended, with ${concurrency} data sides`, async (t) => {
    await using zone = await writeZone();
    await using egress = await run(zone, ['--concurrency', String(concurrency), '--drain-time', '600s']);
    const [ends, stays] = [await zone.connect('legacy'), await zone.connect('backend')];
    for (const socket of [ends, stays]) t.equal(await ask(socket, 'ping'), 'ping');
    egress.kill('SIGTERM');
    await until('it drains', () => egress.lines().some(({ msg }) => msg === 'draining'));
    ends.end();
    await until('one has ended', () => egress.lines().some(({ reason }) => reason === 'closed'));
    // Ends the drain now, which cuts the other.
    egress.kill('SIGTERM');
    t.strictSame(await egress.exit, { code: 1, signal: null });
    const last = egress.lines().at(-1);
    t.match(last, { level: 'info', msg: 'drained: some sessions were cut', ended: 1, cut: 1, tookMs: Number });
  });
}

t.test('a client that does not read its answer does not hold a listener up', async (t) => {
  const asked = Promise.withResolvers<void>();
  const server = await createReadinessServer({
    address: '127.0.0.1',
    port: 0,
    ready: () => {
      asked.resolve();
      return { ok: true, text: 'x'.repeat(64 * 1_024 * 1_024) };
    },
  });
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  socket.write('GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await asked.promise;
  const startedAt = performance.now();
  await server.close();
  // The silence of the client alone would end it after 20 s.
  t.ok(performance.now() - startedAt < 15_000);
  socket.destroy();
});

t.test('what was embedded says how its drain ended too', async (t) => {
  const lines: string[] = [];
  {
    await using zone = await startZone(t, { logLevel: 'info', logDestination: { write: (line) => lines.push(line) } });
    t.equal(await zone.egress.drain(200).done, 'clean');
  }
  t.match(lines.at(-1), /"ended":0,"cut":0,"tookMs":\d+,"msg":"drained: every session has ended"/);
});
