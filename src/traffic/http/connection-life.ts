import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../base/clock.ts';
import { HTTP_TIMEOUT_DEFAULTS } from '../../model/http-route.ts';
import type { HttpTimeouts } from '../../model/http-route.ts';

/**
 * A connection that is to end and has no request waits this long, so that a request on its way is
 * still served.
 */
export const QUIET_MS = 2_000;

/**
 * Ends a client connection between its requests: after the idle timeout of its route, after its
 * maximum age, or when the egress drains.
 */
export class ConnectionLife {
  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #idleMs: number;
  readonly #onSilent: (idleMs: number) => void;
  readonly #duration: Timer | null;
  #idle: Timer | null = null;
  #running = 0;
  #begun = false;
  #isLast = false;
  /** Sends GOAWAY to a client of HTTP/2; null where the end of the connection is the signal. */
  #goAway: (() => void) | null = null;

  /** `onSilent`: called when it ends because no request ever came. */
  constructor(
    clock: Clock,
    socket: Socket,
    { idleMs = HTTP_TIMEOUT_DEFAULTS.idleMs, maxConnectionMs = 0 }: HttpTimeouts,
    onSilent: (idleMs: number) => void,
  ) {
    this.#clock = clock;
    this.#socket = socket;
    this.#onSilent = onSilent;
    this.#idleMs = idleMs;
    this.#duration = maxConnectionMs === 0 ? null : clock.after(maxConnectionMs, () => this.leave());
    this.#watch();
  }

  /** True when its current answers are the last. */
  get isLast(): boolean {
    return this.#isLast;
  }

  speaksHttp2(goAway: () => void): void {
    this.#goAway = goAway;
  }

  begin(): void {
    this.#begun = true;
    this.#running++;
    this.#idle?.cancel();
  }

  end(): void {
    this.#running--;
    if (this.#running === 0 && !this.#socket.destroyed) this.#watch();
  }

  /**
   * Marks the next answers as the last; without a request the connection ends by itself. A client
   * of HTTP/2 is notified at once.
   */
  leave(): void {
    if (this.#isLast || this.#socket.destroyed) return;
    this.#isLast = true;
    if (this.#goAway !== null) return this.#goAway();
    if (this.#running > 0) return;
    this.#idle?.cancel();
    this.#watch();
  }

  /** Call it when the socket has ended. */
  closed(): void {
    this.#idle?.cancel();
    this.#duration?.cancel();
  }

  #watch(): void {
    const ms = this.#isLast ? Math.min(QUIET_MS, this.#idleMs > 0 ? this.#idleMs : QUIET_MS) : this.#idleMs;
    if (ms > 0) this.#idle = this.#clock.after(ms, () => this.#quiet());
  }

  #quiet(): void {
    if (!this.#begun && !this.#isLast) this.#onSilent(this.#idleMs);
    this.#isLast = true;
    if (this.#goAway === null) this.#socket.destroySoon();
    else this.#goAway();
  }
}
