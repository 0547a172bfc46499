import { hash, randomBytes } from 'node:crypto';

/** The place of a span in its trace. */
export interface SpanPlace {
  readonly traceId: string;
  readonly spanId: string;
}

/** The span of a client, as it names it in the header `traceparent`. */
export interface RemoteSpan extends SpanPlace {
  readonly isSampled: boolean;
}

/**
 * Gives each session its trace, and says whether it is sent. Both follow from the id of the
 * session, so that its requests, which end before it, agree with it, and nothing has to be
 * remembered.
 */
export class SessionTraces {
  readonly #share: number;
  /** Two egresses number their sessions alike. */
  readonly #salt = randomBytes(16).toString('hex');

  constructor(share: number) {
    this.#share = share;
  }

  /** Returns null where its spans are not sent. */
  sampled(session: string): SpanPlace | null {
    if (this.#share <= 0) return null;
    const digest = hash('sha256', `${this.#salt} ${session}`);
    const traceId = digest.slice(0, 32);
    // As other SDKs decide it: by the last 56 bits of the id of the trace.
    const random = Number.parseInt(traceId.slice(-14), 16);
    return random >= (1 - this.#share) * 2 ** 56 ? { traceId, spanId: digest.slice(32, 48) } : null;
  }
}

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Reads a header `traceparent` as W3C Trace Context defines it; null where it is not valid. */
export function remoteSpan(traceparent: string): RemoteSpan | null {
  const [, version = 'ff', traceId = '', spanId = '', flags = '', more] = FORM.exec(traceparent) ?? [];
  if (version === 'ff' || (version === '00' && more !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function newSpanId(): string {
  return randomBytes(8).toString('hex');
}
