// Question: what does it cost that one process joins a control plane as the Dataplanes of many
// meshes? For 1, 10 and 50 of them: the start until all are ready, the memory of the process, the
// time of the processor when nothing happens, and a check that no mesh opens another one.
// `node perf/many-meshes.ts [--meshes 1,10,50] [--workers 1]`. The control plane and the services
// are in this process, the egress is one of its own, started as an operator does.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createFakeControlPlane } from '../src/testing/control-plane/fake-control-plane.ts';
import { dataplaneOf, makeMesh } from '../test/egress/joined-zone.ts';
import type { JoinedMesh } from '../test/egress/joined-zone.ts';
import { freePort } from '../test/free-ports.ts';
import { residentBytes } from './processes.ts';

const { values } = parseArgs({
  options: { meshes: { type: 'string', default: '1,10,50' }, workers: { type: 'string', default: '1' } },
});
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const IDLE_MS = 10_000;

console.log(`node perf/many-meshes.ts --meshes ${values.meshes} --workers ${values.workers}   (Node ${process.version})`);
console.log('meshes  ready ms  MiB before sessions  MiB after  idle CPU ms/s  sessions that passed  refused across meshes');
for (const count of values.meshes.split(',').map(Number)) await measure(count);
process.exit();

async function measure(count: number): Promise<void> {
  await using cp = await createFakeControlPlane({ version: '3.0', authentication: 'none' });
  const meshes = await Promise.all(Array.from({ length: count }, (_, i) => makeMesh(`mesh-${i}`)));
  const [port, readiness] = [await freePort(), await freePort()];
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-many-'));
  writeFileSync(join(dir, 'ca.pem'), cp.caCert);
  for (const mesh of meshes) {
    cp.set(mesh.resources(port), { of: `${mesh.name}.egress` });
    const dataplane = dataplaneOf(mesh.name, 'egress', port);
    const networking = { ...(dataplane['networking'] as object), admin: { port: await freePort() } };
    writeFileSync(join(dir, `${mesh.name}.json`), JSON.stringify({ ...dataplane, networking }));
    writeFileSync(join(dir, `${mesh.name}.token`), cp.tokens.issue());
  }
  const argv = [
    `--cp-address=${cp.url}`,
    `--ca-cert-file=${dir}/ca.pem`,
    `--dataplane-file=${dir}`,
    `--concurrency=${values.workers}`,
  ];
  const more = [`--readiness-port=${readiness}`, '--allow-resolved=127.0.0.0/8', '--log-level=error', '--drain-time=0s'];
  const startedAt = performance.now();
  const child = spawn(process.execPath, [MAIN, 'run', ...argv, ...more], { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    while (!(await isReady(readiness, meshes))) await pause(20);
    const readyMs = performance.now() - startedAt;
    const pid = child.pid ?? 0;
    await pause(2_000);
    const before = residentBytes(pid);
    let passed = 0;
    let refused = 0;
    for (const [i, mesh] of meshes.entries()) {
      if (await passes(port, mesh.sni, mesh)) passed++;
      const other = meshes[(i + 1) % count];
      if (other !== undefined && other !== mesh && !(await passes(port, other.sni, mesh))) refused++;
    }
    const after = residentBytes(pid);
    const cpu = processorMs(pid);
    await pause(IDLE_MS);
    const idle = (processorMs(pid) - cpu) / (IDLE_MS / 1_000);
    const cells = [
      count,
      readyMs.toFixed(0),
      mib(before),
      mib(after),
      idle.toFixed(1),
      `${passed} of ${count}`,
      `${refused} of ${count === 1 ? 0 : count}`,
    ];
    console.log(cells.map((cell, i) => String(cell).padEnd([7, 9, 20, 10, 14, 21, 0][i] ?? 0)).join(' '));
  } finally {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await Promise.all(meshes.map(({ service }) => service.close()));
    rmSync(dir, { recursive: true });
  }
}

async function isReady(port: number, meshes: readonly JoinedMesh[]): Promise<boolean> {
  for (const { name } of meshes) {
    const answer = await fetch(`http://127.0.0.1:${port}/ready?dataplane=${name}.egress`).catch(() => null);
    await answer?.text();
    if (answer?.status !== 200) return false;
  }
  return true;
}

/** Makes one session as `frontend` of a mesh; true where the service answers. */
async function passes(port: number, servername: string, mesh: JoinedMesh): Promise<boolean> {
  const options = { port, host: '127.0.0.1', servername, rejectUnauthorized: false, ...mesh.client('frontend') };
  const socket = connectTls(options as ConnectionOptions);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.on('secureConnect', () => socket.write('ping'));
  socket.on('data', () => resolve(true));
  for (const event of ['error', 'close']) socket.on(event, () => resolve(false));
  return promise.finally(() => socket.destroy());
}

/** User and system time of a process. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function mib(bytes: number): string {
  return (bytes / 1_048_576).toFixed(0);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
