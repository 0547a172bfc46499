import type { Socket } from 'node:net';
import { freeMemory } from './free-memory.ts';

/** So long a peer has to read the last word and to end its side; Envoy waits as long. */
const LEAVING_MS = 1_000;
/** More than these are closed on at once: each holds a descriptor, and no place of a session. */
const MOST = 256;

/**
 * Connections whose last word is on its way. A close with bytes unread makes the kernel send a
 * reset, and some kernels throw away with it what the peer has not read yet: so the connection is
 * ended, and what the peer still sends is read and dropped until it ends too.
 */
export class Leaving {
  readonly #sockets = new Set<Socket>();
  #closed = false;

  /** `reader` is what listens for data of the socket so far. */
  add(socket: Socket, reader: (chunk: Buffer) => void): void {
    socket.removeListener('data', reader);
    if (this.#closed || this.#sockets.size >= MOST) return socket.destroySoon();
    const until = performance.now() + LEAVING_MS;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      freeMemory(chunk);
      if (performance.now() > until) socket.destroy();
    });
    // Node's own timer of a socket: any byte that comes puts it off.
    socket.setTimeout(LEAVING_MS, () => socket.destroy());
    socket.end();
    socket.resume();
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#sockets) socket.destroySoon();
  }
}
