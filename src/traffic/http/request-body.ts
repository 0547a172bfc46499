import { Readable } from 'node:stream';

/**
 * The body of a request as a stream of its own. What reads it may destroy it, as a client of HTTP
 * does when its connection fails, without taking along the connection that the answer goes out on.
 * A body that is cut off at its source ends with an error.
 */
export function requestBody(source: Readable): Readable {
  const body = new Readable({
    read() {
      source.resume();
    },
    destroy(error, done) {
      source.removeListener('data', onData);
      // What is left of the request is thrown away.
      source.resume();
      done(error);
    },
  });
  const onData = (chunk: Buffer): void => {
    if (!body.push(chunk)) source.pause();
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
