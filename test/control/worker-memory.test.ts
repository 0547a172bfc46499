import type { ResourceLimits, Worker } from 'node:worker_threads';
import t from 'tap';
import { bufferLimit, heapLimits, memoryOfProcess, YOUNG_MB } from '../../src/control/worker-memory.ts';
import { startZone } from '../egress/zone.ts';

const MB = 1024 * 1024;

t.test('what a thread may take follows the memory of the container', async (t) => {
  const of = (mb: number, workers: number): number => heapLimits(mb * MB, workers).maxOldGenerationSizeMb ?? 0;
  t.equal(of(512, 1), 154);
  t.equal(of(1_024, 2), 202);
  t.equal(of(64 * 1_024, 2), 768, 'however much there is: V8 would use it for garbage');
  t.equal(of(128, 4), 96, 'a session and a configuration need that much');
  for (const mb of [512, 1_024, 2_048]) {
    for (const workers of [1, 2]) {
      const all = workers * (of(mb, workers) + YOUNG_MB + bufferLimit(mb * MB, workers) / MB);
      t.ok(all < mb, `${mb} MB hold the most of ${workers}: ${all}`);
    }
  }
});

t.test('large buffers too', async (t) => {
  t.equal(bufferLimit(512 * MB, 2), 16 * MB);
  t.equal(bufferLimit(64 * 1_024 * MB, 2), 64 * MB);
  t.equal(bufferLimit(64 * MB, 2), 8 * MB);
});

t.test('a machine without a limit has what is built in', async (t) => {
  t.ok(memoryOfProcess() > 0 && memoryOfProcess() < 2 ** 60);
});

t.test('threads that carry sessions have a small young space and a bounded heap', async (t) => {
  const limits: (ResourceLimits | undefined)[] = [];
  const onWorker = (worker: Worker): void => void limits.push(worker.resourceLimits);
  process.on('worker', onWorker);
  t.teardown(() => process.off('worker', onWorker));
  await using _zone = await startZone(t, { concurrency: 2 });
  t.equal(limits.length, 2);
  for (const limit of limits) t.match(limit, heapLimits(memoryOfProcess(), 2));
});
