import type { Socket } from 'node:net';

/** The longest wait for a peer that takes no bytes while an end is in progress. */
const STUCK_MS = 10_000;

const waiting = new WeakSet<Socket>();

/**
 * Ends a TCP connection with a reset. libuv refuses a reset while an end is in progress (`end` was
 * called, and the kernel has not taken everything yet; libuv/libuv#2425 allows one of the two).
 * Node then loses the descriptor and never emits `close`. So the reset comes after the end; a peer
 * that takes nothing more is destroyed after a time.
 */
export function resetTcp(socket: Socket): void {
  resetBelow(socket, socket);
}

/** Does the same under TLS: TLS has no reset, and a close_notify would look like an orderly end. */
export function resetBelow(tls: Socket, raw: Socket): void {
  const ending = isEnding(tls) ? tls : isEnding(raw) ? raw : null;
  if (ending !== null) {
    if (waiting.has(ending)) return;
    waiting.add(ending);
    ending.once('finish', () => {
      waiting.delete(ending);
      resetBelow(tls, raw);
    });
    // Node's own timer of a socket; any byte that is sent restarts it.
    raw.setTimeout(STUCK_MS, () => {
      raw.destroy();
      tls.destroy();
    });
    return;
  }
  if (!raw.destroyed) raw.resetAndDestroy();
  if (!tls.destroyed) tls.destroy();
}

function isEnding({ destroyed, writableEnded, writableFinished }: Socket): boolean {
  return !destroyed && writableEnded && !writableFinished;
}
