import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { RecordCursor } from '../wire/record-cursor.ts';
import { freeMemory } from './free-memory.ts';
import type { Leaving } from './leaving.ts';
import { nextShare } from './turns.ts';

/**
 * libuv reads up to 32 times as long as reads fill their 64 KB; after so much of it the others have
 * a turn. Decrypting it takes a millisecond.
 */
const TURN_BYTES = 1024 * 1024;
const FULL_READ = 64 * 1024;
/** The same for what is dear for its length, many small records. */
const TURN_MS = 2;
/** Records that TLS gets at once, once the handshake is done; before that it gets one at a time. */
const BATCH = 16;
/**
 * So many records without a byte for the other side end a connection, as in BoringSSL and rustls.
 * Every record that has one makes up for one of them.
 */
const MAX_USELESS = 32;
/**
 * After so long without being too many they are forgotten: a connection that lives for days may get
 * new keys and tickets now and then.
 */
const FORGET_MS = 10_000;

/**
 * The peer goes on sending records that carry nothing: key updates, empty ones, warnings, tickets.
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
 * What TLS runs over in place of the socket itself. Node's TLS reads a socket in pieces of 16 KB
 * and 1 KB, one call of the kernel and one of JavaScript for each; here it is read 64 KB at a time,
 * and the memory of each read and of each write is freed once it was used, not when the garbage
 * collector comes by, so that the next one finds the same pages in the cache. Only documented API:
 * TLS over a `stream.Duplex`, `ArrayBuffer.transfer`.
 */
export class UnderTls extends Duplex {
  /** Whose bytes OpenSSL is reading at this moment. */
  static #fed: UnderTls | null = null;
  /** Called once, when TLS or the connection has ended, with what the connection failed with. */
  onEnd: ((error: Error | null) => void) | null = null;
  readonly #raw: Socket;
  readonly #cursor = new RecordCursor();
  /** What was read last, and how much of it TLS has; null when it has all. */
  #chunk: Buffer | null = null;
  #at = 0;
  /** The memory of the chunk belongs to its caller. */
  #foreign = false;
  /** Once its handshake is done. */
  #tls: Socket | null = null;
  /** Bytes of the last reads that were full, and how long TLS took with them. */
  #unbroken = 0;
  #spentMs = 0;
  #othersTurn = false;
  /** A piece that TLS has not had yet: its memory is that of the chunk, so nothing follows it. */
  #handing = false;
  #feeding = false;
  #rawEnded = false;
  #useless = 0;
  #uselessSince = 0;
  /** TLS has written since it was last given something. */
  #wrote = false;
  /** An alert was written in place of TLS, and the peer has some time to read it. */
  #leaving: Leaving | null = null;

  /** `raw` is paused. */
  constructor(raw: Socket) {
    // Both directions may be over here while TLS still has bytes that nobody has read: after the
    // handshake TLS ends this, not this TLS.
    super({ allowHalfOpen: true, autoDestroy: false });
    this.#raw = raw;
    raw.on('error', (error) => this.destroy(error));
    raw.on('close', () => {
      if (this.#tls === null || !raw.readableEnded || !raw.writableFinished) this.destroy();
    });
    this.pause();
  }

  /**
   * While a TLS socket tells that its handshake is done: what it runs over. Node does not tell
   * otherwise.
   */
  static get current(): UnderTls | null {
    return UnderTls.#fed;
  }

  /** Once TLS listens. `first` was read before; its memory stays. */
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
   * Gives TLS what was read, piece by piece, for as long as it reads and it is this connection's
   * turn. Where it does not read, the piece waits in the stream, which asks for the next one before
   * it hands over this one: that comes only when TLS has had this one (docs/decisions/relay.md).
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

  /** The others have a turn before TLS gets more. */
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
   * The handshake of `tls` is done: from now on the peer may end its direction alone. What came
   * behind the handshake waits for the next turn of the loop, so that a peer that is not let in
   * costs nothing more.
   */
  secured(tls: Socket): void {
    this.#tls = tls;
    this.#raw.allowHalfOpen = true;
    this.#giveWay(setImmediate);
  }

  /**
   * Sends a record that was made elsewhere in place of everything that TLS still writes. To be
   * called while TLS tells that its handshake is done: what it has written by then (the Finished of
   * TLS 1.2, tickets of TLS 1.3) comes only behind. False where it has written already; then
   * nothing is sent.
   */
  sayInstead(record: Uint8Array, leaving: Leaving): boolean {
    if (this.#wrote || this.destroyed || this.writableEnded) return false;
    super.write(record);
    this.#leaving = leaving;
    return true;
  }

  /** TLS makes a copy of what it is handed. */
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
      // A handshake waits for no more than one turn.
      if (more && this.#spentMs >= TURN_MS) this.#giveWay(tls === null ? setImmediate : nextShare);
      // What waited for this piece; nothing where it did not have to wait itself.
      if (!this.#feeding && !this.destroyed) this.#feed();
    }
  }

  /**
   * Counts the records that TLS has just had. While the peer takes nothing, no record makes up for
   * another: TLS keeps an answer to each that asks for one.
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
   * After its end TLS may still answer a client that wants new keys; nobody waits for that any
   * more, and an error would end the other direction.
   */
  override write(chunk: unknown, encodingOrDone?: BufferEncoding | Done, done?: Done): boolean {
    const told = typeof encodingOrDone === 'function' ? encodingOrDone : done;
    this.#wrote = true;
    if (!this.writableEnded && this.#leaving === null) return super.write(chunk, told);
    if (told !== undefined) queueMicrotask(told);
    return true;
  }

  /** What the socket brings is handed over as it comes. */
  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#raw.write(chunk, (error) => {
      // The kernel has taken all of it, or the write was given up for good.
      freeMemory(chunk);
      done(error);
    });
  }

  /**
   * Everything before it is with the kernel. Done at once: while an end is under way Node does not
   * bear that TLS writes.
   */
  override _final(done: Done): void {
    this.#raw.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const raw = this.#raw;
    // An end that is under way is sent first; all of what came before is with the kernel.
    if (error === null && this.#leaving !== null) this.#leaving.add(raw, this.#onData);
    else if (error === null && raw.writableEnded) raw.destroySoon();
    else raw.destroy();
    this.onEnd?.(error);
    done(error);
  }
}
