// Question: what does /sessions cost with many sessions open, and how long does it hold up the
// sessions of the thread that it shares? `node perf/sessions-page.ts [--sessions 9000] [--new 2000]`.
// The sessions are connections of a thread of their own that have not sent their hello; the stall is
// the longest time that the serving loop was held. With `--new`, so many further connections a
// second come and are refused (a byte that is no TLS) beside each way to look.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { IntervalHistogram } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { startEgress } from '../src/egress.ts';
import type { Egress } from '../src/egress.ts';

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

/** Ways to look at an egress: the pages that are asked for in turn, and how often. */
const LOOKS: readonly { readonly name: string; readonly pages: readonly string[]; readonly everyMs: number }[] = [
  { name: 'nobody looks', pages: [], everyMs: 1_000 },
  { name: '/sessions?sort=rate, each second', pages: ['/sessions?sort=rate'], everyMs: 1_000 },
  {
    name: 'zone-egress top, every 2 s',
    pages: ['/sessions?sort=rate&limit=500', '/decisions?limit=500', '/stats/prometheus', '/alarms', '/config_errors', '/ready'],
    everyMs: 2_000,
  },
];
const LOOK_MS = 6_000;

type Job = { readonly port: number; readonly count: number; readonly newPerSecond?: number };

if (isMainThread) await measure();
else await work(workerData as Job);

function work(job: Job): Promise<void> {
  return job.newPerSecond === undefined ? client(job) : comeAndGo(job.port, job.newPerSecond);
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: { sessions: { type: 'string', default: '9000' }, new: { type: 'string', default: '0' } },
  });
  const [count, newPerSecond] = [Number(values.sessions), Number(values.new)];
  console.log(`node perf/sessions-page.ts --sessions ${count} --new ${newPerSecond}   (Node ${process.version})`);
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
  if (newPerSecond > 0) await beside(egress, { reader, delay, newPerSecond });
  await reader.terminate();
  await egress.close();
  rmSync(folder, { recursive: true });
}

interface Beside {
  readonly reader: Worker;
  readonly delay: IntervalHistogram;
  readonly newPerSecond: number;
}

/** Prints the CPU of the serving thread for each way to look, beside connections that come and go. */
async function beside(egress: Egress, { reader, delay, newPerSecond }: Beside): Promise<void> {
  let ended = 0;
  egress.onRecord(() => ended++);
  const churn = new Worker(new URL(import.meta.url), { workerData: { port: egress.port, count: 0, newPerSecond } });
  await pause(2_000);
  console.log('\nlook                                 new a second   CPU ms a second   stall ms (max)');
  for (const { name, pages, everyMs } of [...LOOKS, ...LOOKS]) {
    const [startedAt, cpu, before] = [performance.now(), process.threadCpuUsage(), ended];
    delay.reset();
    for (let at = 0; at < LOOK_MS; at += everyMs) {
      for (const page of pages) {
        reader.postMessage(`http://127.0.0.1:${egress.adminPort}${page}`);
        await once(reader, 'message');
      }
      await pause(Math.max(0, startedAt + at + everyMs - performance.now()));
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    const { user, system } = process.threadCpuUsage(cpu);
    const columns = [
      name.padEnd(34),
      ((ended - before) / seconds).toFixed(0).padStart(15),
      ((user + system) / 1_000 / seconds).toFixed(0).padStart(17),
      (delay.max / 1e6).toFixed(1).padStart(16),
    ];
    console.log(columns.join(' '));
  }
  await churn.terminate();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Connects so many times a second, sends a byte that is no TLS, and waits for the end. */
async function comeAndGo(port: number, perSecond: number): Promise<void> {
  const startedAt = performance.now();
  for (let made = 0; ;) {
    for (const due = ((performance.now() - startedAt) / 1_000) * perSecond; made < due; made++)
      connect(port, '127.0.0.1')
        .on('error', () => {})
        .resume()
        .write('x');
    await pause(2);
  }
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
