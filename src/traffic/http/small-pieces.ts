import type { Readable } from 'node:stream';

/** The size below which a piece of a flowing stream is copied; most frames are larger. */
const SMALL_BYTES = 8 * 1024;

/**
 * Returns a copy of a small piece. A piece is a view of the 64 KB of one read of a socket, and all
 * of them stay in memory for as long as the piece waits.
 */
export function ownPiece(piece: Buffer, mostBytes: number = SMALL_BYTES): Buffer {
  if (piece.length >= mostBytes || piece.length * 2 > piece.buffer.byteLength) return piece;
  const own = Buffer.allocUnsafeSlow(piece.length);
  piece.copy(own);
  return own;
}

/** Makes a stream of HTTP/2 copy its small pieces, and every piece that waits in it. */
export function keepsOwnPieces(stream: Readable): void {
  const push = stream.push.bind(stream);
  stream.push = (piece: unknown, encoding?: BufferEncoding): boolean =>
    push(Buffer.isBuffer(piece) ? ownPiece(piece, stream.isPaused() ? Infinity : SMALL_BYTES) : piece, encoding);
}
