import { join } from 'node:path';
import { inTurns } from '../../base/clock.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { readPrivateFile, writePrivateFile } from '../../files/private-file.ts';
import type { AdsState } from '../../xds/messages/ads-state.ts';
import type { Accept } from '../../xds/stream/held-resources.ts';
import { keptBytes, readKept } from '../../xds/stream/kept-state.ts';
import type { KeptOwner, KeptRead } from '../../xds/stream/kept-state.ts';

export interface KeptOptions {
  readonly clock: Clock;
  readonly dir: string;
  readonly owner: KeptOwner;
  /** Version of this package. */
  readonly version: string;
  /** Called after each write: null where it succeeded, else why not. */
  readonly onWritten: (problem: string | null) => void;
}

/** The last good configuration of one control plane, in a file. Neither direction ever throws. */
export interface KeptConfiguration {
  readonly path: string;
  /** Null where none is kept. */
  read(accept: Accept): Promise<KeptRead | null>;
  /** Writes the state soon, and later ones seldom. The same state is written once. */
  keep(state: AdsState): void;
  /** Writes what still waits, and ends. */
  close(): Promise<void>;
}

/** Ten thousand services take about 30 MB. */
export const MAX_KEPT_BYTES: number = 128 * 1024 * 1024;
/** A first configuration comes in some responses. */
const SOON_MS = 1_000;
/** Endpoints may change each second: the file is written at most this often. */
const SELDOM_MS = 30_000;
/** A disk that is full or read-only may change by then. */
const AGAIN_MS = 300_000;

export function keptConfiguration(options: KeptOptions): KeptConfiguration {
  const { clock, dir, owner, version, onWritten } = options;
  const path = join(dir, fileName(owner));
  let wanted: AdsState | null = null;
  let written: AdsState | null = null;
  let waiting: Timer | null = null;
  let closed = false;
  let notBefore = -Infinity;
  /** One write after another. */
  let last: Promise<void> = Promise.resolve();

  /** Returns why it could not be written; null when it is. */
  async function write(state: AdsState): Promise<string | null> {
    try {
      const pieces = await inTurns(keptBytes(state, owner, { savedAt: clock.wall(), writtenBy: version }));
      const size = pieces.reduce((sum, { length }) => sum + length, 0);
      if (size > MAX_KEPT_BYTES) return `it would have ${size} bytes; allowed are ${MAX_KEPT_BYTES}`;
      return await writePrivateFile(path, pieces);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async function writeAndTell(state: AdsState): Promise<void> {
    const problem = await write(state);
    onWritten(problem);
    if (problem === null || closed) return;
    written = null;
    waiting ??= clock.after(AGAIN_MS, flush);
  }

  function flush(): void {
    waiting?.cancel();
    waiting = null;
    const state = wanted;
    if (state === null || state === written) return;
    written = state;
    notBefore = clock.now() + SELDOM_MS;
    last = last.then(() => writeAndTell(state));
  }

  return {
    path,
    async read(accept) {
      const read = await readPrivateFile(path, MAX_KEPT_BYTES);
      if (read.kind === 'absent') return null;
      return read.kind === 'refused' ? read : readKept(read.bytes, owner, accept);
    },
    keep(state) {
      wanted = state;
      if (state !== written && !closed) waiting ??= clock.after(Math.max(SOON_MS, notBefore - clock.now()), flush);
    },
    close() {
      closed = true;
      flush();
      return last;
    },
  };
}

/** One file for each proxy: a process may join as several. Names are made safe for a path. */
function fileName({ mesh, name }: KeptOwner): string {
  const [of, as] = [mesh, name].map((text) => encodeURIComponent(text.toWellFormed()));
  return mesh === '' ? `${as}.kept` : `${as}@${of}.kept`;
}
