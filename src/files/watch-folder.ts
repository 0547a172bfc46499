/**
 * Notices changes of a folder's resource files. Events of the system are only a hint to look: the
 * fingerprint decides.
 */
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import type { Clock, Timer } from '../base/clock.ts';
import { scanFolder } from './scan.ts';
import type { ScannedFolder } from './scan.ts';

export interface FolderWatchOptions {
  readonly clock: Clock;
  /** Called after each change, once it was quiet for `debounceMs`. */
  readonly onChange: () => void;
  readonly debounceMs?: number;
  /**
   * Finds what the system does not report: files behind links, network file systems, too many
   * watches.
   */
  readonly pollMs?: number;
  /**
   * The fingerprint of what the caller has read already. Absent means the state at the first look.
   */
  readonly since?: string;
}

export interface FolderWatcher {
  /** Resolves after the first look: `onChange` is called for changes from then on. */
  readonly ready: Promise<void>;
  /** Ends all watches; `onChange` is not called afterwards. */
  close(): void;
}

/** The most delays of a look, so that continuous hints do not prevent it. */
const MAX_DEBOUNCES = 10;
/** Looking takes at most a twentieth of the time: a folder of many files is polled less often. */
const MIN_REST = 20;

export function watchFolder(dir: string, options: FolderWatchOptions): FolderWatcher {
  return new Watch(dir, options);
}

class Watch implements FolderWatcher {
  readonly ready: Promise<void>;
  readonly #dir: string;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #debounceMs: number;
  readonly #pollMs: number;
  readonly #watchers = new Map<string, { readonly id: string; readonly watcher: FSWatcher }>();
  #fingerprint: string | null;
  #pending: Timer | null = null;
  #poll: Timer | null = null;
  #hintedAt = 0;
  #looking: Promise<void> | null = null;
  #again = false;
  #closed = false;

  constructor(dir: string, { clock, onChange, debounceMs = 100, pollMs = 2_000, since }: FolderWatchOptions) {
    this.#dir = dir;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#debounceMs = debounceMs;
    this.#pollMs = pollMs;
    this.#fingerprint = since ?? null;
    this.#planPoll(0);
    this.#look();
    this.ready = this.#looking ?? Promise.resolve();
  }

  close(): void {
    this.#closed = true;
    this.#poll?.cancel();
    this.#pending?.cancel();
    for (const [path, { watcher }] of this.#watchers) this.#drop(path, watcher);
  }

  /** Notes that something may have changed. */
  #hint(): void {
    if (this.#closed) return;
    const now = this.#clock.now();
    if (this.#pending === null) this.#hintedAt = now;
    else if (now - this.#hintedAt >= this.#debounceMs * MAX_DEBOUNCES) return;
    this.#pending?.cancel();
    this.#pending = this.#clock.after(this.#debounceMs, () => {
      this.#pending = null;
      this.#look();
    });
  }

  /** Runs one look at a time; a hint during it asks for another. */
  #look(): void {
    if (this.#looking !== null) {
      this.#again = true;
      return;
    }
    this.#looking = this.#lookOnce().finally(() => {
      this.#looking = null;
      if (!this.#again || this.#closed) return;
      this.#again = false;
      this.#look();
    });
  }

  async #lookOnce(): Promise<void> {
    const scan = await scanFolder(this.#dir);
    if (this.#closed) return;
    const missed = this.#follow(scan.folders);
    const differs = this.#fingerprint !== null && this.#fingerprint !== scan.fingerprint;
    this.#fingerprint = scan.fingerprint;
    // A newly watched folder may have got files between the look and the watch.
    if (missed) this.#again = true;
    if (differs) this.#onChange();
  }

  /** Watches exactly these folders; returns true where one is new. */
  #follow(folders: readonly ScannedFolder[]): boolean {
    const ids = new Map(folders.map(({ path, id }) => [path, id]));
    for (const [path, { id, watcher }] of this.#watchers) {
      if (ids.get(path) !== id) this.#drop(path, watcher);
    }
    let added = false;
    for (const [path, id] of ids) {
      if (this.#watchers.has(path)) continue;
      const watcher = this.#tryWatch(path);
      if (watcher === null) continue;
      this.#watchers.set(path, { id, watcher });
      added = true;
    }
    return added;
  }

  #tryWatch(path: string): FSWatcher | null {
    try {
      const watcher = watch(path, { persistent: false });
      watcher.on('change', () => this.#hint());
      watcher.on('error', () => {
        this.#drop(path, watcher);
        this.#hint();
      });
      return watcher;
    } catch {
      return null; // no watches left, or none on this file system: the poll notices changes
    }
  }

  #drop(path: string, watcher: FSWatcher): void {
    watcher.close();
    if (this.#watchers.get(path)?.watcher === watcher) this.#watchers.delete(path);
  }

  /** A change that the poll finds waits for the same quiet time: a file may be half written. */
  async #pollOnce(): Promise<void> {
    const startedAt = this.#clock.now();
    const busy = this.#pending !== null || this.#looking !== null;
    if (!busy && (await scanFolder(this.#dir)).fingerprint !== this.#fingerprint) this.#hint();
    if (!this.#closed) this.#planPoll((this.#clock.now() - startedAt) * MIN_REST);
  }

  #planPoll(restMs: number): void {
    this.#poll = this.#clock.after(Math.max(this.#pollMs, restMs), () => void this.#pollOnce());
  }
}
