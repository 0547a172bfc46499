import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { RecordCursor } from '../wire/record-cursor.ts';
import { freeMemory } from './free-memory.ts';
import type { Leaving } from './leaving.ts';
import { nextShare } from './turns.ts';

/**
 * After this many bytes, other connections get a turn: libuv reads up to 32 times while reads fill
 * their 64 KB. Decrypting this much takes a millisecond.
 */
const TURN_BYTES = 1024 * 1024;
const FULL_READ = 64 * 1024;
/** The same limit as time, for input that is expensive for its length: many small records. */
const TURN_MS = 2;
/** Records that TLS gets at once after the handshake; before that it gets one at a time. */
const BATCH = 16;
/**
 * The connection ends at this many records without payload, as in BoringSSL and rustls. Every
 * record with payload cancels one of them.
 */
const MAX_USELESS = 32;
/**
 * The count is forgotten after this much time below the limit: a connection that lives for days may
 * get new keys and tickets now and then.
 */
const FORGET_MS = 10_000;

/**
 * The peer keeps sending records without payload: key updates, empty records, warnings, tickets.
 */
export class UselessRecords extends Error {
  readonly code = 'ERR_USELESS_RECORDS';

  constructor() {
    super(`more than ${MAX_USELESS} records without a byte in them`);
    this.name = 'UselessRecords';
  }
}

type Done = (error?: Error | null) => void;

/**
 * The stream that TLS runs over in place of the socket. Node's TLS reads a socket in pieces of 16
 * KB and 1 KB, with a call of the kernel and one of JavaScript for each. This stream reads 64 KB at
 * a time, and frees the memory of each read and write after its use, not at the next garbage
 * collection, so that the next one finds the same pages in the cache. It uses only documented API:
 * TLS over a `stream.Duplex`, `ArrayBuffer.transfer`.
 */
export class UnderTls extends Duplex {
  /** The connection whose bytes OpenSSL is reading at this moment. */
  static #fed: UnderTls | null = null;
  /** Called once, when TLS or the connection has ended, with the error of the connection. */
  onEnd: ((error: Error | null) => void) | null = null;
  readonly #raw: Socket;
  readonly #cursor = new RecordCursor();
  /** The last read, and how much of it TLS has; null when TLS has all. */
  #chunk: Buffer | null = null;
  #at = 0;
  /** True when the memory of the chunk belongs to its caller. */
  #foreign = false;
  /** Set when its handshake is done. */
  #tls: Socket | null = null;
  /** Bytes of the consecutive full reads, and the time that TLS took for them. */
  #unbroken = 0;
  #spentMs = 0;
  #othersTurn = false;
  /**
   * True while TLS has not taken a piece yet: the piece is a view of the chunk, so nothing may
   * follow it.
   */
  #handing = false;
  #feeding = false;
  #rawEnded = false;
  #useless = 0;
  #uselessSince = 0;
  /** True when TLS has written since the last piece. */
  #wrote = false;
  /** Set when an alert was written in place of TLS, and the peer has some time to read it. */
  #leaving: Leaving | null = null;

