/**
 * Tells when the resource files of a folder changed. What the system reports is only a hint to
 * look: the fingerprint decides.
 */
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import type { Clock, Timer } from '../base/clock.ts';
import { scanFolder } from './scan.ts';
import type { ScannedFolder } from './scan.ts';

export interface WatchOptions {
  readonly clock: Clock;
  /** After each change, once it has been quiet for `debounceMs`. */
  readonly onChange: () => void;
  readonly debounceMs?: number;
  /**
   * For what the system does not report: files behind links, network file systems, too many
   * watches.
   */
  readonly pollMs?: number;
  /**
   * The fingerprint of what the caller has read already. Without it, what the folder is like at the
   * first look.
   */
  readonly since?: string;
}

export interface FolderWatcher {
  /** The first look is done: what changes from now on is told. */
  readonly ready: Promise<void>;
  /** Nothing is told or open any more. */
  close(): void;
}

/** Hints that never end must not put off the look for ever. */
const MAX_DEBOUNCES = 10;
/** A folder of many files is polled less often: looking takes at most a twentieth of the time. */
const MIN_REST = 20;

export function watchFolder(dir: string, options: WatchOptions): FolderWatcher {
  const { clock, onChange, debounceMs = 100, pollMs = 2_000 } = options;
  const watchers = new Map<string, { readonly id: string; readonly watcher: FSWatcher }>();
  let fingerprint = options.since ?? null;
  let pending: Timer | null = null;
  let hintedAt = 0;
  let looking: Promise<void> | null = null;
  let again = false;
  let closed = false;

  /** Something may have changed. */
  function hint(): void {
    if (closed) return;
    const now = clock.now();
    if (pending === null) hintedAt = now;
    else if (now - hintedAt >= debounceMs * MAX_DEBOUNCES) return;
    pending?.cancel();
    pending = clock.after(debounceMs, () => {
      pending = null;
      look();
    });
  }

  /** One look at a time; a hint during one asks for another. */
  function look(): void {
    if (looking !== null) {
      again = true;
      return;
    }
    looking = lookOnce().finally(() => {
      looking = null;
      if (!again || closed) return;
      again = false;
      look();
    });
  }

  async function lookOnce(): Promise<void> {
    const scan = await scanFolder(dir);
    if (closed) return;
    const missed = follow(scan.folders);
    const differs = fingerprint !== null && fingerprint !== scan.fingerprint;
    fingerprint = scan.fingerprint;
    // A folder that is watched from now on may have got files between the look and the watch.
    if (missed) again = true;
    if (differs) onChange();
  }

  /** Watches these folders and no others; true where there is a new one. */
  function follow(folders: readonly ScannedFolder[]): boolean {
    const ids = new Map(folders.map(({ path, id }) => [path, id]));
    for (const [path, { id, watcher }] of watchers) {
      if (ids.get(path) !== id) drop(path, watcher);
    }
    let added = false;
    for (const [path, id] of ids) {
      if (watchers.has(path)) continue;
      const watcher = tryWatch(path);
      if (watcher === null) continue;
      watchers.set(path, { id, watcher });
      added = true;
    }
    return added;
  }

  function tryWatch(path: string): FSWatcher | null {
    try {
      const watcher = watch(path, { persistent: false });
      watcher.on('change', hint);
      watcher.on('error', () => {
        drop(path, watcher);
        hint();
      });
      return watcher;
    } catch {
      return null; // no watches left, or none on this file system: the poll sees it
    }
  }

  function drop(path: string, watcher: FSWatcher): void {
    watcher.close();
    if (watchers.get(path)?.watcher === watcher) watchers.delete(path);
  }

  let poll: Timer | null = null;

  /** What the poll finds waits for the same quiet time: a file may be half written. */
  async function pollOnce(): Promise<void> {
    const startedAt = clock.now();
    const busy = pending !== null || looking !== null;
    if (!busy && (await scanFolder(dir)).fingerprint !== fingerprint) hint();
    if (!closed) planPoll((clock.now() - startedAt) * MIN_REST);
  }

  function planPoll(restMs: number): void {
    poll = clock.after(Math.max(pollMs, restMs), () => void pollOnce());
  }

  planPoll(0);
  look();
  const first: Promise<void> = looking ?? Promise.resolve();
  return {
    ready: first,
    close() {
      closed = true;
      poll?.cancel();
      pending?.cancel();
      for (const [path, { watcher }] of watchers) drop(path, watcher);
    },
  };
}
