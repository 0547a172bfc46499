import type { Socket } from 'node:net';

/** Resolves when the socket has emitted `close`, before or later; ignores its errors. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}
