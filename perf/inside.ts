// Questions: what does a read of the relay leave for the garbage collector, and how long does one
// bulk stream hold the loop at a time? `node --expose-gc --max-semi-space-size=512 perf/inside.ts
// [--gb 2]`. The egress runs in this process, client and far end in others; the young space is so
// large that it is not collected meanwhile.
import { readFileSync } from 'node:fs';
import { PerformanceObserver, monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { startEgress } from '../src/egress.ts';
import { makeBed } from './bed.ts';
import { sniOf, zoneYaml } from './contenders.ts';
import { drive, driving } from './question.ts';

const { values } = parseArgs({ options: { gb: { type: 'string', default: '2' } } });
const bytes = Number(values.gb) * 1e9;
const collect = globalThis.gc;
if (collect === undefined) throw new Error('node --expose-gc --max-semi-space-size=512 perf/inside.ts');

const bed = await makeBed();
const egress = await startEgress({
  resources: [{ path: 'zone.yaml', text: zoneYaml(bed, { routes: 0, port: 1, adminPort: 2 }) }],
  port: 0,
  admin: false,
});

/** Counts read(2) calls of this thread; those of the whole process would include ended children. */
const reads = (): number => Number(/^syscr: (\d+)/m.exec(readFileSync(`/proc/self/task/${process.pid}/io`, 'utf8'))?.[1]);
const RESOLUTION_MS = 1;
let collections = 0;
new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({ entryTypes: ['gc'] });

console.log(`node --expose-gc --max-semi-space-size=512 perf/inside.ts --gb ${values.gb}   (Node ${process.version})`);
console.log(
  '1 connection        reads    KB per read  young bytes per read  MB of buffers at the end  loop held ms: p99, p99.9, longest',
);
for (const work of ['passthrough', 'terminated'] as const) {
  for (const direction of ['up', 'down'] as const) {
    const target = { host: '127.0.0.1', port: egress.port, sni: sniOf(work) };
    const client = (mesh: string) => ({ cert: `${bed.folder}/${mesh}-client.pem`, key: `${bed.folder}/${mesh}-client.key` });
    const options = { ...(await driving({ target, work }, client)), connections: 1, message: 1024 * 1024 };
    const run = (amount: number) =>
      drive('bulk', { ...options, up: direction === 'up' ? amount : 0, down: direction === 'down' ? amount : 0 }, { pid: null });
    await run(bytes / 2);
    collect();
    // The collection is reported late.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    collections = 0;
    const before = { reads: reads(), heap: process.memoryUsage().heapUsed };
    loop.enable();
    await run(bytes);
    loop.disable();
    const count = reads() - before.reads;
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    await new Promise((resolve) => setTimeout(resolve, 50));
    // Memory outside of the heap makes V8 collect too; the figure is then unknown.
    const young = collections === 0 ? ((heapUsed - before.heap) / count).toFixed(0) : `? (${collections} collections)`;
    const held = [loop.percentile(99), loop.percentile(99.9), loop.max].map((ns) =>
      Math.max(0, ns / 1e6 - RESOLUTION_MS).toFixed(2),
    );
    console.log(
      `${`${work} ${direction}`.padEnd(20)}${String(count).padEnd(9)}${(bytes / 1_024 / count).toFixed(0).padEnd(13)}` +
        `${young.padEnd(22)}${(arrayBuffers / 1e6).toFixed(1).padEnd(26)}${held.join(', ')}`,
    );
  }
}
await egress.close();
await bed.close();
