/**
 * Sends lines of access logs over TCP, as kuma-dp does for backends of type Tcp. It holds up no
 * session: lines wait in memory while the receiver is away or reads slowly, up to a bound, and are
 * dropped and counted above it.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { within } from '../base/within.ts';
import type { AccessFilesOptions } from './access-files.ts';

export interface AccessStreams {
  /** Returns at once. `to` is `tcp://host:port`. */
  write(to: string, line: string): void;
  /** Closes after a last flush, with a short wait. */
  close(): Promise<void>;
}

const MAX_WAITING_BYTES = 1024 * 1024;
const CONNECT_MS = 10_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** A connection without lines is closed, so that logs of a former configuration hold none. */
const IDLE_MS = 60_000;
const CLOSE_MS = 2_000;
/** A receiver that takes no byte for so long is connected anew: its name may lead elsewhere now. */
const STALLED_MS = 30_000;
/** A receiver that is away and gets no new line for so long belongs to a former configuration. */
const FORGOTTEN_MS = 600_000;

export function createAccessStreams(options: AccessFilesOptions): AccessStreams {
  const streams = new Map<string, AccessStream>();
  return {
    write(to, line) {
      let stream = streams.get(to);
      if (stream === undefined) {
        stream = new AccessStream(to, options, () => streams.delete(to));
        streams.set(to, stream);
      }
      stream.write(line);
    },
    async close() {
      await within(CLOSE_MS, Promise.all([...streams.values()].map((stream) => stream.flush())));
      for (const stream of streams.values()) stream.close();
    },
  };
}

class AccessStream {
  readonly #to: string;
  readonly #options: AccessFilesOptions;
  readonly #clock: Clock;
  #socket: Socket | null = null;
  #isConnected = false;
  #waiting: string[] = [];
  /** Bytes of lines that the system has not taken. */
  #bytes = 0;
  #retryMs = FIRST_RETRY_MS;
  #retry: Timer | null = null;
  #idle: Timer | null = null;
  #stalled: Timer | null = null;
  #failed = false;
  #closed = false;
  #whenEmpty: (() => void) | null = null;
  readonly #forget: () => void;
  /** On the monotonic clock. */
  #lastLineAt: number;

  constructor(to: string, options: AccessFilesOptions, forget: () => void) {
    this.#to = to;
    this.#forget = forget;
    this.#lastLineAt = options.clock.now();
    this.#options = options;
    this.#clock = options.clock;
  }

  write(line: string): void {
    const { maxWaitingBytes = MAX_WAITING_BYTES, onLines } = this.#options;
    const bytes = Buffer.byteLength(line);
    if (this.#closed || this.#bytes + bytes > maxWaitingBytes) return onLines('dropped', 1);
    this.#bytes += bytes;
    this.#lastLineAt = this.#clock.now();
    // Lines of one turn share a write.
    if (this.#waiting.push(line) === 1) queueMicrotask(() => this.#pass());
  }

  /** Resolves when the system has taken each line, or the receiver is away. */
  flush(): Promise<void> {
    this.#pass();
    if (this.#bytes === 0 || this.#retry !== null) return Promise.resolve();
    return new Promise((resolve) => (this.#whenEmpty = resolve));
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#idle?.cancel();
    this.#stalled?.cancel();
    this.#dropWaiting();
    this.#socket?.destroy();
  }

  #pass(): void {
    if (this.#waiting.length === 0 || this.#closed) return;
    if (this.#socket === null) {
      if (this.#retry === null) this.#connect();
      return;
    }
    if (!this.#isConnected) return;
    const lines = this.#waiting;
    this.#waiting = [];
    const text = Buffer.from(lines.join(''));
    this.#idle?.cancel();
    this.#idle = this.#clock.after(IDLE_MS, () => this.#leave());
    this.#socket.write(text, (error) => {
      this.#options.onLines(error ? 'dropped' : 'written', lines.length);
      this.#bytes -= text.length;
      if (this.#bytes === 0) this.#emptied();
      this.#watch();
    });
    this.#watch();
  }

  /** Begins the time anew in which the receiver has to take bytes, where it has some to take. */
  #watch(): void {
    const socket = this.#socket;
    this.#stalled?.cancel();
    this.#stalled = null;
    if (socket === null || socket.writableLength === 0) return;
    this.#stalled = this.#clock.after(STALLED_MS, () =>
      socket.destroy(new Error(`the receiver has read nothing for ${STALLED_MS} ms`)),
    );
  }

  /** Ends a connection without lines; the next line opens another. */
  #leave(): void {
    const socket = this.#socket;
    // Lines that the receiver has not taken stay its own: STALLED_MS ends such a connection.
    if (socket === null || this.#bytes > 0) return;
    this.#socket = null;
    this.#isConnected = false;
    socket.end();
  }

  #dropWaiting(): void {
    if (this.#waiting.length > 0) this.#options.onLines('dropped', this.#waiting.length);
    for (const line of this.#waiting) this.#bytes -= Buffer.byteLength(line);
    this.#waiting = [];
  }

  #emptied(): void {
    this.#whenEmpty?.();
    this.#whenEmpty = null;
  }

  #connect(): void {
    const { host, port } = addressIn(this.#to);
    const socket = connect({ host, port });
    this.#socket = socket;
    const deadline = this.#clock.after(CONNECT_MS, () => socket.destroy(new Error(`no connection after ${CONNECT_MS} ms`)));
    let failure: Error | null = null;
    socket.on('error', (error) => (failure = error));
    socket.once('connect', () => {
      deadline.cancel();
      this.#isConnected = true;
      this.#retryMs = FIRST_RETRY_MS;
      if (this.#failed) this.#options.onRecovered(this.#to);
      this.#failed = false;
      this.#pass();
    });
    // A receiver has nothing to say; its end is noticed only while its bytes are read.
    socket.resume();
    socket.once('close', () => {
      deadline.cancel();
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#isConnected = false;
      this.#lost(failure);
    });
  }

  #lost(failure: Error | null): void {
    this.#idle?.cancel();
    this.#idle = null;
    this.#watch();
    if (this.#closed) return;
    if (failure !== null && !this.#failed) {
      this.#failed = true;
      this.#options.onFailure(this.#to, failure);
    }
    this.#emptied();
    if (this.#clock.now() - this.#lastLineAt >= FORGOTTEN_MS) {
      this.#dropWaiting();
      return this.#forget();
    }
    this.#retry = this.#clock.after(this.#retryMs, () => {
      this.#retry = null;
      this.#pass();
    });
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
  }
}

function addressIn(to: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(to);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
}
