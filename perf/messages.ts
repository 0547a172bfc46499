// Question: what does the record of a session cost when it comes from another thread? `node
// perf/messages.ts [--count 200000] [--batch 32]`. A thread posts batches as a data side does; the CPU
// of both sides is that of the whole process, less that of making the records alone.
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { parseArgs } from 'node:util';
import type { SessionRecord } from '../src/model/session-record.ts';
import { EMPTY_SNAPSHOT } from '../src/model/snapshot.ts';
import { SessionDraft } from '../src/traffic/session-draft.ts';

interface Work {
  readonly batches: number;
  readonly batch: number;
  readonly posts: boolean;
}

function recordOf(i: number): SessionRecord {
  const draft = new SessionDraft({ id: `1.${i}`, wallMs: Date.now(), nowMs: i, address: '10.0.0.7', port: i % 60_000 });
  draft.judgedBy({ ...EMPTY_SNAPSHOT, version: '0123456789abcdef' });
  draft.moved('up', 1_635);
  draft.connected(0.3);
  draft.finish('closed', '');
  return draft.record(i + 1.5);
}

if (isMainThread) {
  const { values } = parseArgs({
    options: { count: { type: 'string', default: '200000' }, batch: { type: 'string', default: '32' } },
  });
  const batch = Number(values.batch);
  const batches = Math.ceil(Number(values.count) / batch);
  console.log(`node perf/messages.ts --count ${batches * batch} --batch ${batch}   (Node ${process.version})`);
  await run({ batches: 200, batch, posts: true });
  const alone = await run({ batches, batch, posts: false });
  const posted = await run({ batches, batch, posts: true });
  const each = (us: number): string => (us / (batches * batch)).toFixed(2);
  console.log('of one record, µs of CPU');
  console.log(`made, not posted                    ${each(alone.all)}`);
  console.log(`made and posted, both threads       ${each(posted.all)}`);
  console.log(`  of which the thread that receives ${each(posted.main)}`);
} else {
  const { batches, batch, posts } = workerData as Work;
  for (let i = 0; i < batches; i++) {
    const records = Array.from({ length: batch }, (_, at) => recordOf(i * batch + at));
    if (posts) parentPort?.postMessage({ kind: 'records', records });
  }
  parentPort?.postMessage({ kind: 'done' });
}

/** Returns µs of CPU of the process, and of this thread. */
function run(work: Work): Promise<{ readonly all: number; readonly main: number }> {
  const before = { all: cpu(process.cpuUsage()), main: cpu(process.threadCpuUsage()) };
  const worker = new Worker(new URL(import.meta.url), { workerData: work });
  return new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', ({ kind }: { readonly kind: string }) => {
      if (kind !== 'done') return;
      resolve({ all: cpu(process.cpuUsage()) - before.all, main: cpu(process.threadCpuUsage()) - before.main });
    });
  });
}

function cpu({ user, system }: NodeJS.CpuUsage): number {
  return user + system;
}
