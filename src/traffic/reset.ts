import type { Socket } from 'node:net';

/**
 * Ends a TCP connection with a reset. libuv refuses to while the end of the connection is under way (`end` was called, and not everything is with the kernel yet);
 * Node then loses the descriptor and never emits `close`. So the reset comes after the end, and where the peer takes nothing more, whoever owns the connection ends it.
 */
export function resetTcp(socket: Socket): void {
  resetBelow(socket, socket);
}

/** The same under TLS: TLS has no reset, and a close_notify would look like an orderly end. */
export function resetBelow(tls: Socket, raw: Socket): void {
  const ending = tls.destroyed ? raw : tls;
  if (!ending.destroyed && ending.writableEnded && !ending.writableFinished) {
    ending.once('finish', () => resetBelow(tls, raw));
    return;
  }
  if (!raw.destroyed) raw.resetAndDestroy();
  if (!tls.destroyed) tls.destroy();
}
