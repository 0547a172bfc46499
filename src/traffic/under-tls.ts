import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { freeMemory } from './free-memory.ts';

/** libuv reads up to 32 times as long as reads fill their 64 KB; after so much of it the others have a turn. Decrypting it takes a millisecond. */
const TURN_BYTES = 1024 * 1024;
const FULL_READ = 64 * 1024;

type Done = (error?: Error | null) => void;

/**
 * What TLS runs over in place of the socket itself. Node's TLS reads a socket in pieces of 16 KB and 1 KB, one call of the kernel and one of JavaScript for each;
 * here it is read 64 KB at a time, and the memory of each read and of each write is freed once it was used, not when the garbage collector comes by,
 * so that the next one finds the same pages in the cache. Only documented API: TLS over a `stream.Duplex`, `ArrayBuffer.transfer`.
 */
export class UnderTls extends Duplex {
  /** Whose bytes OpenSSL is reading at this moment. */
  static #fed: UnderTls | null = null;
  /** Told once, when TLS or the connection has ended; with what the connection failed with. */
  onEnd: ((error: Error | null) => void) | null = null;
  readonly #raw: Socket;
  #first: Buffer | null = null;
  #started = false;
  #secured = false;
  /** Bytes of the last reads that were full. */
  #unbroken = 0;
  #othersTurn = false;
  /** TLS is not reading: what was read waits here. */
  #full = false;

  /** `raw` is paused. */
  constructor(raw: Socket) {
    // Both directions may be over here while TLS still has bytes that nobody has read: after the handshake TLS ends this, not this TLS.
    super({ allowHalfOpen: true, autoDestroy: false });
    this.#raw = raw;
    raw.on('error', (error) => this.destroy(error));
    raw.on('close', () => {
      if (!this.#secured || !raw.readableEnded || !raw.writableFinished) this.destroy();
    });
    this.pause();
  }

  /** While a TLS socket tells that its handshake is done: what it runs over. Node does not tell otherwise. */
  static get current(): UnderTls | null {
    return UnderTls.#fed;
  }

  /** Once TLS listens. `first` was read before; its memory stays. */
  start(first: Buffer): void {
    const raw = this.#raw;
    this.#started = true;
    this.#first = first;
    this.push(first);
    raw.on('end', () => this.push(null));
    raw.on('data', this.#onData);
    raw.resume();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#unbroken = chunk.length < FULL_READ ? 0 : this.#unbroken + chunk.length;
    this.#full = !this.push(chunk);
    if (this.#unbroken >= TURN_BYTES) {
      this.#unbroken = 0;
      this.#othersTurn = true;
      setImmediate(this.#ownTurn);
    }
    if (this.#full || this.#othersTurn) this.#raw.pause();
  };

  readonly #ownTurn = (): void => {
    this.#othersTurn = false;
    if (!this.#full) this.#raw.resume();
  };

  /** The handshake is done: from now on the client may end its direction alone. */
  secured(): void {
    this.#secured = true;
    this.#raw.allowHalfOpen = true;
  }

  /** TLS makes a copy of what it is handed. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== 'data') return super.emit(event, ...args);
    const chunk = args[0] as Buffer;
    UnderTls.#fed = this;
    try {
      return super.emit(event, chunk);
    } finally {
      UnderTls.#fed = null;
      if (chunk === this.#first) this.#first = null;
      else freeMemory(chunk);
    }
  }

  /** After its end TLS may still answer a client that wants new keys; nobody waits for that any more, and an error would end the other direction. */
  override write(chunk: unknown, encodingOrDone?: BufferEncoding | Done, done?: Done): boolean {
    const told = typeof encodingOrDone === 'function' ? encodingOrDone : done;
    if (!this.writableEnded) return super.write(chunk, told);
    if (told !== undefined) queueMicrotask(told);
    return true;
  }

  override _read(): void {
    this.#full = false;
    if (this.#started && !this.#othersTurn && this.#raw.isPaused()) this.#raw.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#raw.write(chunk, (error) => {
      // The kernel has taken all of it, or the write was given up for good.
      freeMemory(chunk);
      done(error);
    });
  }

  /** Everything before it is with the kernel. Done at once: while an end is under way Node does not bear that TLS writes. */
  override _final(done: Done): void {
    this.#raw.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const raw = this.#raw;
    // An end that is under way is sent first; all of what came before is with the kernel.
    if (error === null && raw.writableEnded) raw.destroySoon();
    else raw.destroy();
    this.onEnd?.(error);
    done(error);
  }
}
