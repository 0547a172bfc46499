import type { Socket } from 'node:net';

/**
 * Resolves when the socket has emitted `close`, before or later; an error on the way is none here.
 */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}
