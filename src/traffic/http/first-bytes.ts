import type { TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../../base/clock.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export interface FirstBytes {
  readonly clock: Clock;
  /** The time within which a preface of HTTP/2 that has begun must be complete. */
  readonly withinMs: number;
  readonly onProtocol: (protocol: 'http1' | 'http2') => void;
  readonly onSlow: (bytes: number) => void;
}

/**
 * Finds the protocol of a client by its first bytes and leaves them in the socket. Returns a
 * function that stops it; call it when the socket ends.
 */
export function readFirstBytes(socket: TLSSocket, { clock, withinMs, onProtocol, onSlow }: FirstBytes): () => void {
  let peeked: Buffer = Buffer.alloc(0);
  let slow: Timer | null = null;
  const stop = (): void => {
    slow?.cancel();
    socket.removeListener('readable', onReadable);
    socket.removeListener('end', onEnd);
  };
  const onReadable = (): void => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      peeked = peeked.length === 0 ? chunk : Buffer.concat([peeked, chunk]);
    }
    if (peeked.length === 0) return;
    const length = Math.min(peeked.length, PREFACE.length);
    const isPreface = peeked.compare(PREFACE, 0, length, 0, length) === 0;
    if (isPreface && length < PREFACE.length) {
      slow ??= clock.after(withinMs, () => onSlow(peeked.length));
      return;
    }
    stop();
    socket.unshift(peeked);
    // The codecs take over the handle below the stream. Bytes that arrive in this turn still go
    // into the stream, after those that are there. The codecs therefore start in the next turn,
    // with the stream alone.
    setImmediate(() => {
      if (!socket.destroyed) onProtocol(isPreface ? 'http2' : 'http1');
    });
  };
  const onEnd = (): void => socket.destroySoon();
  socket.on('readable', onReadable);
  socket.on('end', onEnd);
  return stop;
}
