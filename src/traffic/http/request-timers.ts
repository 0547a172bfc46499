import type { Clock, Timer } from '../../base/clock.ts';
import { HTTP_TIMEOUT_DEFAULTS } from '../../model/http-route.ts';
import type { HttpTimeouts } from '../../model/http-route.ts';
import type { LocalReply, ReplyCause } from './local-reply.ts';
import { REPLIES } from './local-reply.ts';

/** `request`: the endpoint did not answer in time, which counts against it. */
export type RequestTimeout = 'request' | 'stream-idle' | 'max-stream';

/** The timeouts of one request. The first that fires is the only one. */
export class RequestTimers {
  readonly #clock: Clock;
  readonly #timeouts: HttpTimeouts;
  readonly #onTimeout: (which: RequestTimeout) => void;
  readonly #timers: Timer[] = [];
  #movedAt: number;
  #idle: Timer | null = null;
  #isOver = false;

  constructor(clock: Clock, timeouts: HttpTimeouts, onTimeout: (which: RequestTimeout) => void) {
    this.#clock = clock;
    this.#timeouts = timeouts;
    this.#onTimeout = onTimeout;
    this.#movedAt = clock.now();
    this.#begin('max-stream', timeouts.maxStreamMs);
    this.#watch(timeouts.streamIdleMs ?? HTTP_TIMEOUT_DEFAULTS.streamIdleMs);
  }

  /** Starts the wait for the answer: the whole request was read. */
  requestRead(): void {
    this.#begin('request', this.#timeouts.requestMs);
  }

  /** Notes that bytes of the request or of its answer have moved. */
  moved(): void {
    this.#movedAt = this.#clock.now();
  }

  end(): void {
    this.#isOver = true;
    for (const timer of this.#timers) timer.cancel();
    this.#idle?.cancel();
    this.#idle = null;
  }

  #begin(which: RequestTimeout, ms: number | undefined): void {
    if (ms === undefined || ms === 0 || this.#isOver) return;
    this.#timers.push(this.#clock.after(ms, () => this.#fire(which)));
  }

  /**
   * Uses one timer for the whole request: it checks when the time since the last byte may be over.
   */
  #watch(ms: number): void {
    if (ms === 0) return;
    const look = (): void => {
      const left = this.#movedAt + ms - this.#clock.now();
      if (left <= 0) this.#fire('stream-idle');
      else this.#idle = this.#clock.after(left, look);
    };
    this.#idle = this.#clock.after(ms, look);
  }

  #fire(which: RequestTimeout): void {
    this.end();
    this.#onTimeout(which);
  }
}

/**
 * Returns Envoy's answer. When the client has sent its whole request, the egress waited for the
 * service.
 */
export function timeoutReply(which: RequestTimeout, requestIsRead: boolean): LocalReply {
  if (which === 'request') return REPLIES.timeout;
  const body = which === 'stream-idle' ? 'stream timeout' : 'upstream max stream duration reached';
  return { status: requestIsRead ? 504 : 408, body, cause: timeoutCause(which) };
}

export function timeoutCause(which: RequestTimeout): ReplyCause {
  switch (which) {
    case 'request':
      return REPLIES.timeout.cause;
    case 'stream-idle':
      return { code: 'request-timeout', flag: 'SI', details: 'stream_idle_timeout' };
    case 'max-stream':
      return { code: 'request-timeout', flag: 'UMSDR', details: 'upstream_max_stream_duration_reached' };
    default:
      return which satisfies never;
  }
}
