/**
 * Sends a compiled configuration from the thread that compiles it: differences to the one before,
 * cut by the vocabulary of model/changes.ts, one message for each request of the receiver.
 */
import type { Problem } from '../../base/problem.ts';
import { ComingMap, ComingSnapshot, diffMaps, diffSnapshots, splitChange, splitDelta } from '../../model/changes.ts';
import type { Delta, SnapshotChange } from '../../model/changes.ts';
import type { Absent, Compiled, ListenerConfig, Origin } from '../../model/compiled.ts';
import type { ContentHash } from '../../model/names.ts';
import { EMPTY_SNAPSHOT } from '../../model/snapshot.ts';
import type { Secrets, Snapshot } from '../../model/snapshot.ts';
import { deepFreeze } from '../../resources/deep-freeze.ts';
import type { FolderSource } from './folder-source.ts';

/**
 * `load` begins a load; `more` asks for its next message, so that the receiver's loop never gets
 * much at once.
 */
export type ToConfigThread = { readonly kind: 'load' } | { readonly kind: 'more' };

/** `done`, `invalid` or `fault` is the last message of a load. */
export type FromConfigThread =
  | { readonly kind: 'change'; readonly change: SnapshotChange }
  | ({ readonly kind: 'origins' } & Delta<string, Origin>)
  | ({ readonly kind: 'absent' } & Delta<string, Absent>)
  | ({ readonly kind: 'secrets' } & Delta<ContentHash, string>)
  | {
      readonly kind: 'done';
      readonly listener: ListenerConfig;
      readonly problems: readonly Problem[];
      readonly fingerprint: string | null;
    }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[]; readonly fingerprint: string | null }
  /** A bug, with its stack. */
  | { readonly kind: 'fault'; readonly stack: string };

/** State of both ends about the last load that compiled. */
interface Known {
  readonly snapshot: Snapshot;
  readonly secrets: Secrets;
  readonly origins: ReadonlyMap<string, Origin>;
  readonly absent: ReadonlyMap<string, Absent>;
}

const NOTHING: Known = { snapshot: EMPTY_SNAPSHOT, secrets: new Map(), origins: new Map(), absent: new Map() };

/**
 * The end in the thread: compiles on request, and answers with the difference to the compile
 * before.
 */
export function answerLoads(source: FolderSource, send: (message: FromConfigThread) => void): (message: ToConfigThread) => void {
  let known = NOTHING;
  let queue: FromConfigThread[] = [];

  function next(): void {
    const message = queue.shift();
    if (message !== undefined) send(message);
  }

  function answer(compiled: Compiled): void {
    const fingerprint = source.fingerprint();
    if (compiled.kind === 'invalid') {
      queue = [{ kind: 'invalid', problems: compiled.problems, fingerprint }];
      return;
    }
    const { snapshot, secrets, origins, absent = NOTHING.absent, listener, problems } = compiled;
    queue = [
      ...splitChange(diffSnapshots(known.snapshot, snapshot)).map((change) => ({ kind: 'change', change }) as const),
      ...splitDelta(diffMaps(known.origins, origins)).map((delta) => ({ kind: 'origins', ...delta }) as const),
      ...splitDelta(diffMaps(known.absent, absent)).map((delta) => ({ kind: 'absent', ...delta }) as const),
      ...splitDelta(diffMaps(known.secrets, secrets)).map((delta) => ({ kind: 'secrets', ...delta }) as const),
      { kind: 'done', listener, problems, fingerprint },
    ];
    known = { snapshot, secrets, origins, absent };
  }

  return (message) => {
    if (message.kind === 'more') return next();
    source.load().then(
      (compiled) => {
        answer(compiled);
        next();
      },
      (error: unknown) => send({ kind: 'fault', stack: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  };
}

/**
 * The receiving end: takes one message after another. Returns null while there is more to come, an
 * error for a bug of the compiler. Parts of a load have no effect before its last message.
 */
export function receiveLoads(): (message: FromConfigThread) => Arrived | null {
  let known = NOTHING;
  let coming: ReturnType<typeof comingAfter> | null = null;
  return (message) => {
    coming ??= comingAfter(known);
    switch (message.kind) {
      case 'change':
        coming.snapshot.add(frozen(message.change));
        return null;
      case 'origins':
        coming.origins.add(message);
        return null;
      case 'absent':
        coming.absent.add(message);
        return null;
      case 'secrets':
        coming.secrets.add(message);
        return null;
      case 'fault':
        coming = null;
        return Object.assign(new Error('compile the configuration'), { stack: message.stack });
      case 'invalid':
        coming = null;
        return { compiled: { kind: 'invalid', problems: message.problems }, fingerprint: message.fingerprint };
      case 'done': {
        known = {
          snapshot: coming.snapshot.done(),
          secrets: coming.secrets.map,
          origins: coming.origins.map,
          absent: coming.absent.map,
        };
        coming = null;
        const { listener, problems, fingerprint } = message;
        return { compiled: { kind: 'compiled', ...known, listener, problems }, fingerprint };
      }
      default:
        return message satisfies never;
    }
  };
}

/** Frozen values lose that on their way to another thread. */
function frozen(change: SnapshotChange): SnapshotChange {
  const { routes, clusters, meshes } = change;
  for (const { set } of [routes, clusters, meshes]) for (const [, value] of set) deepFreeze(value);
  return change;
}

export type Arrived = { readonly compiled: Compiled; readonly fingerprint: string | null } | Error;

function comingAfter({ snapshot, secrets, origins, absent }: Known) {
  return {
    snapshot: new ComingSnapshot(snapshot),
    secrets: new ComingMap(secrets),
    origins: new ComingMap(origins),
    absent: new ComingMap(absent),
  };
}
