import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ignoreError } from '../base/ignore-error.ts';
import { RecordCursor } from '../wire/record-cursor.ts';
import { freeMemory } from './free-memory.ts';
import type { Leaving } from './leaving.ts';
import { SharedReader, readShared } from './shared-reader.ts';
import { TlsWrites } from './tls-writes.ts';
import type { Done } from './tls-writes.ts';
import { nextShare } from './turns.ts';
import { UselessCount, UselessRecords } from './useless-records.ts';

/** The size of the reads of a socket that is not read into the shared buffer. */
const FULL_READ = 64 * 1024;
/**
 * After this many bytes, other connections get a turn: libuv reads up to 32 times while reads are
 * full. Decrypting this much takes a millisecond.
 */
const TURN_BYTES = 1024 * 1024;
/** The same limit as time, for input that is expensive for its length: many small records. */
const TURN_MS = 2;
/** Records that TLS gets at once after the handshake; before that it gets one at a time. */
const BATCH = 16;
/** A connection that is read this often after its handshake is worth another socket. */
const SHARED_AFTER = 4;

/**
 * The stream that TLS runs over in place of the socket. Node's TLS reads a socket in pieces of 16
 * KB and 1 KB, with a call of the kernel and one of JavaScript for each. This stream reads 64 KB at
 * a time. It does without the queues of a stream, which cost more than a small message: TLS gets
 * what was read in the same call, and what it writes goes to the socket in the same call. It uses
 * only documented API: TLS over a `stream.Duplex`, `ArrayBuffer.transfer`.
 */
export class UnderTls extends Duplex {
  /** The connection whose bytes OpenSSL is reading at this moment. */
  static #fed: UnderTls | null = null;
  static readonly #of = new WeakMap<Socket, UnderTls>();
  /** Called once, when TLS or the connection has ended, with the error of the connection. */
  onEnd: ((error: Error | null) => void) | null = null;
  /** Called when the handshake is done; null where nothing waits for it. */
  onSecure: ((tls: TLSSocket) => void) | null = null;
  #raw: Socket;
  #reader: SharedReader | null;
  readonly #writes = new TlsWrites();
  readonly #cursor = new RecordCursor();
  /** The last read. TLS has its bytes before `#at`; null when it has all. */
  #chunk: Buffer | null = null;
  #at = 0;
  /** True when the memory of the chunk belongs to its caller. */
  #foreign = false;
  /** Set when its handshake is done. */
  #tls: Socket | null = null;
  /** True while TLS reads. */
  #flowing = false;
  #resuming = false;
  /** Bytes of the consecutive full reads, and the time that TLS took for them. */
  #unbroken = 0;
  #spentMs = 0;
  #othersTurn = false;
  #feeding = false;
  #afterRead: (() => void) | null = null;
  #rawEnded = false;
  #ended = false;
  readonly #useless = new UselessCount();
  #reads = 0;
  #onMoved: ((raw: Socket) => void) | null = null;
  /** True when TLS has written since the last piece. */
  #wrote = false;
  /** Set when an alert was written in place of TLS, and the peer has some time to read it. */
  #leaving: Leaving | null = null;

  /** `raw` is paused, or not connected yet. `reader` is the one that it was made with. */
  constructor(raw: Socket, reader: SharedReader | null = null) {
    // Both directions may be over here while TLS still has unread bytes: after the handshake TLS
    // ends this stream, not the other way round.
    super({ allowHalfOpen: true, autoDestroy: false });
    super.pause();
    this.#raw = raw;
    this.#reader = reader;
    raw.on('error', this.#onRawError);
    raw.on('close', this.#onRawClose);
  }

  /**
   * The stream of the TLS socket whose handshake event is being emitted. Node gives no other way to
   * find it.
   */
  static get current(): UnderTls | null {
    return UnderTls.#fed;
  }

  /** Returns the stream under a TLS socket whose handshake is done. */
  static below(tls: Socket): UnderTls | null {
    return UnderTls.#of.get(tls) ?? null;
  }

  /** The connection; another object when it is read into the shared buffer. */
  get raw(): Socket {
    return this.#raw;
  }

  /** Starts when TLS listens. `first` was read before; its memory is not freed. */
  start(first: Buffer | null): void {
    this.#listen();
    this.#chunk = first;
    this.#foreign = true;
    if (first !== null) this.#raw.pause();
    this.#feedSoon();
  }

  #listen(): void {
    const reader = this.#reader;
    this.#raw.on('end', this.#onRawEnd);
    if (reader === null) this.#raw.on('data', this.#onData);
    else {
      reader.onBytes = this.#onShared;
      this.#raw.resume();
    }
  }

  readonly #onRawError = (error: Error): void => {
    this.destroy(error);
  };

