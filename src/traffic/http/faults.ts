import type { Clock } from '../../base/clock.ts';
import type { HttpFault, RequestRateLimit } from '../../model/http-route.ts';
import type { Exchange } from './exchange.ts';
import { holds } from '../../routing/sender-rules.ts';
import type { Sender } from '../../routing/sender-rules.ts';
import type { LocalReply } from './local-reply.ts';

/**
 * Finds the limit of a request with its place in the list: the first limit whose clients include
 * the sender.
 */
export function limitFor(
  limits: readonly RequestRateLimit[] | undefined,
  sender: Sender,
): { readonly limit: RequestRateLimit; readonly index: number } | null {
  const index = limits?.findIndex(({ clients }) => holds(clients, sender)) ?? -1;
  const limit = limits?.[index];
  return limit === undefined ? null : { limit, index };
}

export function limitedReply({ status = 429, headers = [], grpcStatus }: RequestRateLimit): LocalReply {
  return {
    status,
    body: 'local_rate_limited',
    headers,
    ...(grpcStatus === undefined ? {} : { grpcStatus }),
    cause: { code: 'over-limit', flag: 'RL', details: 'local_rate_limited' },
  };
}

export type Injected =
  | { readonly kind: 'abort'; readonly reply: LocalReply }
  /** `kibPerSecond` bounds the speed of the answer; null for no bound. */
  | { readonly kind: 'pass'; readonly kibPerSecond: number | null };

export interface FaultHost {
  readonly sender: Sender;
  readonly clock: Clock;
  /** Returns a random number in [0, 1). */
  readonly draw: () => number;
  /** Sets the listener for a client that goes away; it replaces the previous one. */
  readonly whenGone: (listener: () => void) => void;
  /** Call it when the request is held back. */
  readonly onDelay: () => void;
}

/** Resolves early when the client goes away. */
export async function injectFaults(
  faults: readonly HttpFault[],
  exchange: Pick<Exchange, 'gone'>,
  { sender, clock, draw, whenGone, onDelay }: FaultHost,
): Promise<Injected> {
  const hits = ({ percent }: { readonly percent: number }): boolean => draw() * 100 < percent;
  let kibPerSecond: number | null = null;
  for (const { clients, delay, abort, bandwidth } of faults) {
    if (!holds(clients, sender)) continue;
    if (bandwidth !== undefined && hits(bandwidth)) kibPerSecond = Math.min(kibPerSecond ?? Infinity, bandwidth.kibPerSecond);
    if (delay !== undefined && hits(delay)) {
      onDelay();
      await waited(clock, delay.ms, whenGone);
    }
    if (exchange.gone) break;
    if (abort !== undefined && hits(abort)) {
      const { status, grpcStatus } = abort;
      const reply: LocalReply = {
        status,
        body: 'fault filter abort',
        ...(grpcStatus === undefined ? {} : { grpcStatus }),
        cause: { code: 'fault-injected', flag: 'FI', details: 'fault_filter_abort' },
      };
      return { kind: 'abort', reply };
    }
  }
  return { kind: 'pass', kibPerSecond };
}

function waited(clock: Clock, ms: number, whenGone: FaultHost['whenGone']): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, resolve);
    whenGone(() => {
      timer.cancel();
      resolve();
    });
  });
}
