import type { Writable } from 'node:stream';

/**
 * Frees the memory of a chunk at once, where nothing else has a view of it: each read of Node has
 * an ArrayBuffer of its own.
 */
export function freeMemory(chunk: Buffer): void {
  const { buffer } = chunk;
  if (buffer.byteLength > 0 && buffer.byteLength === chunk.length) (buffer as ArrayBuffer).transfer(0);
}

type Done = (error?: Error | null) => void;
type Write = (chunk: unknown, encoding?: BufferEncoding | Done, done?: Done) => boolean;

/**
 * Frees the memory of each piece of a body that is written here from now on, once it is with the
 * kernel or encrypted. What writes it has no further use for it.
 */
export function freeWhatIsWritten(to: Writable): void {
  const write = to.write.bind(to) as Write;
  const freeing: Write = (chunk, encoding, done) => {
    if (!Buffer.isBuffer(chunk)) return write(chunk, encoding, done);
    const told = typeof encoding === 'function' ? encoding : done;
    return write(chunk, (error) => {
      freeMemory(chunk);
      told?.(error);
    });
  };
  to.write = freeing as Writable['write'];
}
