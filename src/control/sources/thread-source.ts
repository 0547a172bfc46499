import { Worker } from 'node:worker_threads';
import type { Clock } from '../../base/clock.ts';
import type { Compiled } from '../../model/compiled.ts';
import { receiveLoads } from './config-messages.ts';
import type { FromConfigThread, ToConfigThread } from './config-messages.ts';
import type { ConfigSource } from './config-source.ts';
import type { FolderSourceOptions } from './folder-source.ts';
import { watchesOf } from './folder-watches.ts';

/**
 * Reads and compiles a folder of resources in a thread of its own. Differences arrive in pieces of
 * some milliseconds; unchanged values keep their identity, so that later code finds a change
 * without reading the rest. A thread that dies is replaced at the next load.
 */
export function threadSource(options: FolderSourceOptions & { readonly clock: Clock }): ConfigSource {
  const { clock, ...travels } = options;
  let worker: Worker | null = null;
  let waiting: PromiseWithResolvers<Compiled> | null = null;
  let loaded: string | null = null;
  let closed = false;
  const watches = watchesOf(options.dir, clock);

  function settle(outcome: Compiled | Error): void {
    const asked = waiting;
    waiting = null;
    if (outcome instanceof Error) asked?.reject(outcome);
    else asked?.resolve(outcome);
  }

  function start(): Worker {
    // A new thread does not know earlier loads: it sends everything.
    const receive = receiveLoads();
    const started = startThread(travels);
    let failure: Error | null = null;
    started.on('message', (message: FromConfigThread) => {
      const arrived = receive(message);
      if (arrived === null) return void setImmediate(() => started.postMessage({ kind: 'more' } satisfies ToConfigThread));
      if (arrived instanceof Error) return settle(arrived);
      loaded = arrived.fingerprint;
      if (loaded === null) watches.retry();
      settle(arrived.compiled);
    });
    // These listeners stay while no load runs: a death without a listener would end the process.
    started.on('error', (error) => {
      failure = error instanceof Error ? error : new Error(String(error));
    });
    started.on('exit', (code) => {
      if (worker !== started) return;
      worker = null;
      settle(failure ?? new Error(`the configuration thread ended with code ${code}`));
    });
    return started;
  }

  return {
    about: { mode: 'folder', source: options.dir },
    load() {
      if (closed) return Promise.reject(new Error('the source is closed'));
      waiting = Promise.withResolvers<Compiled>();
      worker ??= start();
      worker.postMessage({ kind: 'load' } satisfies ToConfigThread);
      return waiting.promise;
    },
    watch: (changed) => watches.begin(changed, loaded ?? undefined),
    async close() {
      closed = true;
      watches.close();
      await worker?.terminate();
    },
  };
}

function startThread(options: FolderSourceOptions): Worker {
  // Compiled or not, the root of the thread has the file ending of this file.
  const file = new URL(import.meta.url.endsWith('.ts') ? '../../config-thread.ts' : '../../config-thread.js', import.meta.url);
  const worker = new Worker(file, {
    workerData: { mark: 'zone-egress configuration', options },
    name: 'zone-egress-config',
    execArgv: [],
    // With V8's own size the thread takes 90 MB more while it compiles 10,000 services, and is not
    // faster.
    resourceLimits: { maxYoungGenerationSizeMb: 8 },
  });
  worker.unref();
  return worker;
}
