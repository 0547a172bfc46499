import { Worker } from 'node:worker_threads';
import type { ResourceLimits } from 'node:worker_threads';
import type { Clock } from '../base/clock.ts';
import { within } from '../base/within.ts';
import type { FromData, ToData } from '../model/messages.ts';
import { createDataSide, workerDataOf } from '../worker.ts';
import type { DataSideStart } from '../worker.ts';

/** A data side closes its sessions within a turn or two of its loop. */
const STOP_MS = 2_000;

/**
 * One data side as the control side sees it: the same typed messages in its thread or in another.
 */
export interface DataLink {
  readonly worker: number;
  post(message: ToData): void;
  /** Resolves when the data side has ended and its last message has arrived. */
  stop(): Promise<void>;
  /** Ends a thread that does not answer: `onDied` follows. Does nothing without a thread. */
  kill(why: string): void;
}

export interface DataLinkOptions {
  readonly start: DataSideStart;
  /** Limits of its heap, where it has one of its own. */
  readonly limits: ResourceLimits;
  readonly clock: Clock;
  readonly onMessage: (message: FromData) => void;
  /** Called when a worker thread ended without a request. */
  readonly onDied: (error: Error) => void;
  /** It was asked to stop, did not in this time, and is ended without its last messages. */
  readonly onNoStop: (afterMs: number) => void;
}

export function linkInThread(options: DataLinkOptions): DataLink {
  const { start, clock, onMessage } = options;
  let stopped: (() => void) | null = null;
  const side = createDataSide(start, {
    clock,
    send(message) {
      onMessage(message);
      if (message.kind === 'stopped') stopped?.();
    },
  });
  void side.start();
  return {
    worker: start.worker,
    post: (message) => side.receive(message),
    stop: () =>
      new Promise((resolve) => {
        stopped = resolve;
        side.receive({ kind: 'stop' });
      }),
    kill: () => {},
  };
}

export function linkWorker(options: DataLinkOptions): DataLink {
  const { start, limits, onMessage, onDied, onNoStop } = options;
  // Compiled or not, the worker is the file beside the parent folder, with the same ending.
  const file = new URL(import.meta.url.endsWith('.ts') ? '../worker.ts' : '../worker.js', import.meta.url);
  // Without the flags of the process: a test runner's loaders must not be in the data path.
  const worker = new Worker(file, {
    workerData: workerDataOf(start),
    name: `zone-egress-${start.worker}`,
    execArgv: [],
    resourceLimits: limits,
  });
  let stopping = false;
  let exited = false;
  let failure: Error | null = null;
  let stopped: (() => void) | null = null;
  worker.on('message', (message: FromData) => {
    onMessage(message);
    if (message.kind === 'stopped') stopped?.();
  });
  worker.on('error', (error: Error) => {
    failure = error;
  });
  // At this event all of its messages have arrived, and its sockets are closed.
  worker.on('exit', (code) => {
    exited = true;
    if (!stopping) onDied(failure ?? new Error(`worker thread ${start.worker} ended with code ${code}`));
    stopped?.();
  });
  return {
    worker: start.worker,
    post: (message) => worker.postMessage(message),
    async stop() {
      stopping = true;
      // The worker has died and is not replaced yet.
      if (exited) return;
      const answer = new Promise<void>((resolve) => {
        stopped = resolve;
        worker.postMessage({ kind: 'stop' } satisfies ToData);
      });
      if (!(await within(STOP_MS, answer))) onNoStop(STOP_MS);
      await worker.terminate();
    },
    kill(why) {
      failure = new Error(why);
      void worker.terminate();
    },
  };
}
