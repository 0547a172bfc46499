// Question: what does the egress cost per byte on the passthrough path, beside a bare `.pipe()` relay in the same run?
// `npm run perf -- [--mib 1024] [--rounds 5]`. Measure: CPU time of the proxy's process; medians with minimum and maximum; bytes are checked first.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createTestMesh } from '../src/testing/test-mesh.ts';
import { clientHelloFor } from './client-hello.ts';
import { cpuSeconds, median, startNode } from './processes.ts';
import type { Proxy } from './processes.ts';

const { values } = parseArgs({ options: { mib: { type: 'string', default: '1024' }, rounds: { type: 'string', default: '5' } } });
const mib = Number(values.mib);
const rounds = Number(values.rounds);
const BLOCK = Buffer.alloc(1024 * 1024, 0x5a);

interface Contender {
  readonly name: string;
  readonly proxy: Proxy;
  readonly up: number;
  readonly down: number;
  readonly sni: { readonly up: string; readonly down: string };
}

const backend = await startNode(['perf/backend.ts']);
const { sink, source } = backend.ready as { sink: number; source: number };
const folder = mkdtempSync(join(tmpdir(), 'zone-egress-perf-'));
const contenders = [await egress(), await pipe()];

try {
  for (const contender of contenders) await checkIntact(contender);
  const results = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) {
      for (const direction of ['up', 'down'] as const) {
        const { cpu, wall } = await measure(contender, direction);
        for (const [what, value] of [
          ['cpu', cpu],
          ['wall', wall],
        ] as const) {
          // prettier-ignore
          const key = `${contender.name}|${direction}|${what}`;
          results.set(key, [...(results.get(key) ?? []), value]);
        }
      }
    }
  }
  print(results);
} finally {
  for (const { proxy } of contenders) await proxy.stop();
  await backend.stop();
  rmSync(folder, { recursive: true });
}

function print(results: ReadonlyMap<string, readonly number[]>): void {
  const gib = mib / 1024;
  console.log(`node perf/throughput.ts --mib ${mib} --rounds ${rounds}   (Node ${process.version})`);
  console.log('proxy         direction   CPU s/GiB median [min-max]      MiB/s median');
  for (const { name } of contenders) {
    for (const direction of ['up', 'down']) {
      const cpu = (results.get(`${name}|${direction}|cpu`) ?? []).map((seconds) => seconds / gib);
      const wall = results.get(`${name}|${direction}|wall`) ?? [];
      const spread = `${median(cpu).toFixed(2)} [${Math.min(...cpu).toFixed(2)}-${Math.max(...cpu).toFixed(2)}]`;
      console.log(`${name.padEnd(13)} ${direction.padEnd(11)} ${spread.padEnd(31)} ${(mib / median(wall)).toFixed(0)}`);
    }
  }
}

async function measure(contender: Contender, direction: 'up' | 'down'): Promise<{ cpu: number; wall: number }> {
  const before = cpuSeconds(contender.proxy.pid);
  const startedAt = performance.now();
  const received = direction === 'up' ? await upload(contender, mib) : await download(contender, mib);
  const wall = (performance.now() - startedAt) / 1_000;
  if (received !== mib * BLOCK.length)
    throw new Error(`${contender.name} ${direction}: ${received} of ${mib * BLOCK.length} bytes arrived`);
  return { cpu: cpuSeconds(contender.proxy.pid) - before, wall };
}

function open(port: number): Socket {
  return connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
}

/** The far end counts the hello too. */
async function upload(contender: Contender, blocks: number): Promise<number> {
  const hello = clientHelloFor(contender.sni.up);
  const socket = open(contender.up);
  const answer = readAll(socket);
  socket.write(hello);
  for (let i = 0; i < blocks; i++) {
    if (!socket.write(BLOCK)) await new Promise((resolve) => socket.once('drain', resolve));
  }
  socket.end();
  return (JSON.parse((await answer).toString()) as { bytes: number }).bytes - hello.length;
}

/** The size rides behind the hello in the same write, so both reach the far end in one read. */
async function download(contender: Contender, blocks: number): Promise<number> {
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(blocks));
  const socket = open(contender.down);
  socket.write(Buffer.concat([clientHelloFor(contender.sni.down), size]));
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await new Promise((resolve, reject) => socket.once('end', resolve).once('error', reject));
  socket.end();
  return bytes;
}

async function checkIntact(contender: Contender): Promise<void> {
  const payload = Buffer.concat([clientHelloFor(contender.sni.up), randomBytes(8 * 1024 * 1024 + 13)]);
  const socket = open(contender.up);
  const answer = readAll(socket);
  socket.end(payload);
  const { sha256 } = JSON.parse((await answer).toString()) as { sha256: string };
  if (sha256 !== createHash('sha256').update(payload).digest('hex')) throw new Error(`${contender.name} changed the bytes`);
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve, reject) => socket.once('end', resolve).once('error', reject));
  return Buffer.concat(chunks);
}

async function pipe(): Promise<Contender> {
  // One relay per target, measured together: they are the same process's work twice, and one of them is idle at a time.
  const proxy = await startNode(['perf/pipe-relay.ts', String(sink), String(source)]);
  const { ports } = proxy.ready as { ports: [number, number] };
  return {
    name: '.pipe() relay',
    proxy,
    up: ports[0],
    down: ports[1],
    sni: { up: 'sink{mesh=default}', down: 'source{mesh=default}' },
  };
}

async function egress(): Promise<Contender> {
  const mesh = await createTestMesh('default');
  writeFileSync(join(folder, 'zone.yaml'), zoneYaml(mesh));
  const proxy = await startNode(
    ['--max-semi-space-size=32', 'src/main.ts', 'run', '--resources', folder, '--concurrency', '1', '--readiness-port', '0'],
    (line) => line.msg === 'zone egress is ready',
  );
  const port = Number(proxy.ready.port);
  return { name: 'zone-egress', proxy, up: port, down: port, sni: { up: 'sink{mesh=default}', down: 'source{mesh=default}' } };
}

function zoneYaml(mesh: { readonly resources: string }): string {
  return `${mesh.resources}
---
type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: 10702, admin: { port: 10791 } }
---
type: ZoneIngress
name: sink
zone: west
networking: { address: 127.0.0.1, port: ${sink}, advertisedAddress: 127.0.0.1, advertisedPort: ${sink} }
availableServices: [{ mesh: default, instances: 1, tags: { kuma.io/service: sink } }]
---
type: ZoneIngress
name: source
zone: west
networking: { address: 127.0.0.1, port: ${source}, advertisedAddress: 127.0.0.1, advertisedPort: ${source} }
availableServices: [{ mesh: default, instances: 1, tags: { kuma.io/service: source } }]
`;
}
