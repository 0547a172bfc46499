import { Worker } from 'node:worker_threads';
import type { Clock } from '../../base/clock.ts';
import { watchFolder } from '../../files/watch-folder.ts';
import { ComingSnapshot } from '../../model/changes.ts';
import type { Absent, Compiled, Origin } from '../../model/compiled.ts';
import type { ContentHash } from '../../model/names.ts';
import { EMPTY_SNAPSHOT } from '../../model/snapshot.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { FromConfigThread, ToConfigThread } from './config-messages.ts';
import type { ConfigSource } from './config-source.ts';
import type { FolderSourceOptions } from './folder-source.ts';

/**
 * A folder of resources that is read and compiled in a thread of its own. What comes over are
 * differences, in pieces of a few milliseconds; what did not change keeps its identity, so that
 * everything behind finds the change without looking at the rest.
 */
export function threadSource(options: FolderSourceOptions & { readonly clock: Clock }): ConfigSource {
  const { clock, ...travels } = options;
  let worker: Worker | null = null;
  let snapshot: Snapshot = EMPTY_SNAPSHOT;
  let coming: ComingSnapshot | null = null;
  let secrets = new Map<ContentHash, string>();
  let origins = new Map<string, Origin>();
  let absent = new Map<string, Absent>();
  let loaded: string | undefined;

  function start(): Worker {
    // Compiled or not, the thread's root is the file beside this one's parent, with the same
    // ending.
    const file = new URL(import.meta.url.endsWith('.ts') ? '../../config-thread.ts' : '../../config-thread.js', import.meta.url);
    const made = new Worker(file, {
      workerData: { mark: 'zone-egress configuration', options: travels },
      name: 'zone-egress-config',
      execArgv: [],
      // V8's own size makes the thread take 90 MB more while it compiles 10,000 services, and no
      // sooner done.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    made.unref();
    // A new thread knows of nothing that came before.
    snapshot = EMPTY_SNAPSHOT;
    coming = null;
    secrets = new Map();
    origins = new Map();
    absent = new Map();
    return made;
  }

  /** Null: there is more to come. */
  function take(message: FromConfigThread): Compiled | Error | null {
    switch (message.kind) {
      case 'change':
        coming ??= new ComingSnapshot(snapshot);
        coming.add(message.change);
        return null;
      case 'origins':
        origins = changed(origins, message);
        return null;
      case 'absent':
        absent = changed(absent, message);
        return null;
      case 'secrets':
        secrets = changed(secrets, message);
        return null;
      case 'fault':
        return Object.assign(new Error('compile the configuration'), { stack: message.stack });
      case 'invalid':
        loaded = message.fingerprint ?? undefined;
        return { kind: 'invalid', problems: message.problems };
      case 'done':
        loaded = message.fingerprint ?? undefined;
        snapshot = coming?.done() ?? snapshot;
        coming = null;
        return { kind: 'compiled', snapshot, secrets, origins, absent, listener: message.listener, problems: message.problems };
      default:
        return message satisfies never;
    }
  }

  return {
    load() {
      const thread = worker ?? start();
      worker = thread;
      return new Promise((resolve, reject) => {
        function settle(outcome: Compiled | Error): void {
          thread.removeListener('message', onMessage);
          thread.removeListener('error', onGone);
          thread.removeListener('exit', onExit);
          if (outcome instanceof Error) reject(outcome);
          else resolve(outcome);
        }
        function onMessage(message: FromConfigThread): void {
          const outcome = take(message);
          if (outcome === null) setImmediate(() => thread.postMessage({ kind: 'more' } satisfies ToConfigThread));
          else settle(outcome);
        }
        function onGone(error: Error): void {
          worker = null;
          settle(error);
        }
        function onExit(code: number): void {
          onGone(new Error(`the configuration thread ended with code ${code}`));
        }
        thread.on('message', onMessage);
        thread.on('error', onGone);
        thread.on('exit', onExit);
        thread.postMessage({ kind: 'load' } satisfies ToConfigThread);
      });
    },
    watch(onChange) {
      const watcher = watchFolder(options.dir, { clock, onChange, ...(loaded === undefined ? {} : { since: loaded }) });
      return () => watcher.close();
    },
    async close() {
      await worker?.terminate();
      worker = null;
    },
  };
}

function changed<Key, Value>(
  map: ReadonlyMap<Key, Value>,
  piece: { readonly set: readonly (readonly [Key, Value])[]; readonly removed: readonly Key[] },
): Map<Key, Value> {
  const next = new Map(map);
  for (const key of piece.removed) next.delete(key);
  for (const [key, value] of piece.set) next.set(key, value);
  return next;
}
