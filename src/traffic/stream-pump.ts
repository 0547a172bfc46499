import type { Socket } from 'node:net';
import type { Meter } from './plain-reader.ts';

/** Unsent bytes in the sink from which on the source is paused. */
const HIGH_WATER = 256 * 1024;

/**
 * Moves bytes with the public stream API: for sources that are TLS, and for all where the adopted handle does not work.
 * TLS hands out at most 16 KB a time, so writes of one loop turn are put together (`coalesce`) before they go to the kernel.
 */
export function pumpStream(
  source: Socket,
  sink: Socket,
  options: { readonly coalesce: boolean; readonly meter: Meter },
): () => void {
  const { coalesce, meter } = options;
  let corked = false;

  function uncork(): void {
    corked = false;
    sink.uncork();
  }

  function onData(chunk: Buffer): void {
    meter.add(chunk.length);
    if (coalesce && !corked) {
      corked = true;
      sink.cork();
      setImmediate(uncork);
    }
    if (!sink.write(chunk) && sink.writableLength > HIGH_WATER) source.pause();
  }

  function onDrain(): void {
    source.resume();
  }

  source.on('data', onData);
  sink.on('drain', onDrain);
  source.resume();
  return () => {
    source.removeListener('data', onData);
    sink.removeListener('drain', onDrain);
    if (corked) uncork();
  };
}
