import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { boundPort } from '../base/bound-port.ts';

export interface ListenOptions {
  /** Empty listens on every address. */
  readonly address: string;
  readonly port: number;
  readonly backlog: number;
  /** True opens one socket per thread on the same port; the kernel spreads the connections. */
  readonly reusePort: boolean;
  /** True does not hold the process open. */
  readonly unref?: boolean | undefined;
  /** Descriptor of a socket that listens already, with its address and port. */
  readonly inherited?: number | undefined;
}

export interface CloseOptions {
  /** Accepts until no connection came for this long … */
  readonly quietMs: number;
  /** … but not longer than this. */
  readonly atMostMs: number;
}

/** Interval at which a closing listener checks whether it is quiet. */
const LOOK_MS = 50;
/**
 * The most time for emptying the accept queue. It takes longer only where connections come faster
 * than they are accepted, and those must not delay the end.
 */
const EMPTY_AT_MOST_MS = 1_000;

/**
 * The listening socket of one data side. It counts nothing: Node's own counts are wrong for adopted
 * connections.
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
      // For a descriptor Node reads the length of the queue only from its second argument: without
      // it, an inherited socket would have 511 places, and lose connections in a stall of a second.
      server.listen(
        {
          ...at,
          backlog,
          exclusive: true,
          ...(reusePort ? { reusePort: true } : {}),
        },
        backlog,
        () => {
          server.removeListener('error', reject);
          // An error of accept() (no descriptors left) must not end the process; the limit on
          // sessions is lower than the number of descriptors.
          server.on('error', ignoreAcceptError);
          resolve(boundPort(server));
        },
      );
    });
  }

  /**
   * Accepts until it is quiet, so that clients that do not know of the shutdown yet are still
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
      // The current turn may be past its accepts.
      setImmediate(() => this.#closeWhenEmpty(latest, closed));
    };
    this.#closing = this.#clock.every(LOOK_MS, look);
    look();
  }

  /**
   * Closing resets the connections in the accept queue, and a turn of the loop accepts one
   * connection: it closes after a turn that found none.
   */
  #closeWhenEmpty(latest: number, closed: () => void): void {
    const before = this.#accepts;
    setImmediate(() => {
      if (this.#accepts === before || this.#clock.now() >= latest) this.close(closed);
      else this.#closeWhenEmpty(latest, closed);
    });
  }

  /**
   * Closes the listening socket at once. The callback of server.close() would wait for connections
   * whose handles were adopted.
   */
  close(closed: () => void): void {
    this.#closing?.cancel();
    this.#closing = null;
    if (this.#server.listening) this.#server.close();
    closed();
  }
}

function ignoreAcceptError(): void {
  // Clients see refused connections; libuv tries again by itself.
}
