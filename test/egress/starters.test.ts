// The egress as people and supervisors start it: by npx, npm, a shell or the command itself. A
// signal to only the started process has to end it, even one that leaves that process no time to
// forward it.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { freePort } from '../free-ports.ts';
import { until } from './until.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BIN = join(ROOT, 'src', 'bin.mjs');
const MAIN = join(ROOT, 'src', 'main.ts');
const node = JSON.stringify(process.execPath);
const env = { ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.includes('TAP'))), NODE_OPTIONS: '' };

interface Zone {
  readonly folder: string;
  readonly port: number;
  readonly adminPort: number;
  readonly mesh: Awaited<ReturnType<typeof createTestMesh>>;
  /** The words after `zone-egress`. */
  readonly run: string;
}

async function writeZone(t: Test, more = ''): Promise<Zone> {
  const mesh = await createTestMesh('default');
  const service = await createFakeExternalService();
  const [port, adminPort] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-starters-'));
  writeFileSync(
    join(folder, 'zone.yaml'),
    `${mesh.resources}---
type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: ${port}, admin: { port: ${adminPort} } }
---
type: ExternalService
name: legacy
mesh: default
tags: { kuma.io/service: legacy, kuma.io/protocol: tcp }
networking: { address: 127.0.0.1:${service.port} }
---
type: TrafficPermission
name: all
mesh: default
sources: [{ match: { kuma.io/service: '*' } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`,
  );
  t.teardown(async () => {
    await service.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { folder, port, adminPort, mesh, run: `run --resources ${folder} --readiness-port 0 --concurrency 1 ${more}` };
}

interface Started {
  readonly pid: number;
  readonly said: () => string;
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  readonly endInput: () => void;
}

/** Starts it in its own process group, which is killed at the end of the test. */
function start(t: Test, words: readonly string[], cwd = ROOT): Started {
  const [command = '', ...args] = words;
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  );
  t.teardown(() => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // The group has ended.
    }
  });
  return { pid: child.pid!, said: () => said, exit, endInput: () => child.stdin.end() };
}

async function ready(started: Started): Promise<void> {
  await until('it is ready', () => started.said().includes('zone egress is ready')).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${started.said()}`);
  });
}

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}

/** Keyed by the words of the command line. */
const WAYS: Readonly<Record<string, (zone: Zone) => readonly string[]>> = {
  npx: ({ run }) => ['npx', '--no-install', 'zone-egress', ...run.split(' ').filter(Boolean)],
  'npm run': ({ folder, run }) => {
    const scripts = { serve: `exec ${node} ${JSON.stringify(BIN)} ${run}` };
    const theirs = mkdtempSync(join(folder, '.theirs-'));
    writeFileSync(join(theirs, 'package.json'), JSON.stringify({ name: 'theirs', version: '1.0.0', scripts }));
    return ['npm', '--prefix', theirs, 'run', 'serve'];
  },
  'sh -c': ({ run }) => ['sh', '-c', `${node} ${JSON.stringify(BIN)} ${run}; exit $?`],
  'sh -c, of npx': ({ run }) => ['sh', '-c', `npx --no-install zone-egress ${run}; exit $?`],
  'the command': ({ run }) => [process.execPath, BIN, ...run.split(' ').filter(Boolean)],
  // As in a package: without the wrapper of a checkout.
  'sh -c, without the wrapper': ({ run }) => ['sh', '-c', `${node} ${JSON.stringify(MAIN)} ${run}; exit $?`],
};

/**
 * The signal goes to the pid of the started process; a terminal's Ctrl-C goes to the whole group. A
 * shell, and with it npx, waits after a SIGINT of its own.
 */
const ENDS: Readonly<Record<string, readonly (NodeJS.Signals | 'Ctrl-C')[]>> = {
  npx: ['SIGTERM', 'SIGKILL', 'SIGHUP', 'Ctrl-C'],
  'npm run': ['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGHUP', 'Ctrl-C'],
  'sh -c': ['SIGTERM', 'SIGKILL', 'SIGHUP', 'Ctrl-C'],
  'sh -c, of npx': ['SIGTERM', 'SIGKILL'],
  'the command': ['SIGTERM', 'SIGKILL', 'SIGINT', 'Ctrl-C'],
  'sh -c, without the wrapper': ['SIGTERM', 'SIGKILL'],
};

for (const [way, signals] of Object.entries(ENDS)) {
  t.test(`started by ${way}, it stops with what was started`, async (t) => {
    await Promise.all(
      signals.map(async (signal) => {
        const zone = await writeZone(t);
        const started = start(t, WAYS[way]!(zone));
        await ready(started);
        if (signal === 'Ctrl-C') process.kill(-started.pid, 'SIGINT');
        else process.kill(started.pid, signal);
        await until(`${way} ends with ${signal}`, async () => (await refuses(zone.port)) && (await refuses(zone.adminPort)));
        await started.exit;
        t.pass(signal);
      }),
    );
  });
}

t.test('SIGHUP to the command is no end', async (t) => {
  const zone = await writeZone(t);
  const started = start(t, WAYS['the command']!(zone));
  await ready(started);
  process.kill(started.pid, 'SIGHUP');
  process.kill(started.pid, 'SIGTERM');
  t.strictSame(await started.exit, { code: 0, signal: null });
});

t.test('the exit code is passed on: by the command, by a shell and by npx', async (t) => {
  const zone = await writeZone(t);
  writeFileSync(join(zone.folder, 'bad.yaml'), 'type: Nothing\nmesh: [\n');
  for (const way of ['the command', 'sh -c', 'npx']) {
    const started = start(t, WAYS[way]!(zone));
    t.strictSame(await started.exit, { code: 78, signal: null }, way);
  }
});

t.test('the exit code of a drain that cut a session is passed on', async (t) => {
  const zone = await writeZone(t, '--drain-time 1s --drain-exit-code 7');
  const started = start(t, WAYS['the command']!(zone));
  await ready(started);
  const socket = connectTls({
    port: zone.port,
    host: '127.0.0.1',
    servername: 'legacy{mesh=default}',
    ...zone.mesh.client('frontend'),
    rejectUnauthorized: false,
  });
  socket.on('error', () => {});
  const echoed = new Promise((resolve) => socket.once('data', resolve));
  socket.write('ping');
  await echoed;
  process.kill(started.pid, 'SIGTERM');
  t.strictSame(await started.exit, { code: 7, signal: null });
});

t.test('one that a shell started in the background goes on when the shell ends', async (t) => {
  const zone = await writeZone(t);
  const started = start(t, ['sh', '-c', `${node} ${JSON.stringify(BIN)} ${zone.run} & read line`]);
  await ready(started);
  started.endInput();
  await started.exit;
  // It looks four times a second.
  await pause(1_500);
  t.equal(await refuses(zone.port), false);
});

t.test('the package says so where it was packed without its compiled files', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-bare-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  symlinkSync(join(ROOT, 'src'), join(folder, 'src'));
  const started = start(t, [process.execPath, '--preserve-symlinks-main', join(folder, 'src', 'bin.mjs'), 'version']);
  t.strictSame(await started.exit, { code: 1, signal: null });
  await until('it says why', () => started.said().includes('packed without its compiled files'));
});
