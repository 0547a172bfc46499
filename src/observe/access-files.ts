/**
 * Adds lines of access logs to files. It holds up no session: lines wait in memory, and where a
 * file is too slow or cannot be written, they are dropped and counted. A file that was moved away,
 * as log rotation does, is made again.
 */
import { constants, write } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Clock, Timer } from '../base/clock.ts';
import { errorCode } from '../base/error-code.ts';
import { within } from '../base/within.ts';
import { isMovedAway } from './moved-away.ts';

export interface AccessFilesOptions {
  readonly clock: Clock;
  /** The most bytes that wait for one file; further lines are dropped. */
  readonly maxWaitingBytes?: number;
  /** Called with the number of lines that were written, or dropped. */
  readonly onLines: (result: 'written' | 'dropped', count: number) => void;
  /** Called once for a file, until it is written again. */
  readonly onFailure: (path: string, error: unknown) => void;
  readonly onRecovered: (path: string) => void;
}

export interface AccessFiles {
  /** Returns at once; the line is written later. */
  write(path: string, line: string): void;
  /** Closes each file; its next line opens the one that is at its path then. */
  reopen(): void;
  /** Resolves when every earlier line is written, or dropped. */
  flush(): Promise<void>;
  /** Closes after a last flush, with a short wait. */
  close(): Promise<void>;
}

const MAX_WAITING_BYTES = 1024 * 1024;
/** A reader of a pipe that is slow gets this time, again and again, until lines are dropped. */
const RETRY_MS = 50;
/** A file that cannot be written is tried again with the first line after this time. */
const PAUSE_MS = 1_000;
/** A file without lines is closed, so that logs of a former configuration hold no descriptor. */
const IDLE_MS = 60_000;
const CLOSE_MS = 2_000;

/**
 * A pipe that has no reader is an error then, in place of a wait without an end. Lines of several
 * processes do not mix, and no terminal takes control.
 */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY;
/**
 * Envoy's mode: who collects logs is often another user. The umask of the process takes from it.
 */
const MODE = 0o644;

/** A socket, which these are under some supervisors, cannot be opened by its path. */
const STANDARD: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 };
const writeTo = promisify(write);

export function createAccessFiles(options: AccessFilesOptions): AccessFiles {
  const files = new Map<string, AccessFile>();
  const disk = new Disk();
  return {
    write(path, line) {
      let file = files.get(path);
      if (file === undefined) {
        file = new AccessFile(path, options, disk);
        files.set(path, file);
      }
      file.write(line);
    },
    reopen() {
      for (const file of files.values()) file.reopen();
    },
    async flush() {
      await Promise.all([...files.values()].map((file) => file.flush()));
    },
    async close() {
      await within(CLOSE_MS, Promise.all([...files.values()].map((file) => file.close())));
    },
  };
}

/**
 * Lets one operation at a time through: a disk that hangs holds one thread of Node's pool, which
 * look-ups of names and the files of the configuration need too.
 */
class Disk {
  #last: Promise<unknown> = Promise.resolve();

  run<Result>(operation: () => Promise<Result>): Promise<Result> {
    const done = this.#last.then(operation);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

class AccessFile {
  readonly #path: string;
  readonly #options: AccessFilesOptions;
  readonly #disk: Disk;
  #handle: FileHandle | null = null;
  /** In place of the handle, where the system opens no second way to it. */
  #standard: number | null = null;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #running: Promise<void> | null = null;
  #failed = false;
  /** Lines before this time are dropped. */
  #pausedUntil = -Infinity;
  #idle: Timer | null = null;
  #closed = false;

  constructor(path: string, options: AccessFilesOptions, disk: Disk) {
    this.#path = path;
    this.#options = options;
    this.#disk = disk;
  }

  write(line: string): void {
    const { clock, maxWaitingBytes = MAX_WAITING_BYTES, onLines } = this.#options;
    const bytes = Buffer.byteLength(line);
    const isPaused = clock.now() < this.#pausedUntil;
    if (this.#closed || isPaused || this.#waitingBytes + bytes > maxWaitingBytes) return onLines('dropped', 1);
    this.#waiting.push(line);
    this.#waitingBytes += bytes;
    this.#running ??= this.#writeAll().finally(() => {
      this.#running = null;
    });
  }

  reopen(): void {
    if (this.#running === null) void this.#release();
  }

  async flush(): Promise<void> {
    await this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
    await this.#release();
  }

  async #writeAll(): Promise<void> {
    this.#idle?.cancel();
    this.#idle = null;
    // Lines of one turn share a write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      try {
        await this.#writeLines(lines);
      } catch (error) {
        this.#fail(lines.length, error);
        await this.#release();
      }
    }
    if (!this.#closed && this.#handle !== null)
      this.#idle = this.#options.clock.after(IDLE_MS, () => void (this.#running === null && this.#release()));
  }

  async #writeLines(lines: readonly string[]): Promise<void> {
    const text = Buffer.from(lines.join(''));
    await this.#disk.run(() => this.#reopen());
    for (let at = 0; at < text.length;) at += await this.#writeSome(text.subarray(at));
    this.#waitingBytes -= text.length;
    this.#options.onLines('written', lines.length);
    if (this.#failed) this.#options.onRecovered(this.#path);
    this.#failed = false;
  }

  /** Returns the number of bytes that were written; 0 where a pipe is full, after a short wait. */
  async #writeSome(rest: Buffer): Promise<number> {
    try {
      const fd = this.#standard;
      const written = await this.#disk.run(async () => (fd === null ? this.#handle?.write(rest) : writeTo(fd, rest)));
      return written?.bytesWritten ?? rest.length;
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN' || this.#closed) throw error;
      await new Promise<void>((resolve) => this.#options.clock.after(RETRY_MS, resolve));
      return 0;
    }
  }

  /** Drops these lines and those that wait: none waits for a disk that stays full. */
  #fail(lines: number, error: unknown): void {
    const { clock, onLines, onFailure } = this.#options;
    onLines('dropped', lines + this.#waiting.length);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#pausedUntil = clock.now() + PAUSE_MS;
    if (!this.#failed) onFailure(this.#path, error);
    this.#failed = true;
  }

  /** Opens the file, again where another one, or none, is at its path now. */
  async #reopen(): Promise<void> {
    if (this.#standard !== null || (this.#handle !== null && !(await isMovedAway(this.#handle, this.#path)))) return;
    await this.#handle?.close().catch(() => undefined);
    this.#handle = null;
    try {
      this.#handle = await open(this.#path, FLAGS, MODE);
    } catch (error) {
      const fd = STANDARD[this.#path];
      if (fd === undefined || errorCode(error) !== 'ENXIO') throw error;
      this.#standard = fd;
    }
  }

  async #release(): Promise<void> {
    this.#idle?.cancel();
    this.#idle = null;
    const handle = this.#handle;
    this.#handle = null;
    await this.#disk.run(async () => handle?.close()).catch(() => undefined);
  }
}
