// Question: how many connections does a restart lose?
// `node scripts/node.mjs --dev perf/upgrade.ts [--rate 500] [--connections 30000] [--way socket,port]`.
// Connections come at a steady rate, whatever happens to the earlier ones. Each sends a real
// ClientHello, gets the same bytes back from the far end, and ends; one that is refused, reset or
// not answered within 30 s is lost. Meanwhile one egress after another takes over: an upgrade, the
// way back, and new ones that crash, one while it starts and one while it serves.
//
// Two ways: `socket`, one listening socket that a supervisor holds and each egress inherits;
// `port`, a socket of its own for each egress on the same port (SO_REUSEPORT). The egress does the
// first; the second is made of its listener alone, in a process of this file.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import { Listener } from '../src/traffic/listener.ts';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import type { Answer, StartCommand } from '../test/egress/fixtures/socket-holder.ts';
import { freePort } from '../test/free-ports.ts';
import { realHello } from '../test/egress/real-hello.ts';

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '500' },
    connections: { type: 'string', default: '30000' },
    way: { type: 'string', default: 'socket,port' },
    /** Used by this file itself: the load, and the listener of the way `port`. */
    load: { type: 'string' },
    listener: { type: 'string' },
  },
});
const RATE = Number(values.rate);
const CONNECTIONS = Number(values.connections);
const SELF = fileURLToPath(import.meta.url);
const HOLDER = fileURLToPath(new URL('../test/egress/fixtures/socket-holder.ts', import.meta.url));
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const LOST_AFTER_MS = 30_000;

/** What happens, at which share of the connections. */
const STEPS = ['upgrade', 'way back', 'crash at the start', 'crash while it serves'] as const;

if (values.load !== undefined) await load(Number(values.load));
else if (values.listener !== undefined) await listenAlone(JSON.parse(values.listener) as ListenerPlace);
else for (const way of values.way.split(',')) await measure(way === 'port' ? 'port' : 'socket');

interface Counts {
  readonly made: number;
  readonly lost: Readonly<Record<string, number>>;
}

/** Makes the connections, and prints the counts of each tenth of a second in which one was lost. */
async function load(port: number): Promise<void> {
  const hello = await realHello('backend{mesh=default}');
  const lost: Record<string, number> = {};
  let made = 0;
  let open = 0;
  let step = 'before';
  process.on('message', (name: string) => void (step = name));
  function one(): void {
    const at = step;
    made++;
    open++;
    let got = 0;
    const socket = connect(port, '127.0.0.1');
    const deadline = setTimeout(() => socket.destroy(new Error('no answer')), LOST_AFTER_MS);
    socket.on('connect', () => socket.write(hello));
    socket.on('data', (chunk) => {
      got += chunk.length;
      if (got >= hello.length) socket.end();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (got < hello.length)
        lost[`${at}: ${error.code ?? error.message}`] = (lost[`${at}: ${error.code ?? error.message}`] ?? 0) + 1;
      got = hello.length;
    });
    socket.on('close', () => {
      clearTimeout(deadline);
      if (got < hello.length) lost[`${at}: closed`] = (lost[`${at}: closed`] ?? 0) + 1;
      open--;
    });
  }
  const startedAt = performance.now();
  while (made < CONNECTIONS) {
    const due = Math.min(CONNECTIONS, Math.floor(((performance.now() - startedAt) / 1_000) * RATE));
    while (made < due) one();
    process.send?.({ made, lost });
    await pause(5);
  }
  while (open > 0) await pause(20);
  process.send?.({ made, lost, done: true });
  process.disconnect();
}

interface ListenerPlace {
  readonly port: number;
  readonly farEnd: number;
  readonly inherits: boolean;
}

