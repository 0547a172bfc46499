// One listening socket, held by a supervisor, and one egress after another that accepts from it:
// tests what an upgrade loses, a way back, and new processes that do not start.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { freePort } from '../free-ports.ts';
import type { Answer, StartCommand } from './fixtures/socket-holder.ts';
import { until } from './until.ts';
import { ask, gone } from './zone.ts';
import { MAIN, page, writeZone } from './zone-process.ts';
import type { ZoneFolder } from './zone-process.ts';

const HOLDER = join(import.meta.dirname, 'fixtures/socket-holder.ts');
const STANDING = join(import.meta.dirname, 'fixtures/standing-listener.ts');
const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/TAP|KUMA|NODE_OPTIONS/.test(key)));

interface Instance {
  readonly readinessPort: number;
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  kill(signal: NodeJS.Signals): void;
  ready(): Promise<string>;
}

interface Holder {
  start(flags: readonly string[], options?: { readonly fds?: string }): Promise<Instance>;
}

async function hold(t: Test, zone: ZoneFolder): Promise<Holder> {
  const server = createServer().listen(zone.port, '127.0.0.1');
  await once(server, 'listening');
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const holder = spawn(process.execPath, [HOLDER], { env, stdio: ['ignore', 'inherit', 'inherit', fd, 'ipc'] });
  const exits = new Map<number, (end: { code: number | null; signal: string | null }) => void>();
  const pids = new Map<number, (pid: number) => void>();
  const running = new Set<number>();
  holder.on('message', (answer: Answer) => {
    if ('pid' in answer) pids.get(answer.id)?.(answer.pid);
    else exits.get(answer.id)?.(answer);
  });
  // From here on only the holder has the socket: this process would accept from it.
  server.close();
  t.teardown(async () => {
    for (const pid of running) process.kill(pid, 'SIGKILL');
    holder.kill('SIGKILL');
    await once(holder, 'exit');
  });
  let count = 0;
  return {
    async start(flags, { fds = '1' } = {}) {
      const id = ++count;
      const readinessPort = await freePort();
      const started = new Promise<number>((resolve) => pids.set(id, resolve));
      const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => exits.set(id, resolve));
      // Two run at once, and the ZoneEgress gives both the same port for the admin pages.
      const own = ['--readiness-port', String(readinessPort), '--admin-bind', `127.0.0.${count + 1}`];
      const command = [process.execPath, MAIN, 'run', ...flags, ...own];
      holder.send({ id, command, env, fds } satisfies StartCommand);
      const pid = await started;
      running.add(pid);
      const exit = ended.then(({ code, signal }) => {
        running.delete(pid);
        return { code, signal };
      });
      return {
        readinessPort,
        exit,
        kill: (signal) => void process.kill(pid, signal),
        ready: async () => (await page(readinessPort, '/ready').catch(() => '')).trim(),
      };
    },
  };
}

/**
 * Makes connections one after another in several lanes, each with a handshake, an answer and an
 * end.
 */
function load(zone: ZoneFolder, lanes: number) {
  let stopped = false;
  const count = { served: 0, lost: [] as string[] };
  async function lane(): Promise<void> {
    while (!stopped) {
      try {
        const socket = await zone.connect('legacy');
        if ((await ask(socket, 'ping')) !== 'ping') throw new Error('another answer');
        const over = gone(socket);
        socket.end();
        await over;
        count.served++;
      } catch (error) {
        count.lost.push(String(error));
      }
    }
  }
  const all = Promise.all(Array.from({ length: lanes }, lane));
  return {
    count,
    /** Serves this many more, so that events meanwhile happen under load. */
    async more(number: number): Promise<void> {
      const goal = count.served + number;
      await until(`${goal} connections`, () => count.served >= goal || count.lost.length > 0);
    },
    async stop(): Promise<void> {
      stopped = true;
      await all;
    },
  };
}

t.test('an upgrade, a way back and new ones that do not start lose no connection; sessions run to their end', async (t) => {
  await using zone = await writeZone();
  const holder = await hold(t, zone);
  const serve = ['--resources', zone.folder, '--drain-time', '60s'];
  const isReady = (egress: Instance) => until('it is ready', async () => (await egress.ready()) === '200 LIVE');

  const first = await holder.start(serve);
  await isReady(first);
  const session = await zone.connect('legacy');
  t.equal(await ask(session, 'one'), 'one');
  const clients = load(zone, 3);
  await clients.more(20);

  const broken = await holder.start(['--resources', join(zone.folder, 'nothing')]);
  t.match(await broken.exit, { code: 66 });
  const killed = await holder.start(serve);
  killed.kill('SIGKILL');
  t.match(await killed.exit, { signal: 'SIGKILL' });
  await clients.more(20);

  const second = await holder.start(serve);
  await isReady(second);
  await clients.more(20);
  first.kill('SIGTERM');
  await until('it says that it ends', async () => (await first.ready()) === '503 TERMINATING');
  await clients.more(20);
  t.equal(await ask(session, 'two'), 'two', 'a session of the old one goes on');
  const over = gone(session);
  session.end();
  await over;
  t.strictSame(await first.exit, { code: 0, signal: null });
  await clients.more(20);

  const back = await holder.start(serve);
  await isReady(back);
  second.kill('SIGTERM');
  t.strictSame(await second.exit, { code: 0, signal: null });
  await clients.more(20);
  await clients.stop();
  t.strictSame(clients.count.lost, []);
  t.ok(clients.count.served >= 120, `${clients.count.served} served`);

  back.kill('SIGTERM');
  t.strictSame(await back.exit, { code: 0, signal: null });
  // No process accepts now: a connection waits in the queue of the socket.
  const early = zone.connect('legacy');
  const next = await holder.start(serve);
  t.equal(await ask(await early, 'waited'), 'waited');
  next.kill('SIGKILL');
  await next.exit;
});

t.test('the queue of an inherited socket is as long as that of its own: a stall of the egress loses nothing', async (t) => {
  const port = await freePort();
  const server = createServer().listen({ port, host: '127.0.0.1', backlog: 4_096 });
  await once(server, 'listening');
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const child = spawn(process.execPath, [STANDING], { env, stdio: ['ignore', 'inherit', 'inherit', fd, 'ipc'] });
  const ended = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  server.close();
  await once(child, 'message');
  // Node's own length is 511. A kernel that allows no more has no room for these.
  const most = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));
  const sockets = Array.from({ length: Math.min(600, most) }, () => connect(port, '127.0.0.1'));
  let connected = 0;
  for (const socket of sockets) socket.on('error', () => undefined).on('connect', () => void connected++);
  await until('all are in the queue', () => connected === sockets.length);
  for (const socket of sockets) socket.destroy();
});

t.test('more than one socket is refused in one line', async (t) => {
  await using zone = await writeZone();
  const holder = await hold(t, zone);
  const two = await holder.start(['--resources', zone.folder], { fds: '2' });
  t.strictSame(await two.exit, { code: 78, signal: null });
});
