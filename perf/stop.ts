// Question: how long from SIGTERM to the exit, with no, 10 and 1,000 sessions?
// `node scripts/node.mjs --dev perf/stop.ts [--sessions 0,10,1000] [--drain 3s]`. Each number once
// with sessions that end when the egress says that it ends (/ready is 503), and once with sessions
// that stay: those are cut at the end of the drain time.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import { freePort } from '../test/free-ports.ts';
import { realHello } from '../test/egress/real-hello.ts';

const { values } = parseArgs({
  options: { sessions: { type: 'string', default: '0,10,1000' }, drain: { type: 'string', default: '3s' } },
});
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

const echo = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.pipe(socket);
}).listen({ port: 0, host: '127.0.0.1', backlog: 4_096 });
await once(echo, 'listening');
const farEnd = (echo.address() as AddressInfo).port;
const folder = mkdtempSync(join(tmpdir(), 'zone-egress-stop-'));
const hello = await realHello('backend{mesh=default}');
try {
  for (const count of values.sessions.split(',').map(Number))
    for (const ends of count === 0 ? [true] : [true, false]) await stop(count, ends);
} finally {
  echo.close();
  rmSync(folder, { recursive: true, force: true });
}

async function stop(count: number, ends: boolean): Promise<void> {
  const [port, readiness] = [await freePort(), await freePort()];
  const mesh = await createTestMesh('default');
  writeFileSync(
    join(folder, 'zone.yaml'),
    `${mesh.resources}---\ntype: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: ${port}, admin: { port: ${await freePort()} } }\n---
type: ZoneIngress\nname: west\nzone: west\nnetworking: { address: 127.0.0.1, port: ${farEnd}, advertisedAddress: 127.0.0.1, advertisedPort: ${farEnd} }
availableServices: [{ mesh: default, instances: 1, tags: { kuma.io/service: backend, kuma.io/zone: west } }]\n`,
  );
  const flags = ['--drain-time', values.drain, '--readiness-port', String(readiness), '--log-level', 'off'];
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, [MAIN, 'run', '--resources', folder, ...flags], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exit = once(child, 'exit');
  while ((await ready(readiness)) !== 200) await pause(20);
  const sockets = await Promise.all(Array.from({ length: count }, () => session(port)));
  const startedAt = performance.now();
  child.kill('SIGTERM');
  if (ends) {
    while ((await ready(readiness)) === 200) await pause(5);
    for (const socket of sockets) socket.end();
  }
  const [code] = (await exit) as [number | null];
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(2);
  const what = count === 0 ? '' : ends ? ', which end' : ', which stay';
  console.log(
    `${String(count).padStart(5)} sessions${what}: exit ${code ?? 'by a signal'} after ${seconds} s (drain time ${values.drain})`,
  );
  for (const socket of sockets) socket.destroy();
}

async function session(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(hello);
  await once(socket, 'data');
  socket.resume();
  return socket;
}

async function ready(port: number): Promise<number> {
  return (await fetch(`http://127.0.0.1:${port}/ready`).catch(() => null))?.status ?? 0;
}
