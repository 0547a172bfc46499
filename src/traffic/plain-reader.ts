import type { Socket } from 'node:net';
import { SIZES } from './buffers.ts';
import type { BufferPool } from './buffers.ts';

/** Whoever counts the bytes of a direction and notes that something moved. */
export interface Meter {
  add(bytes: number): void;
}

/** Reads of at most this size are copied on their way into TLS, so that the buffer is free again at once. */
const SMALL = 4 * 1024;
/** Writes into TLS under way at once, each holding a buffer of the pool. */
const MAX_IN_FLIGHT = 4;
/** After this many reads in a row that would fit the next smaller buffer four times over, the buffer shrinks one step. */
const SHRINK_AFTER = 64;
const NOTHING = Buffer.alloc(1);

/**
 * Reads a plain TCP socket into a buffer that is used again and again. The socket must have been made with `onread` of this reader, and paused;
 * nothing is read before `start`. Into a plain socket: when the kernel took all of a write the same buffer is read into again, without an allocation
 * or a copy in user space; otherwise reading waits for the flush. Into TLS, which takes a write later: up to four buffers take turns.
 */
export class PlainReader {
  readonly onread: { readonly buffer: () => Buffer; readonly callback: (bytes: number) => boolean };
  readonly #pool: BufferPool;
  #buffer: Buffer | null = null;
  #step = 0;
  #smallReads = 0;
  #socket: Socket | null = null;
  #sink: Socket | null = null;
  #meter: Meter | null = null;
  #intoTls = false;
  /** A plain write still reads from the buffer. */
  #held = false;
  #tlsWrites = 0;
  /** Reading stopped until a TLS write is done. */
  #waiting = false;
  #closed = false;

  constructor(pool: BufferPool) {
    this.#pool = pool;
    this.onread = { buffer: () => this.#current(), callback: (bytes) => this.#onRead(bytes) };
  }

  start(socket: Socket, sink: Socket, options: { readonly intoTls: boolean; readonly meter: Meter }): void {
    this.#socket = socket;
    this.#sink = sink;
    this.#intoTls = options.intoTls;
    this.#meter = options.meter;
    socket.resume();
  }

  /** Gives the buffer back; a write that is still under way gives back its own when it is done or given up. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#buffer !== null && !this.#held) this.#give(this.#buffer);
  }

  /** Node asks for it when the socket is made and after every read: the moment to change its size. */
  #current(): Buffer {
    const buffer = this.#buffer;
    if (this.#closed) return NOTHING;
    if (buffer !== null && (this.#held || buffer.length === SIZES[this.#step])) return buffer;
    if (buffer !== null) this.#give(buffer);
    this.#buffer = this.#pool.take(this.#step);
    return this.#buffer;
  }

  #give(buffer: Buffer): void {
    this.#pool.give(buffer);
    this.#buffer = null;
  }

  #onRead(bytes: number): boolean {
    const sink = this.#sink;
    const buffer = this.#buffer;
    if (sink === null || buffer === null || this.#closed) return false;
    this.#meter?.add(bytes);
    return this.#intoTls ? this.#intoTlsSink(sink, buffer, bytes) : this.#intoPlainSink(sink, buffer, bytes);
  }

  #intoPlainSink(sink: Socket, buffer: Buffer, bytes: number): boolean {
    this.#resize(buffer.length, bytes);
    sink.write(buffer.subarray(0, bytes), this.#flushed);
    if (sink.writableLength === 0) return true;
    this.#held = true;
    return false;
  }

  /** Called after every plain write, in the next tick where the kernel took all of it. */
  readonly #flushed = (): void => {
    if (!this.#held || (this.#sink !== null && this.#sink.writableLength > 0 && !this.#sink.destroyed)) return;
    this.#held = false;
    if (!this.#closed) this.#socket?.resume();
    else if (this.#buffer !== null) this.#give(this.#buffer);
  };

  #intoTlsSink(sink: Socket, buffer: Buffer, bytes: number): boolean {
    this.#resize(buffer.length, bytes);
    if (bytes <= SMALL) {
      this.#tlsWrites++;
      sink.write(Buffer.from(buffer.subarray(0, bytes)), this.#tlsWritten);
    } else {
      this.#tlsWrites++;
      this.#buffer = null;
      sink.write(buffer.subarray(0, bytes), () => {
        this.#pool.give(buffer);
        this.#tlsWritten();
      });
    }
    if (this.#tlsWrites < MAX_IN_FLIGHT) return true;
    this.#waiting = true;
    return false;
  }

  readonly #tlsWritten = (): void => {
    this.#tlsWrites--;
    if (!this.#waiting) return;
    this.#waiting = false;
    if (!this.#closed) this.#socket?.resume();
  };

  #resize(size: number, bytes: number): void {
    if (bytes === size) {
      this.#smallReads = 0;
      if (this.#step < SIZES.length - 1) this.#step++;
    } else if (this.#step > 0 && bytes * 4 < (SIZES[this.#step - 1] ?? 0)) {
      this.#smallReads++;
      if (this.#smallReads < SHRINK_AFTER) return;
      this.#smallReads = 0;
      this.#step--;
    } else this.#smallReads = 0;
  }
}
