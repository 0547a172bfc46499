import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';

export interface ListenOptions {
  /** Empty listens on every address. */
  readonly address: string;
  readonly port: number;
  readonly backlog: number;
  /** One socket per thread on the same port; the kernel spreads the connections. */
  readonly reusePort: boolean;
  /** Does not hold the process open. */
  readonly unref?: boolean | undefined;
  /** Descriptor of a socket that listens already; it has its address and its port. */
  readonly inherited?: number | undefined;
}

export interface CloseOptions {
  /** Go on accepting until nothing came for this long … */
  readonly quietMs: number;
  /** … but not longer than this. */
  readonly atMostMs: number;
}

/** How often a closing listener looks whether it is quiet. */
const LOOK_MS = 50;
/**
 * Emptying the accept queue takes longer than this only where connections come faster than they are
 * accepted; they must not put off the end.
 */
const EMPTY_AT_MOST_MS = 1_000;

/**
 * The listening socket of one data side. It counts nothing: adopted connections leave Node's own
 * books wrong.
 */
export class Listener {
  readonly #clock: Clock;
  readonly #server: Server;
  #lastAcceptAt = 0;
  #accepts = 0;
  #closing: Timer | null = null;

  constructor(clock: Clock, onConnection: (socket: Socket) => void) {
    this.#clock = clock;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      this.#lastAcceptAt = clock.now();
      this.#accepts++;
      onConnection(socket);
    });
  }

  listen(options: ListenOptions): Promise<number> {
    const server = this.#server;
    const { address, port, backlog, reusePort, inherited } = options;
    const at = inherited === undefined ? { port, ...(address === '' ? {} : { host: address }) } : { fd: inherited };
    if (options.unref === true) server.unref();
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(
        {
          ...at,
          backlog,
          exclusive: true,
          ...(reusePort ? { reusePort: true } : {}),
        },
        () => {
          server.removeListener('error', reject);
          // accept() errors (no descriptors left) must not end the process; the limit on sessions
          // lies below them.
          server.on('error', ignoreAcceptError);
          resolve((server.address() as AddressInfo).port);
        },
      );
    });
  }

  /**
   * Keeps accepting until it is quiet, so that clients who have not heard of the shutdown are still
   * served; then empties the accept queue and closes.
   */
  closeWhenQuiet(options: CloseOptions, closed: () => void): void {
    const startedAt = this.#clock.now();
    this.#lastAcceptAt = startedAt;
    this.#closing?.cancel();
    const look = (): void => {
      const now = this.#clock.now();
      if (now - this.#lastAcceptAt < options.quietMs && now - startedAt < options.atMostMs) return;
      this.#closing?.cancel();
      this.#closing = null;
      const latest = now + Math.min(EMPTY_AT_MOST_MS, options.atMostMs);
      // The turn that is under way may be past its accepts.
      setImmediate(() => this.#closeWhenEmpty(latest, closed));
    };
    this.#closing = this.#clock.every(LOOK_MS, look);
    look();
  }

  /**
   * Closing resets what waits in the accept queue, and a turn of the loop accepts one connection:
   * it is closed after a turn that found none.
   */
  #closeWhenEmpty(latest: number, closed: () => void): void {
    const before = this.#accepts;
    setImmediate(() => {
      if (this.#accepts === before || this.#clock.now() >= latest) this.close(closed);
      else this.#closeWhenEmpty(latest, closed);
    });
  }

  /**
   * The callback of server.close() would wait for connections whose handles were adopted; the
   * listening socket itself is closed at once.
   */
  close(closed: () => void): void {
    this.#closing?.cancel();
    this.#closing = null;
    if (this.#server.listening) this.#server.close();
    closed();
  }
}

function ignoreAcceptError(): void {
  // Seen as refused connections by clients; libuv retries by itself.
}
