// Question: how many connections does a rolling restart of three egresses lose?
// `node scripts/node.mjs --dev perf/rolling-restart.ts [--rate 100] [--drain 20s] [--delay 10s]`.
// Each egress is a process of its own that brings its ZoneEgress to a fake control plane. That one
// deletes a ZoneEgress `--delay` after its stream has closed, as Kuma does. Sidecars see the list of
// egresses as Kuma sends it: built at most once a second, and read by each of them once a second.
// Connections come at a steady rate, with mTLS, to one of the egresses in the list, and are tried
// once: a sidecar that tries another egress would hide a loss. Nine of ten ask once and end; one of
// ten stays for 3 s and asks all the while. One that is refused, cut or not answered is lost.
// The egresses are restarted one after another: SIGTERM, exit, start under the same name, ready.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { durationMs } from '../src/base/duration.ts';
import { fakeConfiguration } from '../src/testing/control-plane/fake-configuration.ts';
import { createFakeControlPlane } from '../src/testing/control-plane/fake-control-plane.ts';
import { createFakeExternalService } from '../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import { freePort } from '../test/free-ports.ts';

const { values } = parseArgs({
  options: {
    rate: { type: 'string', default: '100' },
    drain: { type: 'string', default: '20s' },
    delay: { type: 'string', default: '10s' },
  },
});
const RATE = Number(values.rate);
const REPLICAS = 3;
const SIDECARS = 4;
/** Of Kuma: its cache of a mesh, the interval of its watchdogs, and the first answer to a stream. */
const CACHE_MS = 1_000;
const REFRESH_MS = 1_000;
const FIRST_ANSWER_MS = 1_200;
const STAY_MS = 3_000;
const LOST_AFTER_MS = 10_000;
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const SNI = 'legacy{mesh=default}';

const mesh = await createTestMesh('default', { keyType: 'ec' });
const client = mesh.client('frontend');
const service = await createFakeExternalService();
const delayMs = durationMs(values.delay) ?? 10_000;
const cp = await createFakeControlPlane({ deregistrationDelayMs: delayMs, firstAnswerMs: FIRST_ANSWER_MS });
const folder = mkdtempSync(join(tmpdir(), 'zone-egress-rolling-'));
writeFileSync(join(folder, 'ca.pem'), cp.caCert);
writeFileSync(join(folder, 'token'), cp.tokens.issue());

interface Replica {
  readonly id: string;
  readonly port: number;
  /** What has happened to it; the losses are counted by it. */
  step: 'serves' | 'joins' | 'drains' | 'has ended';
  child: ChildProcess;
}

const replicas = new Map<string, Replica>();
for (let i = 1; i <= REPLICAS; i++) {
  const [id, port] = [`.egress-${i}`, await freePort()];
  const external = { legacy: { address: '127.0.0.1', port: service.port, allow: ['frontend'] } };
  cp.set(fakeConfiguration({ address: '127.0.0.1', port, meshes: [mesh], external }), { of: id });
  const { child, ready } = await start(id, port);
  replicas.set(id, { id, port, step: 'serves', child });
  await ready();
}

let cached: readonly string[] = [];
let cachedAt = -Infinity;
const views = Array.from({ length: SIDECARS }, (): readonly string[] => [...replicas.keys()]);
const timers = views.map((_, i) => {
  const offset = (REFRESH_MS / SIDECARS) * i;
  return setTimeout(() => timers.push(setInterval(() => (views[i] = list()), REFRESH_MS)), offset);
});

let made = 0;
let open = 0;
let over = false;
const lost: Record<string, number> = {};
try {
  const load = makeConnections();
  await pause(3_000);
  for (const replica of replicas.values()) await restart(replica);
  await pause(5_000);
  over = true;
  await load;
  const count = Object.values(lost).reduce((sum, one) => sum + one, 0);
  console.log(
    `${made} connections at ${RATE}/s, ${count} lost ${JSON.stringify(lost)} (drain time ${values.drain}, delay ${values.delay})`,
  );
} finally {
  for (const timer of timers) clearInterval(timer);
  for (const { child } of replicas.values()) child.kill('SIGKILL');
  await Promise.all([cp.close(), service.close()]);
  rmSync(folder, { recursive: true, force: true });
}

