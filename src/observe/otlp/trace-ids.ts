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
  readonly #salt = randomBytes(16);

  constructor(share: number) {
    this.#share = share;
  }

  /** Returns null where its spans are not sent. */
  sampled(session: string): SpanPlace | null {
    if (this.#share <= 0 || fractionOf(session, this.#salt.readInt32LE(0)) >= this.#share) return null;
    const digest = hash('sha256', `${this.#salt.toString('hex')} ${session}`);
    return { traceId: digest.slice(0, 32), spanId: digest.slice(32, 48) };
  }
}

/** Spreads texts evenly from 0 to below 1 (FNV-1a and the end of MurmurHash3), in 0.1 µs. */
function fractionOf(text: string, seed: number): number {
  let mixed = seed;
  for (let i = 0; i < text.length; i++) mixed = Math.imul(mixed ^ text.charCodeAt(i), 0x01000193);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
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
