/**
 * Frees the memory of a chunk at once, where nothing else has a view of it: each read of Node has
 * an ArrayBuffer of its own.
 */
export function freeMemory(chunk: Buffer): void {
  const { buffer } = chunk;
  if (buffer.byteLength > 0 && buffer.byteLength === chunk.length) (buffer as ArrayBuffer).transfer(0);
}
