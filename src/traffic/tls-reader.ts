import type { Socket } from 'node:net';
import { SIZES } from './buffers.ts';
import type { BufferPool } from './buffers.ts';
import { freeMemory } from './free-memory.ts';
import type { Meter, Reader } from './reader.ts';
import { UnderTls } from './under-tls.ts';

/** The most writes into TLS in flight, each with a buffer of the pool. */
const MAX_IN_FLIGHT = 4;
/**
 * The largest buffer, as an index into SIZES. A turn of the loop brings at most 32 reads of 16 KB.
 */
const LARGEST = 3;

/**
 * Reads a TLS socket. Node returns its plain text in pieces of at most 16 KB, each in memory of its
 * own that only the garbage collector frees. This reader gathers the pieces of one turn of the loop
 * in one buffer of the pool, writes it at once, and frees the memory of the pieces at once: so the
 * next record is decrypted into the same few pages, which are still in the cache. It uses only
 * documented API: `data`, `pause`, `write`, `ArrayBuffer.transfer`.
 */
export class TlsReader implements Reader {
  readonly #pool: BufferPool;
  /** Knows when TLS has all of what was read; null where TLS runs over no stream of ours. */
  #under: UnderTls | null = null;
  #source: Socket | null = null;
  #sink: Socket | null = null;
  #meter: Meter | null = null;
  #intoTls = false;
  #step = 0;
  #buffer: Buffer | null = null;
  #length = 0;
  #scheduled = false;
  /** Buffers of writes that are not done, oldest first: writes end in their order. */
  readonly #writing: Buffer[] = [];
  #paused = false;
  #closed = false;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  start(source: Socket, sink: Socket, options: { readonly intoTls: boolean; readonly meter: Meter }): void {
    this.#source = source;
    this.#under = UnderTls.below(source);
    this.#sink = sink;
    this.#intoTls = options.intoTls;
    this.#meter = options.meter;
    source.on('data', this.#onData);
    source.resume();
  }

  flush(): void {
    const buffer = this.#buffer;
    if (buffer === null || this.#closed) return;
    const length = this.#length;
    this.#buffer = null;
    this.#length = 0;
    if (this.#step > 0 && length * 8 < buffer.length) this.#step--;
    this.#write(buffer, length);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#source?.removeListener('data', this.#onData);
    if (this.#buffer !== null) this.#pool.give(this.#buffer);
    this.#buffer = null;
    this.#source = null;
    this.#under = null;
    this.#sink = null;
    this.#meter = null;
  }

  readonly #onData = (chunk: Buffer): void => {
    const { length } = chunk;
    this.#meter?.add(length);
    if (!this.#scheduled) {
      this.#scheduled = true;
      if (this.#under?.afterRead(this.#turnEnds) !== true) setImmediate(this.#turnEnds);
    }
    if (this.#buffer !== null && this.#length + length > this.#buffer.length) {
      if (this.#step < LARGEST) this.#step++;
      this.flush();
    }
    while (length > (SIZES[this.#step] ?? Infinity)) this.#step++;
    this.#buffer ??= this.#pool.take(this.#step);
    this.#buffer.set(chunk, this.#length);
    this.#length += length;
    freeMemory(chunk);
  };

  readonly #turnEnds = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  #write(buffer: Buffer, length: number): void {
    const sink = this.#sink;
    if (sink === null) return;
    this.#writing.push(buffer);
    sink.write(buffer.subarray(0, length), this.#written);
    const full = this.#intoTls ? this.#writing.length >= MAX_IN_FLIGHT : sink.writableLength > 0;
    if (!full || this.#paused) return;
    this.#paused = true;
    this.#source?.pause();
  }

  /**
   * Called in the next tick when the kernel took all of it at once, otherwise when it has, or when
   * the sink is gone.
   */
  readonly #written = (): void => {
    const buffer = this.#writing.shift();
    if (buffer !== undefined) this.#pool.give(buffer);
    if (!this.#paused || this.#closed || (!this.#intoTls && this.#writing.length > 0)) return;
    this.#paused = false;
    this.#source?.resume();
  };
}