  /** `raw` is paused. */
  constructor(raw: Socket) {
    // Both directions may be over here while TLS still has unread bytes: after the handshake TLS
    // ends this stream, not the other way round.
    super({ allowHalfOpen: true, autoDestroy: false });
    this.#raw = raw;
    raw.on('error', (error) => this.destroy(error));
    raw.on('close', () => {
      if (this.#tls === null || !raw.readableEnded || !raw.writableFinished) this.destroy();
    });
    this.pause();
  }

  /**
   * The stream of the TLS socket whose handshake event is being emitted. Node gives no other way to
   * find it.
   */
  static get current(): UnderTls | null {
    return UnderTls.#fed;
  }

  /** Starts when TLS listens. `first` was read before; its memory is not freed. */
  start(first: Buffer | null): void {
    const raw = this.#raw;
    raw.on('end', () => {
      if (this.destroyed) return;
      this.#rawEnded = true;
      this.#feed();
    });
    raw.on('data', this.#onData);
    this.#chunk = first;
    this.#foreign = true;
    this.#feed();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (chunk.length < FULL_READ) this.#unbroken = this.#spentMs = 0;
    else this.#unbroken += chunk.length;
    this.#chunk = chunk;
    this.#at = 0;
    this.#foreign = false;
    this.#feed();
    if (this.#unbroken >= TURN_BYTES) this.#giveWay(nextShare);
  };

  /**
   * Gives TLS what was read, piece by piece, while it reads and this connection has its turn. When
   * TLS stops reading, the piece waits in the stream, and the stream asks for the next piece before
   * it hands this one over: the next comes only after TLS has taken this one
   * (docs/decisions/relay.md).
   */
  #feed(): void {
    if (this.#leaving !== null || this.#feeding) return;
    this.#feeding = true;
    try {
      while (this.#chunk !== null && !this.#handing && !this.#othersTurn && !this.destroyed) {
        const chunk = this.#chunk;
        const at = this.#at;
        this.#at = this.#cursor.step(chunk, at, this.#tls === null ? 1 : BATCH);
        this.#handing = true;
        this.push(at === 0 && this.#at === chunk.length ? chunk : chunk.subarray(at, this.#at));
      }
    } finally {
      this.#feeding = false;
    }
    if (this.#chunk !== null || this.#othersTurn) this.#raw.pause();
    else if (this.#rawEnded) this.push(null);
    else if (this.#raw.isPaused()) this.#raw.resume();
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
   * Call it when the handshake of `tls` is done: the peer may end its direction alone from now on.
   * Bytes after the handshake wait for the next turn of the loop, so that a refused peer costs
   * nothing more.
   */
  secured(tls: Socket): void {
    this.#tls = tls;
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
    super.write(record);
    this.#leaving = leaving;
    return true;
  }

  /** TLS copies the piece that it gets. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== 'data') return super.emit(event, ...args);
    const tls = this.#tls;
    const before = tls?.bytesRead;
    const startedAt = performance.now();
    UnderTls.#fed = this;
    this.#wrote = false;
    try {
      return super.emit(event, ...args);
    } finally {
      UnderTls.#fed = null;
      this.#handing = false;
      this.#spentMs += performance.now() - startedAt;
      if (tls !== null) this.#judge(tls.bytesRead !== before);
      const chunk = this.#chunk;
      if (chunk !== null && this.#at === chunk.length) {
        this.#chunk = null;
        if (!this.#foreign) freeMemory(chunk);
      }
      const more = this.#chunk !== null || this.#unbroken > 0;
      // A handshake waits for at most one turn.
      if (more && this.#spentMs >= TURN_MS) this.#giveWay(tls === null ? setImmediate : nextShare);
      // Continues the feeding that waited for this piece; does nothing where the piece did not
      // wait.
      if (!this.#feeding && !this.destroyed) this.#feed();
    }
  }

  /**
   * Counts the records that TLS has just taken. While the peer takes no bytes, a record with
   * payload cancels nothing: TLS stores an answer to each record that asks for one.
   */
  #judge(useful: boolean): void {
    const { ended } = this.#cursor;
    if (useful) {
      if (this.#raw.writableLength === 0) this.#useless = Math.max(0, this.#useless - ended);
      return;
    }
    if (ended === 0) return;
    const now = performance.now();
    if (this.#useless === 0 || now - this.#uselessSince > FORGET_MS) {
      this.#useless = 0;
      this.#uselessSince = now;
    }
    this.#useless += ended;
    if (this.#useless > MAX_USELESS) this.destroy(new UselessRecords());
  }

  /**
   * After its end TLS may still answer a client that asks for new keys. That answer is dropped,
   * because an error would end the other direction.
   */
  override write(chunk: unknown, encodingOrDone?: BufferEncoding | Done, done?: Done): boolean {
    const told = typeof encodingOrDone === 'function' ? encodingOrDone : done;
    this.#wrote = true;
    if (!this.writableEnded && this.#leaving === null) return super.write(chunk, told);
    if (told !== undefined) queueMicrotask(told);
    return true;
  }

  /** Does nothing: the socket's bytes are handed over as they come. */
  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#raw.write(chunk, (error) => {
      // The kernel has taken all of it, or the write was given up for good.
      freeMemory(chunk);
      done(error);
    });
  }

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
    // An end in progress is sent first; the kernel has all bytes before it.
    if (error === null && this.#leaving !== null) this.#leaving.add(raw, this.#onData);
    else if (error === null && raw.writableEnded) raw.destroySoon();
    else raw.destroy();
    this.onEnd?.(error);
    done(error);
  }
}