  readonly #onRawClose = (): void => {
    if (this.#tls === null || !this.#raw.readableEnded || !this.#raw.writableFinished) this.destroy();
  };

  readonly #onRawEnd = (): void => {
    if (this.destroyed) return;
    this.#rawEnded = true;
    this.#feed();
  };

  readonly #onData = (chunk: Buffer): void => {
    this.#take(chunk, false, chunk.length >= FULL_READ);
    if (this.#onMoved !== null && ++this.#reads === SHARED_AFTER) process.nextTick(this.#moveToShared);
  };

  readonly #onShared = (chunk: Buffer, isFull: boolean): void => {
    this.#take(chunk, true, isFull);
    if (this.#chunk !== chunk) return;
    this.#chunk = Buffer.allocUnsafeSlow(chunk.length - this.#at);
    chunk.copy(this.#chunk, 0, this.#at);
    this.#at = 0;
    this.#foreign = false;
  };

  #take(chunk: Buffer, foreign: boolean, isFull: boolean): void {
    if (isFull) this.#unbroken += chunk.length;
    else this.#unbroken = this.#spentMs = 0;
    this.#chunk = chunk;
    this.#at = 0;
    this.#foreign = foreign;
    this.#feed();
    if (this.#unbroken >= TURN_BYTES) this.#giveWay(nextShare);
  }

  /**
   * Lets a connection that is read again and again be read into the shared buffer. `onMoved` gets
   * its other socket.
   */
  shareReads(onMoved: (raw: Socket) => void): void {
    if (this.#reader === null) this.#onMoved = onMoved;
  }

  readonly #moveToShared = (): void => {
    const old = this.#raw;
    if (this.destroyed || this.#leaving !== null || this.#chunk !== null) return;
    const reader = new SharedReader();
    const moved = readShared(old, reader);
    if (moved === null) return reader.close();
    this.#reader = reader;
    const raw = moved.socket;
    this.#raw = raw;
    raw.on('error', ignoreError);
    raw.on('error', this.#onRawError);
    raw.on('close', this.#onRawClose);
    this.#onMoved?.(raw);
    this.#onMoved = null;
    this.#chunk = moved.rest;
    this.#at = 0;
    this.#foreign = true;
    this.#listen();
    this.#feed();
  };

  /**
   * Gives TLS what was read, piece by piece, while it reads and this connection has its turn. When
   * TLS stops reading, the rest waits.
   */
  #feed(): void {
    if (this.#leaving !== null || this.#feeding) return;
    this.#feeding = true;
    try {
      while (this.#chunk !== null && this.#flowing && !this.#othersTurn && !this.destroyed) this.#hand(this.#chunk);
    } finally {
      this.#feeding = false;
    }
    const after = this.#afterRead;
    this.#afterRead = null;
    after?.();
    if (this.#chunk !== null || this.#othersTurn) this.#raw.pause();
    else if (this.#rawEnded) this.#end();
    else if (this.#raw.isPaused()) this.#raw.resume();
  }

  /** Hands over the next piece, which TLS copies. */
  #hand(chunk: Buffer): void {
    const tls = this.#tls;
    const at = this.#at;
    const end = this.#cursor.step(chunk, at, tls === null ? 1 : BATCH);
    const isAll = end === chunk.length;
    const isTimed = !isAll || this.#unbroken > 0;
    const before = tls?.bytesRead;
    const startedAt = isTimed ? performance.now() : 0;
    UnderTls.#fed = this;
    this.#wrote = false;
    this.#at = end;
    try {
      this.emit('data', at === 0 && isAll ? chunk : chunk.subarray(at, end));
    } finally {
      UnderTls.#fed = null;
      if (isTimed) this.#spentMs += performance.now() - startedAt;
      if (tls !== null) this.#judge(tls.bytesRead !== before);
      if (isAll) {
        this.#chunk = null;
        if (!this.#foreign) freeMemory(chunk);
      }
      // A handshake waits for at most one turn.
      if (isTimed && this.#spentMs >= TURN_MS) this.#giveWay(tls === null ? setImmediate : nextShare);
    }
  }

  /** Counts the records that TLS has just taken. */
  #judge(isUseful: boolean): void {
    const { ended } = this.#cursor;
    if (isUseful) this.#useless.useful(ended, this.#raw.writableLength === 0);
    else if (this.#useless.useless(ended)) this.destroy(new UselessRecords());
  }

  /** Lets other connections have a turn before TLS gets more. */
  #giveWay(until: (turn: () => void) => void): void {
    this.#unbroken = this.#spentMs = 0;
    if (this.#othersTurn) return;
    this.#othersTurn = true;
    this.#raw.pause();
    until(this.#ownTurn);
  }

  readonly #ownTurn = (): void => {
    this.#othersTurn = false;
    if (!this.destroyed) this.#feed();
  };

  /**
   * Calls `act` when TLS has all of what is being read. Returns false, and does not call it, where
   * more follows in this turn of the loop, or nothing is being read.
   */
  afterRead(act: () => void): boolean {
    if (!this.#feeding || this.#unbroken > 0 || this.#afterRead !== null) return false;
    this.#afterRead = act;
    return true;
  }

  /**
   * Call it when the handshake of `tls` is done: the peer may end its direction alone from now on.
   * Bytes after the handshake wait for the next turn of the loop, so that a refused peer costs
   * nothing more.
   */
  secured(tls: Socket): void {
    this.#tls = tls;
    UnderTls.#of.set(tls, this);
    this.#raw.allowHalfOpen = true;
    this.#giveWay(setImmediate);
  }

  /**
   * Sends a ready record in place of everything that TLS still writes. Call it while TLS emits the
   * end of its handshake: TLS writes the Finished of TLS 1.2, or the tickets of TLS 1.3, only after
   * that. Returns false, and sends nothing, where TLS has written already.
   */
  sayInstead(record: Uint8Array, leaving: Leaving): boolean {
    if (this.#wrote || this.destroyed || this.writableEnded) return false;
    this.#raw.write(record);
    this.#leaving = leaving;
    return true;
  }

  /** TLS reads, from the next tick on. */
  override resume(): this {
    this.#flowing = true;
    this.#feedSoon();
    return this;
  }

  #feedSoon(): void {
    if (this.#resuming) return;
    this.#resuming = true;
    process.nextTick(this.#resumed);
  }

  readonly #resumed = (): void => {
    this.#resuming = false;
    if (!this.destroyed && this.#flowing) this.#feed();
  };

  override pause(): this {
    this.#flowing = false;
    return this;
  }

  override isPaused(): boolean {
    return !this.#flowing;
  }

  #end(): void {
    if (this.#ended || !this.#flowing) return;
    this.#ended = true;
    this.push(null);
    super.resume();
  }

  /** TLS corks before its first piece of a write, and uncorks after its last. */
  override cork(): void {
    this.#writes.gather();
  }

  override uncork(): void {
    this.#writes.send(this.#raw);
  }

  /**
   * After its end TLS may still answer a client that asks for new keys. That answer is dropped,
   * because an error would end the other direction.
   */
  override write(chunk: Buffer, encodingOrDone?: BufferEncoding | Done, done?: Done): boolean {
    const told = typeof encodingOrDone === 'function' ? encodingOrDone : done;
    this.#wrote = true;
    if (!this.writableEnded && this.#leaving === null) this.#writes.add(this.#raw, chunk, told);
    else if (told !== undefined) queueMicrotask(told);
    return true;
  }

  /** Does nothing: the socket's bytes are handed over as they come. */
  override _read(): void {}

  /**
   * The kernel has everything before the end. The end is called at once: Node does not allow writes
   * of TLS while an end is in progress.
   */
  override _final(done: Done): void {
    this.#raw.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const raw = this.#raw;
    this.#reader?.close();
    // An end in progress is sent first; the kernel has all bytes before it.
    if (error === null && this.#leaving !== null) this.#leaving.add(raw, this.#onData);
    else if (error === null && raw.writableEnded) raw.destroySoon();
    else raw.destroy();
    this.onEnd?.(error);
    done(error);
  }
}
