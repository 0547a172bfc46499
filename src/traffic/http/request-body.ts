import { Readable } from 'node:stream';
import { ownPiece } from './small-pieces.ts';

/** Takes the body of a request piece by piece. */
export interface BodySink {
  /** Returns false to hold the next piece back until the body is resumed. */
  write(piece: Buffer): boolean;
  end(): void;
  /** Called where the body ends before it is complete; it may be called twice. */
  cut(): void;
}

/**
 * The body of a request. A client of HTTP/2 takes its pieces as they come; one of HTTP/1.1 needs a
 * stream. Exactly one of `pour` and `stream` is used.
 */
export class RequestBody {
  readonly #source: Readable;
  #stream: Readable | null = null;
  #sink: BodySink | null = null;

  constructor(source: Readable) {
    this.#source = source;
    source.pause();
  }

  stream(): Readable {
    this.#stream ??= requestBody(this.#source);
    return this.#stream;
  }

  pour(sink: BodySink): void {
    const source = this.#source;
    this.#sink = sink;
    // An empty body of HTTP/2 may end although nothing reads it, and so before this.
    if (source.readableEnded) return sink.end();
    if (source.destroyed) return sink.cut();
    source.on('data', this.#onPiece);
    source.on('end', () => this.#sink?.end());
    source.on('close', () => {
      if (!source.readableEnded) this.#sink?.cut();
    });
    source.resume();
  }

  readonly #onPiece = (piece: Buffer): void => {
    if (this.#sink?.write(ownPiece(piece)) === false) this.#source.pause();
  };

  resume(): void {
    this.#source.resume();
  }

  /** Drops the rest of it. */
  drop(): void {
    this.#stream?.destroy();
    const sink = this.#sink;
    if (sink === null) return;
    this.#sink = null;
    this.#source.removeListener('data', this.#onPiece);
    if (!this.#source.readableEnded) sink.cut();
    this.#source.resume();
  }

  /** Calls the listener when the whole request was read. */
  whenRead(listener: () => void): void {
    this.#source.once('end', listener);
  }
}

/**
 * Makes a stream of its own for the body of a request. Its reader may destroy it, as an HTTP client
 * does when its connection fails, without destroying the connection on which the answer is sent. A
 * body that is cut off at its source ends with an error.
 */
export function requestBody(source: Readable): Readable {
  const body = new Readable({
    read() {
      source.resume();
    },
    destroy(error, done) {
      source.removeListener('data', onData);
      // Drops the rest of the request.
      source.resume();
      done(error);
    },
  });
  const onData = (chunk: Buffer): void => {
    if (!body.push(ownPiece(chunk))) source.pause();
  };
  if (source.readableEnded) body.push(null);
  else if (source.destroyed) body.destroy(new Error('the request was cut off'));
  source.pause();
  source.on('data', onData);
  source.on('end', () => body.push(null));
  source.on('close', () => {
    if (!source.readableEnded) body.destroy(new Error('the request was cut off'));
  });
  source.on('error', (error: Error) => body.destroy(error));
  body.on('error', () => {});
  return body;
}
