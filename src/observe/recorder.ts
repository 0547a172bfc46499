/**
 * Writes the facts of ended sessions and requests to disk, one line of JSON each, in the form of
 * `docs/recording.md`, and never payload. Writing holds up no session: lines wait in memory. Where
 * the disk is too slow or full, they are dropped and counted.
 */
import { open, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import { errorCode } from '../base/error-code.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { isMovedAway } from './moved-away.ts';

/**
 * Version of the lines. It increases when a field is removed or changes its meaning, not for new
 * fields.
 */
export const RECORDING_VERSION = 1;

export interface RecorderOptions {
  readonly clock: Clock;
  readonly file: string;
  /** A line that would make the file larger goes into a new one. */
  readonly maxBytes?: number;
  /** Number of full files that are kept: `file.1` is the youngest. */
  readonly keep?: number;
  /** The most bytes that wait for the disk; further lines are dropped. */
  readonly maxWaitingBytes?: number;
  /** Called with the number of lines that were written, or dropped. */
  readonly onLines: (result: 'written' | 'dropped', count: number) => void;
  /** Called once, until a line is written again. */
  readonly onFailure: (error: unknown) => void;
  readonly onRecovered: () => void;
}

export interface Recorder {
  /** Returns at once; the line is written later. */
  write(record: SessionRecord): void;
  writeRequest(record: RequestRecord): void;
  /** Resolves when every earlier line is written, or dropped. */
  flush(): Promise<void>;
  /**
   * Closes after a last flush, with a short wait: a disk that hangs must not keep the process
   * running.
   */
  close(): Promise<void>;
}

const CLOSE_MS = 2_000;

const RECORDING_DEFAULTS = { maxBytes: 100_000_000, keep: 5, maxWaitingBytes: 8 * 1024 * 1024 } as const;

/** Size of one write; it splits at lines, so that no line makes a file exceed its limit. */
const CHUNK_BYTES = 256 * 1024;

/** Resolves when the file is open; rejects with the system's error where it cannot be written. */
export async function openRecorder(options: RecorderOptions): Promise<Recorder> {
  const writer = new Writer(options);
  await writer.open();
  return writer;
}

class Writer implements Recorder {
  readonly #options: Required<RecorderOptions>;
  #handle: FileHandle | null = null;
  #size = 0;
  /** True when a failed write may have left a part of a line. */
  #torn = false;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #running: Promise<void> | null = null;
  #failed = false;
  #closed = false;

  constructor(options: RecorderOptions) {
    this.#options = { ...RECORDING_DEFAULTS, ...options };
  }

  async open(): Promise<void> {
    const { file } = this.#options;
    // Only the owner may read which client connects to which service.
    const handle = await open(file, 'a+', 0o600);
    try {
      this.#size = (await handle.stat()).size;
      this.#torn = await endsInPartOfALine(handle, this.#size);
    } catch (error) {
      await handle.close();
      throw error;
    }
    this.#handle = handle;
  }

  write(record: SessionRecord): void {
    this.#add({ version: RECORDING_VERSION, ...record });
  }

  writeRequest(record: RequestRecord): void {
    this.#add({ version: RECORDING_VERSION, kind: 'request', ...record });
  }

  #add(fields: object): void {
    if (this.#closed) return;
    const line = `${JSON.stringify(fields)}\n`;
    const bytes = Buffer.byteLength(line);
    if (this.#waitingBytes + bytes > this.#options.maxWaitingBytes) return this.#options.onLines('dropped', 1);
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    this.#running ??= this.#writeAll().finally(() => {
      this.#running = null;
    });
  }

  async flush(): Promise<void> {
    await this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const ended = this.flush().then(() => this.#closeFile());
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const deadline = this.#options.clock.after(CLOSE_MS, resolve);
    await Promise.race([ended, late]);
    deadline.cancel();
  }

  async #closeFile(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close().catch(() => undefined);
  }

  async #writeAll(): Promise<void> {
    // Sessions that end in one turn share a write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      for (let next = 0; next < lines.length;) next = await this.#writeSome(lines, next);
    }
  }

  /** Writes lines from `from` on, as many as fit; returns the index of the next one. */
  async #writeSome(lines: readonly string[], from: number): Promise<number> {
    const { file, maxBytes, onLines } = this.#options;
    let until = from;
    let text = '';
    let bytes = 0;
    try {
      const first = Buffer.byteLength(lines[from] ?? '');
      if (this.#handle !== null && (await isMovedAway(this.#handle, file))) await this.#closeFile();
      if (this.#handle === null) await this.open();
      if (this.#size > 0 && this.#size + first > maxBytes) await this.#rotate();
      if (this.#torn) text = '\n';
      bytes = text.length;
      for (; until < lines.length; until++) {
        const line = lines[until] ?? '';
        const size = Buffer.byteLength(line);
        if (until > from && (bytes + size > CHUNK_BYTES || this.#size + bytes + size > maxBytes)) break;
        text += line;
        bytes += size;
      }
      await this.#handle?.appendFile(text);
      this.#size += bytes;
      this.#torn = false;
      onLines('written', until - from);
      if (this.#failed) this.#options.onRecovered();
      this.#failed = false;
      return until;
    } catch (error) {
      // Drops the waiting lines too: the next ones try again, and none waits for a disk that stays
      // full.
      onLines('dropped', lines.length - from);
      await this.#fail(error);
      return lines.length;
    }
  }

  async #fail(error: unknown): Promise<void> {
    await this.#closeFile();
    if (!this.#failed) this.#options.onFailure(error);
    this.#failed = true;
  }

  /** Renames `file.4` to `file.5`, … `file` to `file.1`. */
  async #rotate(): Promise<void> {
    const { file, keep } = this.#options;
    await this.#closeFile();
    for (let i = keep - 1; i >= 1; i--) await renameIfThere(`${file}.${i}`, `${file}.${i + 1}`);
    if (keep > 0) await renameIfThere(file, `${file}.1`);
    this.#handle = await open(file, 'w+', 0o600);
    this.#size = 0;
    this.#torn = false;
  }
}

async function endsInPartOfALine(handle: FileHandle, size: number): Promise<boolean> {
  if (size === 0) return false;
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] !== 0x0a;
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
