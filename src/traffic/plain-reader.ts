import type { Socket } from 'node:net';
import { SIZES } from './buffers.ts';
import type { BufferPool } from './buffers.ts';
import type { Meter, Reader } from './reader.ts';
import { withStacks } from './without-stacks.ts';

/**
 * Reads of at most this size are copied on their way into TLS, which writes asynchronously: reading
 * continues meanwhile.
 */
const SMALL = 4 * 1024;
/** The most copies in flight. */
const MAX_COPIES = 4;
/**
 * A buffer shrinks by one step after this many consecutive reads that fit four times into the next
 * smaller one.
 */
const SHRINK_AFTER = 4;
/**
 * After this many bytes of reads that filled their buffer, other connections get a turn: libuv
 * reads up to 32 times while buffers are filled.
 */
const TURN_BYTES = 1024 * 1024;
const NOTHING = Buffer.alloc(1);

/**
 * Reads a plain TCP socket into a buffer that is used again and again. The socket must be made with
 * `onread` of this reader, and paused; reading begins with `start`. When the kernel took a whole
 * write, the same buffer is used for the next read, without an allocation or a copy in user space.
 * Otherwise, and always into TLS, reading waits until the write is done: alternating between two
 * buffers was slower, because less of them stays in the cache.
 */
export class PlainReader implements Reader {
  readonly onread: { readonly buffer: () => Buffer; readonly callback: (bytes: number) => boolean };
  readonly #pool: BufferPool;
  #buffer: Buffer | null = null;
  #step = 0;
  #smallReads = 0;
  #socket: Socket | null = null;
  #sink: Socket | null = null;
  #meter: Meter | null = null;
  #intoTls = false;
  /** The buffer that a write still reads from; reading waits for it. */
  #held: Buffer | null = null;
  #copies = 0;
  /** Bytes of the consecutive reads that filled their buffer. */
  #unbroken = 0;
  /** True while reading waits until a copy is written. */
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

  /** Does nothing: every read is written in the same call. */
  flush(): void {}

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket = null;
    this.#meter = null;
    const buffer = this.#buffer;
    this.#buffer = null;
    if (buffer !== null && buffer !== this.#held) this.#pool.give(buffer);
    if (this.#held === null) this.#sink = null;
  }

  /**
   * Node calls this when the socket is made and after every read, also after one that reading waits
   * for: the moment to change the size. While a write holds the old buffer, the new one waits for
   * its first read.
   */
  #current(): Buffer {
    const buffer = this.#buffer;
    if (this.#closed) return NOTHING;
    if (buffer !== null && buffer.length === SIZES[this.#step]) return buffer;
    if (buffer !== null && buffer !== this.#held) this.#pool.give(buffer);
    this.#buffer = this.#pool.take(this.#step);
    this.#step = SIZES.indexOf(this.#buffer.length);
    return this.#buffer;
  }

  #onRead(bytes: number): boolean {
    withStacks();
    const sink = this.#sink;
    const buffer = this.#buffer;
    if (sink === null || buffer === null || this.#closed) return false;
    this.#meter?.add(bytes);
    this.#resize(buffer.length, bytes);
    if (this.#intoTls && bytes <= SMALL) return this.#copy(sink, buffer.subarray(0, bytes));
    sink.write(buffer.subarray(0, bytes), this.#flushed);
    if (sink.writableLength > 0) {
      this.#held = buffer;
      return false;
    }
    this.#unbroken = bytes === buffer.length ? this.#unbroken + bytes : 0;
    if (this.#unbroken < TURN_BYTES) return true;
    this.#unbroken = 0;
    setImmediate(this.#nextTurn);
    return false;
  }

  /** Called after every write from the buffer; in the next tick when the kernel took all of it. */
  readonly #flushed = (): void => {
    const held = this.#held;
    if (held === null || (this.#sink !== null && this.#sink.writableLength > 0 && !this.#sink.destroyed)) return;
    this.#held = null;
    if (held !== this.#buffer) this.#pool.give(held);
    if (!this.#closed) this.#socket?.resume();
    else this.#sink = null;
  };

  readonly #nextTurn = (): void => {
    if (!this.#closed && this.#held === null) this.#socket?.resume();
  };

  #copy(sink: Socket, bytes: Buffer): boolean {
    sink.write(Buffer.from(bytes), this.#copied);
    if (++this.#copies < MAX_COPIES) return true;
    this.#waiting = true;
    return false;
  }

  readonly #copied = (): void => {
    this.#copies--;
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
