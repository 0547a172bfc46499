import { totalmem } from 'node:os';
import type { ResourceLimits } from 'node:worker_threads';

const MB = 1024 * 1024;
/**
 * Young space of a thread. With V8's own size (48 MB and more) two threads hold 100 MB of garbage
 * that is not collected yet, and connections cost the same. V8 divides it by three and rounds up to
 * a power of two: three times 4 MB.
 */
export const YOUNG_MB = 12;
/**
 * Memory of the program itself, the thread that compiles, the thread that keeps records, and
 * OpenSSL for some hundred sessions.
 */
const BASE_BYTES = 192 * MB;
/**
 * A session takes 20 KB of objects, a service 2 KB: this is enough for 1,000 sessions and 10,000
 * services, even with little memory.
 */
const LEAST_OLD_MB = 96;
/**
 * From 2 GB on V8 lets a heap grow to four times its live size before it collects; with this limit
 * to one and a half times.
 */
const MOST_OLD_MB = 768;
const LEAST_BUFFER_BYTES = 8 * MB;
const MOST_BUFFER_BYTES = 64 * MB;

/**
 * Returns the memory of the container where it has a limit (`memory.max` of its cgroup), else of
 * the machine; in bytes.
 */
export function memoryOfProcess(): number {
  const machine = totalmem();
  const container = process.constrainedMemory();
  return container > 0 && container < machine ? container : machine;
}

/** Returns the heap limits of each thread of sessions; one that needs more ends and is replaced. */
export function heapLimits(memoryBytes: number, workers: number): ResourceLimits {
  const share = (memoryBytes - BASE_BYTES) / workers / MB - YOUNG_MB;
  return {
    maxYoungGenerationSizeMb: YOUNG_MB,
    maxOldGenerationSizeMb: Math.floor(Math.min(MOST_OLD_MB, Math.max(LEAST_OLD_MB, share / 2))),
  };
}

/** Returns the most bytes of the large read buffers of one data side together. */
export function bufferLimit(memoryBytes: number, workers: number): number {
  return Math.floor(Math.min(MOST_BUFFER_BYTES, Math.max(LEAST_BUFFER_BYTES, memoryBytes / 16 / workers)));
}