/** The list of egresses that a sidecar is sent now. */
function list(): readonly string[] {
  if (performance.now() - cachedAt < CACHE_MS) return cached;
  cachedAt = performance.now();
  cached = cp.proxies;
  return cached;
}

async function restart(replica: Replica): Promise<void> {
  const startedAt = performance.now();
  const seconds = (): string => ((performance.now() - startedAt) / 1_000).toFixed(1);
  replica.step = 'drains';
  const exit = once(replica.child, 'exit');
  replica.child.kill('SIGTERM');
  let hasEnded = false;
  void exit.then(() => {
    hasEnded = true;
    replica.step = 'has ended';
  });
  await until(() => views.every((view) => !view.includes(replica.id)) || hasEnded);
  const left = hasEnded ? 'the end came first' : `${seconds()} s`;
  await exit;
  const ended = seconds();
  const { child, ready } = await start(replica.id, replica.port);
  Object.assign(replica, { child, step: 'joins' });
  await ready();
  replica.step = 'serves';
  const joined = seconds();
  await until(() => views.every((view) => view.includes(replica.id)));
  console.log(`${replica.id}: out of every list after: ${left}; exit after ${ended} s; ready again after ${joined} s`);
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(5);
}

async function start(id: string, port: number): Promise<{ readonly child: ChildProcess; readonly ready: () => Promise<void> }> {
  const [readiness, name] = [await freePort(), id.slice(1)];
  const networking = `{ address: 127.0.0.1, port: ${port}, admin: { port: ${await freePort()} } }`;
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, `type: ZoneEgress\nname: ${name}\nzone: zone-1\nnetworking: ${networking}\n`);
  const at = [`--cp-address=${cp.url}`, `--ca-cert-file=${folder}/ca.pem`, `--dataplane-token-file=${folder}/token`];
  const own = [`--dataplane-file=${file}`, `--readiness-port=${readiness}`, `--drain-time=${values.drain}`, '--log-level=off'];
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, [MAIN, 'run', '--proxy-type=egress', ...at, ...own], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return {
    child,
    async ready() {
      while ((await fetch(`http://127.0.0.1:${readiness}/ready`).catch(() => null))?.status !== 200) await pause(20);
    },
  };
}

async function makeConnections(): Promise<void> {
  const startedAt = performance.now();
  while (!over) {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * RATE);
    while (made < due) one(made++);
    await pause(5);
  }
  while (open > 0) await pause(20);
}

function one(number: number): void {
  const view = views[number % SIDECARS] ?? [];
  const replica = replicas.get(view[Math.floor(Math.random() * view.length)] ?? '');
  if (replica === undefined) return lose('no egress in the list');
  open++;
  let asked = 0;
  let answered = 0;
  let done = false;
  const socket: TLSSocket = connect({
    port: replica.port,
    host: '127.0.0.1',
    servername: SNI,
    rejectUnauthorized: false,
    ...client,
  });
  const deadline = setTimeout(() => socket.destroy(new Error('no answer')), STAY_MS + LOST_AFTER_MS);
  const endsAt = performance.now() + (number % 10 === 0 ? STAY_MS : 0);
  const ask = (): void => {
    asked++;
    socket.write('ping');
  };
  socket.on('secureConnect', ask);
  socket.on('data', (chunk: Buffer) => {
    answered += chunk.length;
    if (answered < asked * 4) return;
    if (performance.now() < endsAt) return void setTimeout(ask, 200);
    done = true;
    socket.end();
  });
  let error: NodeJS.ErrnoException | null = null;
  socket.on('error', (of: NodeJS.ErrnoException) => (error = of));
  socket.on('close', () => {
    open--;
    clearTimeout(deadline);
    if (!done) lose(`${replica.step}, ${asked === 0 ? 'connecting' : 'open'}: ${error?.code ?? error?.message ?? 'closed'}`);
  });
}

function lose(why: string): void {
  lost[why] = (lost[why] ?? 0) + 1;
}
