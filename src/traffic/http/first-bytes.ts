import type { TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../../base/clock.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export interface FirstBytes {
  readonly clock: Clock;
  /** A preface of HTTP/2 that has begun has to be whole after so long. */
  readonly withinMs: number;
  readonly onProtocol: (protocol: 'http1' | 'http2') => void;
  readonly onSlow: (bytes: number) => void;
}

/**
 * Finds out the protocol of a client by its first bytes, and leaves them in the socket. Gives back
 * how to stop, which is to be called when the socket ends.
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
    // The codecs take over the handle below the stream. Reading has just asked for more, and what
    // comes of that in this turn has to line up behind what is in the stream already: the codecs
    // get it in the next turn, which begins with the stream alone.
    setImmediate(() => {
      if (!socket.destroyed) onProtocol(isPreface ? 'http2' : 'http1');
    });
  };
  const onEnd = (): void => socket.destroySoon();
  socket.on('readable', onReadable);
  socket.on('end', onEnd);
  return stop;
}
