// Question: what does /sessions cost with many sessions open, and how long does it hold up the
// sessions of the thread that it shares? `node perf/sessions-page.ts [--sessions 9000]`. The
// sessions are connections of a thread of their own that have not sent their hello; the stall is
// the longest time that the serving loop was held. `perf/looked-at.ts` has sessions that come and go.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { startEgress } from '../src/egress.ts';

const PAGES = [
  '/sessions',
  '/sessions?sort=rate',
  '/sessions?client=10.*',
  '/sessions?limit=1000&offset=8000',
  '/sessions?limit=10000',
  '/sessions?limit=1000&output=table',
];
const ROUNDS = 9;
const ZONE = 'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n';

type Job = { readonly port: number; readonly count: number };

if (isMainThread) await measure();
else await client(workerData as Job);

async function measure(): Promise<void> {
  const { values } = parseArgs({ options: { sessions: { type: 'string', default: '9000' } } });
  const count = Number(values.sessions);
  console.log(`node perf/sessions-page.ts --sessions ${count}   (Node ${process.version})`);
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-sessions-'));
  writeFileSync(join(folder, 'mesh.yaml'), ZONE);
  const traffic = { setupTimeoutMs: 600_000, maxSessions: 2 * count };
  const egress = await startEgress({ resources: folder, port: 0, admin: { port: 0 }, traffic });
  const reader = new Worker(new URL(import.meta.url), { workerData: { port: egress.port, count } });
  await once(reader, 'message');
  while (egress.sessions() < count) await new Promise((resolve) => setTimeout(resolve, 5));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  console.log('page                                   KB    ms (median)  CPU ms (median)  stall ms (max)');
  for (const page of PAGES) {
    const rounds: (readonly [ms: number, cpu: number])[] = [];
    let bytes = 0;
    delay.reset();
    for (let round = 0; round < ROUNDS; round++) {
      const [startedAt, cpu] = [performance.now(), process.threadCpuUsage()];
      reader.postMessage(`http://127.0.0.1:${egress.adminPort}${page}`);
      [bytes] = (await once(reader, 'message')) as [number];
      const used = process.threadCpuUsage(cpu);
      rounds.push([performance.now() - startedAt, (used.user + used.system) / 1_000]);
    }
    const median = (at: 0 | 1): string => (rounds.map((round) => round[at]).sort((a, b) => a - b)[ROUNDS >> 1] ?? 0).toFixed(1);
    const columns = [
      page.padEnd(34),
      (bytes / 1e3).toFixed(0).padStart(7),
      median(0).padStart(13),
      median(1).padStart(16),
      (delay.max / 1e6).toFixed(1).padStart(15),
    ];
    console.log(columns.join(' '));
  }
  await reader.terminate();
  await egress.close();
  rmSync(folder, { recursive: true });
}

async function client({ port, count }: { readonly port: number; readonly count: number }): Promise<void> {
  for (let open = 0; open < count; open += 100)
    await Promise.all(
      Array.from({ length: 100 }, () =>
        once(
          connect(port, '127.0.0.1').on('error', () => {}),
          'connect',
        ),
      ),
    );
  parentPort?.postMessage('open');
  parentPort?.on('message', (url: string) => {
    void fetch(url)
      .then((answer) => answer.arrayBuffer())
      .then(({ byteLength }) => parentPort?.postMessage(byteLength));
  });
}
