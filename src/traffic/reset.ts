import type { Socket } from 'node:net';

/** A peer that takes nothing for so long, with an end under way, is not waited for. */
const STUCK_MS = 10_000;

const waiting = new WeakSet<Socket>();

/**
 * Ends a TCP connection with a reset. libuv refuses to while the end of the connection is under way
 * (`end` was called, and not everything is with the kernel yet); Node then loses the descriptor and
 * never emits `close`. So the reset comes after the end; a peer that takes nothing more is closed
 * on.
 */
export function resetTcp(socket: Socket): void {
  resetBelow(socket, socket);
}

/** The same under TLS: TLS has no reset, and a close_notify would look like an orderly end. */
export function resetBelow(tls: Socket, raw: Socket): void {
  const ending = [tls, raw].find((each) => !each.destroyed && each.writableEnded && !each.writableFinished);
  if (ending !== undefined) {
    if (waiting.has(ending)) return;
    waiting.add(ending);
    ending.once('finish', () => {
      waiting.delete(ending);
      resetBelow(tls, raw);
    });
    // Node's own timer of a socket: any byte that goes puts it off.
    raw.setTimeout(STUCK_MS, () => {
      raw.destroy();
      tls.destroy();
    });
    return;
  }
  if (!raw.destroyed) raw.resetAndDestroy();
  if (!tls.destroyed) tls.destroy();
}
