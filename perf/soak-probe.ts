// Loaded into each thread of the egress of a soak (`--import`): appends what the thread holds to a
// file, every two seconds.
import { appendFileSync } from 'node:fs';
import { isMainThread, threadId } from 'node:worker_threads';

const file = process.env.SOAK_PROBE;
if (file !== undefined) {
  setInterval(() => {
    const { heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage();
    const thread = isMainThread ? 'main' : String(threadId);
    appendFileSync(file, `${JSON.stringify({ thread, heapTotal, heapUsed, external, arrayBuffers })}\n`);
  }, 2_000).unref();
}