/** The egress' own listener with a plain relay behind it; SIGTERM closes it as a drain does. */
async function listenAlone({ port, farEnd, inherits }: ListenerPlace): Promise<void> {
  const listener = new Listener(systemClock(), (client) => {
    const service = connect(farEnd, '127.0.0.1');
    for (const [from, to] of [
      [client, service],
      [service, client],
    ] as const) {
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
    client.resume();
  });
  const at = { address: '127.0.0.1', port, backlog: 511 };
  await listener.listen({ ...at, reusePort: !inherits, ...(inherits ? { inherited: 3 } : {}) });
  process.send?.('ready');
  process.once('SIGTERM', () =>
    listener.closeWhenQuiet({ quietMs: 0, atMostMs: inherits ? 0 : 1_000 }, () => process.disconnect()),
  );
}

interface Running {
  kill(signal: NodeJS.Signals): void;
}

interface Way {
  /** Starts one that takes over; resolves when it takes connections. */
  start(): Promise<Running>;
  /** Starts one without waiting for it. */
  begin(): Promise<Running>;
}

async function measure(name: 'socket' | 'port'): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-upgrade-'));
  const echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const farEnd = (echo.address() as AddressInfo).port;
  const port = await freePort();
  const children: ChildProcess[] = [];
  const { way, release } = name === 'socket' ? await bySocket(folder, port, farEnd) : byPort(port, farEnd, children);
  try {
    let old = await way.start();
    const clients = spawn(
      process.execPath,
      [SELF, '--load', String(port), '--rate', String(RATE), '--connections', String(CONNECTIONS)],
      {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      },
    );
    children.push(clients);
    let counts: Counts = { made: 0, lost: {} };
    const done = new Promise<void>((resolve) => {
      clients.on('message', (message: Counts & { readonly done?: true }) => {
        counts = message;
        if (message.done === true) resolve();
      });
    });
    for (const [i, step] of STEPS.entries()) {
      while (counts.made < (CONNECTIONS * (i + 0.5)) / STEPS.length) await pause(5);
      clients.send(step);
      if (step === 'upgrade' || step === 'way back') {
        const next = await way.start();
        old.kill('SIGTERM');
        old = next;
      } else if (step === 'crash at the start') {
        const child = await way.begin();
        await pause(150);
        child.kill('SIGKILL');
      } else {
        const child = await way.start();
        await pause(1_000);
        child.kill('SIGKILL');
      }
    }
    await done;
    const lost = Object.values(counts.lost).reduce((sum, count) => sum + count, 0);
    console.log(`${name.padEnd(8)} ${counts.made} connections at ${RATE}/s, ${lost} lost ${JSON.stringify(counts.lost)}`);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    release();
    echo.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Every egress inherits the one socket that this process holds and does not accept from. */
async function bySocket(
  folder: string,
  port: number,
  farEnd: number,
): Promise<{ readonly way: Way; readonly release: () => void }> {
  const mesh = await createTestMesh('default');
  writeFileSync(
    join(folder, 'zone.yaml'),
    `${mesh.resources}---\ntype: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: ${port} }\n---
type: ZoneIngress\nname: west\nzone: west\nnetworking: { address: 127.0.0.1, port: ${farEnd}, advertisedAddress: 127.0.0.1, advertisedPort: ${farEnd} }
availableServices: [{ mesh: default, instances: 1, tags: { kuma.io/service: backend, kuma.io/zone: west } }]\n`,
  );
  const held = await holdSocket(port);
  let count = 0;
  const pids: number[] = [];
  const begin = async (readinessPort: number): Promise<Running> => {
    const own = ['--readiness-port', String(readinessPort), '--admin-bind', `127.0.0.${++count + 1}`, '--log-level', 'off'];
    const pid = await held.start([process.execPath, MAIN, 'run', '--resources', folder, '--drain-time', '60s', ...own]);
    pids.push(pid);
    return { kill: (signal) => process.kill(pid, signal) };
  };
  const way: Way = {
    async start() {
      const readinessPort = await freePort();
      const running = await begin(readinessPort);
      while (!(await isReady(readinessPort))) await pause(20);
      return running;
    },
    begin: () => begin(0),
  };
  const release = (): void => {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    held.release();
  };
  return { way, release };
}

async function isReady(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => null);
  return answer?.status === 200;
}

interface Holder {
  /** Starts a command that inherits the socket; resolves with its process id. */
  start(command: readonly string[]): Promise<number>;
  release(): void;
}

/** A process that has the socket and does not accept from it, as a supervisor. */
async function holdSocket(port: number): Promise<Holder> {
  const server = createServer().listen({ port, host: '127.0.0.1', backlog: 511 });
  await once(server, 'listening');
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const holder = spawn(process.execPath, [HOLDER], { stdio: ['ignore', 'inherit', 'inherit', fd, 'ipc'] });
  server.close();
  const started = new Map<number, (pid: number) => void>();
  holder.on('message', (answer: Answer) => {
    if ('pid' in answer) started.get(answer.id)?.(answer.pid);
  });
  let count = 0;
  return {
    start(command) {
      const id = ++count;
      const { NODE_OPTIONS: _, ...env } = process.env;
      holder.send({ id, command, env, fds: '1' } satisfies StartCommand);
      return new Promise((resolve) => started.set(id, resolve));
    },
    release: () => void holder.kill('SIGKILL'),
  };
}

function byPort(port: number, farEnd: number, children: ChildProcess[]): { readonly way: Way; readonly release: () => void } {
  const begin = (): ChildProcess => {
    const place: ListenerPlace = { port, farEnd, inherits: false };
    const child = spawn(process.execPath, [SELF, '--listener', JSON.stringify(place)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    children.push(child);
    return child;
  };
  const way: Way = {
    async start() {
      const child = begin();
      await once(child, 'message');
      return child;
    },
    begin: () => Promise.resolve(begin()),
  };
  return { way, release: () => undefined };
}
