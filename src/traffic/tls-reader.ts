import type { Socket } from 'node:net';
import { readRest } from './adopt.ts';
import { SIZES } from './buffers.ts';
import type { BufferPool } from './buffers.ts';
import { freeMemory } from './free-memory.ts';
import type { Meter, Reader } from './reader.ts';
import { readTlsInto } from './tls-onread.ts';
import { UnderTls } from './under-tls.ts';

/** The most writes into TLS in flight, each with a buffer of the pool. */
const MAX_IN_FLIGHT = 4;
/**
 * The largest buffer, as an index into SIZES. A turn of the loop brings at most 32 reads of 16 KB.
 */
const LARGEST = 3;

/** The most plain text of one TLS record. */
const RECORD = 16 * 1024;

let room: Buffer | null = null;

/**
 * Returns the memory that the TLS sockets of this thread are decrypted into, one record at a time:
 * it is copied out in the same call. So it is always in the cache, and the garbage collector has
 * nothing to do.
 */
function sharedRoom(): Buffer {
  return (room ??= Buffer.allocUnsafeSlow(RECORD));
}

/**
 * Reads a TLS socket. Its plain text comes in pieces of at most 16 KB. This reader gathers the
 * pieces of one turn of the loop in one buffer of the pool, and writes it at once. `intoRoom`
 * decrypts them all into the same memory (tls-onread.ts). Without it, or where Node cannot do that,
 * each piece comes in memory of Node, which is freed at once where nothing else has a part of it.
 */
export class TlsReader implements Reader {
  readonly #pool: BufferPool;
  readonly #intoRoom: boolean;
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

  constructor(pool: BufferPool, intoRoom: boolean) {
    this.#pool = pool;
    this.#intoRoom = intoRoom;
  }

  start(source: Socket, sink: Socket, options: { readonly intoTls: boolean; readonly meter: Meter }): void {
    // The source was gone before it was joined, and what it still holds has no way to go.
    if (this.#closed) return;
    this.#source = source;
    this.#under = UnderTls.below(source);
    this.#sink = sink;
    this.#intoTls = options.intoTls;
    this.#meter = options.meter;
    if (!this.#intoRoom || !this.#readIntoRoom(source)) source.on('data', this.#onData);
    // The bytes that TLS held already may have filled the sink.
    if (!this.#paused) source.resume();
  }

  #readIntoRoom(source: Socket): boolean {
    // TLS has decrypted what came with the handshake, and while the endpoint was being connected.
    const rest = readRest(source);
    const isInto = readTlsInto(source, { buffer: sharedRoom, callback: this.#onRoom });
    // Only now: a full sink pauses the source, which stops TLS where it reads into the room.
    // In pieces: a buffer of the pool may have room for one record only.
    for (let at = 0; rest !== null && at < rest.length; at += RECORD) {
      const piece = rest.subarray(at, at + RECORD);
      this.#gather(piece, piece.length);
    }
    return isInto;
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
    this.#gather(chunk, chunk.length);
    freeMemory(chunk);
  };

  readonly #onRoom = (bytes: number): boolean => {
    if (!this.#closed) this.#gather(sharedRoom(), bytes);
    return true;
  };

  /** Copies the first bytes of `from`, at most a record. */
  #gather(from: Buffer, length: number): void {
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
    from.copy(this.#buffer, this.#length, 0, length);
    this.#length += length;
  }

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
