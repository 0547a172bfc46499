// Question: what do the pages that a control plane and Prometheus read cost with many services, and
// how long do they hold up the sessions of the thread that they share? `node perf/admin-pages.ts
// [--chains 5000]`. The control plane is a process of its own, the reader a thread; the stall is
// the longest time that the serving loop was held.
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { startEgress } from '../src/egress.ts';
import { manyChains } from './many-chains.ts';

const PAGES = [
  '/config_dump',
  '/config_dump?include_eds=true',
  '/clusters',
  '/clusters?format=json',
  '/stats',
  '/stats?usedonly=',
  '/stats?format=json&usedonly=',
  '/stats?filter=(a%7Cb).*upstream_cx_total%24',
  '/stats/prometheus',
];

if (isMainThread) await measure();
else read();

async function measure(): Promise<void> {
  const { values } = parseArgs({ options: { chains: { type: 'string', default: '5000' } } });
  console.log(`node perf/admin-pages.ts --chains ${values.chains}   (Node ${process.version})`);
  const { child, controlPlane } = await manyChains(Number(values.chains));
  const egress = await startEgress({
    port: 0,
    admin: { port: 0 },
    controlPlane,
  });
  while (egress.snapshot().routes.size < Number(values.chains)) await new Promise((resolve) => setTimeout(resolve, 5));
  const reader = new Worker(new URL(import.meta.url));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  console.log('page                                             MB    ms (median)  stall ms (max)');
  for (const page of PAGES) {
    const took: number[] = [];
    let bytes = 0;
    delay.reset();
    for (let round = 0; round < 5; round++) {
      const startedAt = performance.now();
      reader.postMessage(`http://127.0.0.1:${egress.adminPort}${page}`);
      [bytes] = (await once(reader, 'message')) as [number];
      took.push(performance.now() - startedAt);
    }
    const median = took.sort((a, b) => a - b)[2] ?? 0;
    const columns = [
      page.padEnd(46),
      (bytes / 1e6).toFixed(1).padStart(5),
      median.toFixed(0).padStart(12),
      (delay.max / 1e6).toFixed(0).padStart(12),
    ];
    console.log(columns.join(' '));
  }
  await reader.terminate();
  await egress.close();
  child.kill();
}

function read(): void {
  parentPort?.on('message', (url: string) => {
    void fetch(url)
      .then((response) => response.arrayBuffer())
      .then(({ byteLength }) => parentPort?.postMessage(byteLength));
  });
}
