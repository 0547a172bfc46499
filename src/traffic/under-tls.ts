import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { freeMemory } from './free-memory.ts';

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

  /** `raw` is paused. */
  constructor(raw: Socket) {
    super({ allowHalfOpen: true });
    this.#raw = raw;
    raw.on('error', (error) => this.destroy(error));
    raw.on('close', () => this.destroy());
    this.pause();
    this.on('data', () => {
      UnderTls.#fed = this;
    });
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
    this.on('data', this.#wasRead);
    this.push(first);
    raw.on('end', () => this.push(null));
    raw.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) raw.pause();
    });
    raw.resume();
  }

  override _read(): void {
    if (this.#started && this.#raw.isPaused()) this.#raw.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#raw.write(chunk, (error) => {
      // The kernel has taken all of it, or the write was given up for good.
      freeMemory(chunk);
      done(error);
    });
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#raw.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#raw.destroy();
    this.onEnd?.(error);
    this.onEnd = null;
    done(error);
  }

  /** The last to listen: TLS has made a copy. */
  readonly #wasRead = (chunk: Buffer): void => {
    UnderTls.#fed = null;
    if (chunk !== this.#first) freeMemory(chunk);
    else this.#first = null;
  };
}
