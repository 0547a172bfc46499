import type { Socket } from 'node:net';
import { Chain, ChainEntry } from '../base/chain.ts';
import { freeMemory } from './free-memory.ts';

/** The time that a peer has to read the last bytes and to end its side; the same as Envoy's. */
const LEAVING_MS = 1_000;
/**
 * The most such connections; later ones are closed at once. Each holds a descriptor, but no place
 * of a session.
 */
const MOST = 256;

/**
 * Connections whose last bytes are on their way. Closing with bytes unread makes the kernel send a
 * reset, and some kernels drop with it what the peer has not read yet. So the connection is ended,
 * and what the peer still sends is read and dropped until the peer ends too.
 */
export class Leaving {
  readonly #sockets = new Chain<ChainEntry<Socket>>();
  #closed = false;

  /** `reader` is the present listener for data of the socket. */
  add(socket: Socket, reader: (chunk: Buffer) => void): void {
    socket.removeListener('data', reader);
    if (this.#closed || this.#sockets.size >= MOST) return socket.destroySoon();
    const until = performance.now() + LEAVING_MS;
    const entry = new ChainEntry(socket);
    this.#sockets.add(entry);
    socket.once('close', () => this.#sockets.remove(entry));
    socket.on('data', (chunk: Buffer) => {
      freeMemory(chunk);
      if (performance.now() > until) socket.destroy();
    });
    // Node's own timer of a socket; any byte that arrives restarts it.
    socket.setTimeout(LEAVING_MS, () => socket.destroy());
    socket.end();
    socket.resume();
  }

  close(): void {
    this.#closed = true;
    for (const { value } of this.#sockets) value.destroySoon();
  }
}
