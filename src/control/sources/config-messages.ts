import type { Problem } from '../../base/problem.ts';
import { diffSnapshots, splitChange } from '../../model/changes.ts';
import type { SnapshotChange } from '../../model/changes.ts';
import type { Absent, Compiled, ListenerConfig, Origin } from '../../model/compiled.ts';
import type { ContentHash } from '../../model/names.ts';
import { EMPTY_SNAPSHOT } from '../../model/snapshot.ts';
import type { Secrets, Snapshot } from '../../model/snapshot.ts';
import type { ConfigSource } from './config-source.ts';

/**
 * `load` begins one; `more` asks for the next message of it, so that the receiver's loop is never
 * handed much at once.
 */
export type ToConfigThread = { readonly kind: 'load' } | { readonly kind: 'more' };

/**
 * Differences to what the last load gave, in pieces; `done` or `invalid` is the last message of a
 * load.
 */
export type FromConfigThread =
  | { readonly kind: 'change'; readonly change: SnapshotChange }
  | { readonly kind: 'origins'; readonly set: readonly (readonly [string, Origin])[]; readonly removed: readonly string[] }
  | { readonly kind: 'absent'; readonly set: readonly (readonly [string, Absent])[]; readonly removed: readonly string[] }
  | {
      readonly kind: 'secrets';
      readonly set: readonly (readonly [ContentHash, string])[];
      readonly removed: readonly ContentHash[];
    }
  | {
      readonly kind: 'done';
      readonly listener: ListenerConfig;
      readonly problems: readonly Problem[];
      readonly fingerprint: string | null;
    }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[]; readonly fingerprint: string | null }
  /** A bug: the stack. */
  | { readonly kind: 'fault'; readonly stack: string };

/** Values per message. */
const PIECE = 500;

/**
 * The thread's side: compiles when asked, and answers with what differs from the compile before.
 */
export function answerLoads(source: ConfigSource, send: (message: FromConfigThread) => void): (message: ToConfigThread) => void {
  let snapshot: Snapshot = EMPTY_SNAPSHOT;
  let secrets: Secrets = new Map();
  let origins: ReadonlyMap<string, Origin> = new Map();
  let absent: ReadonlyMap<string, Absent> = new Map();
  let queue: FromConfigThread[] = [];

  function next(): void {
    const message = queue.shift();
    if (message !== undefined) send(message);
  }

  function answer(compiled: Compiled): void {
    const fingerprint = source.fingerprint?.() ?? null;
    if (compiled.kind === 'invalid') {
      queue = [{ kind: 'invalid', problems: compiled.problems, fingerprint }];
      return;
    }
    const { listener, problems, absent: absentNow = new Map<string, Absent>() } = compiled;
    queue = [
      ...splitChange(diffSnapshots(snapshot, compiled.snapshot), PIECE).map((change) => ({ kind: 'change', change }) as const),
      ...pieces(origins, compiled.origins).map((piece) => ({ kind: 'origins', ...piece }) as const),
      ...pieces(absent, absentNow).map((piece) => ({ kind: 'absent', ...piece }) as const),
      ...pieces(secrets, compiled.secrets).map((piece) => ({ kind: 'secrets', ...piece }) as const),
      { kind: 'done', listener, problems, fingerprint },
    ];
    ({ snapshot, secrets, origins } = compiled);
    absent = absentNow;
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

interface Piece<Key, Value> {
  readonly set: readonly (readonly [Key, Value])[];
  readonly removed: readonly Key[];
}

function pieces<Key, Value>(before: ReadonlyMap<Key, Value>, now: ReadonlyMap<Key, Value>): Piece<Key, Value>[] {
  const set = [...now].filter(([key, value]) => !same(before.get(key), value));
  const removed = [...before.keys()].filter((key) => !now.has(key));
  const made: Piece<Key, Value>[] = [];
  for (let i = 0; i < Math.max(set.length, removed.length); i += PIECE) {
    made.push({ set: set.slice(i, i + PIECE), removed: removed.slice(i, i + PIECE) });
  }
  return made;
}

/** Texts, or flat objects of the same shape. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const right = b as Readonly<Record<string, unknown>>;
  return Object.entries(a).every(([key, value]) => right[key] === value);
}
