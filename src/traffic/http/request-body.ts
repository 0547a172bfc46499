import { Readable } from 'node:stream';
import { ownPiece } from './small-pieces.ts';

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
