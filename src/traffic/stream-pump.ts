import type { Socket } from 'node:net';
import type { Meter } from './reader.ts';

/** The source is paused at this many unsent bytes in the sink. */
const HIGH_WATER = 256 * 1024;

/**
 * Moves bytes with the public stream API, for plain sockets where the adopted handle does not work.
 */
export function pumpStream(source: Socket, sink: Socket, meter: Meter): () => void {
  function onData(chunk: Buffer): void {
    meter.add(chunk.length);
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
  };
}
