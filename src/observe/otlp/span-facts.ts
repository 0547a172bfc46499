/** Makes the content of the spans of sessions and requests from their records; pure. */
import type { RequestRecord } from '../../model/request-record.ts';
import type { SessionRecord } from '../../model/session-record.ts';
import {
  KNOWN_METHODS,
  endpointAttributes,
  refusalOf,
  requestAttributes,
  sentenceOf,
  sessionAttributes,
  tlsAttributes,
} from './attributes.ts';
import type { Attributes } from './attributes.ts';

export interface SpanFacts {
  readonly name: string;
  readonly kind: 'server' | 'client' | 'internal';
  /** Milliseconds since the Unix epoch, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** The sentence of what went wrong in it; null where nothing did. */
  readonly error: string | null;
}

export interface SessionSpans {
  readonly session: SpanFacts;
  /** The steps that were reached, in their order. */
  readonly steps: readonly SpanFacts[];
}

/**
 * Makes the span of a session and those of its steps. The step that it ended in has the error, and
 * lasts until the end of the session.
 */
export function sessionSpans(record: SessionRecord): SessionSpans {
  const { startedAt, totalMs } = record;
  const error = sentenceOf(record);
  const session: SpanFacts = {
    name: 'session',
    kind: 'server',
    startMs: startedAt,
    endMs: startedAt + totalMs,
    attributes: sessionAttributes(record),
    error,
  };
  const steps: SpanFacts[] = [];
  /** In milliseconds from the start of the session. */
  let at = 0;
  /** `ms` is negative where the session ended in this step. */
  function step(name: string, ms: number, attributes: Attributes = {}, kind: SpanFacts['kind'] = 'internal'): void {
    const end = ms < 0 ? totalMs : at + ms;
    steps.push({ name, kind, startMs: startedAt + at, endMs: startedAt + end, attributes, error: ms < 0 ? error : null });
    at = end;
  }
  step('hello', record.helloMs);
  if (record.helloMs < 0) return { session, steps };
  if (record.handshakeMs >= 0 || endedInHandshake(record))
    step('handshake', record.handshakeMs, tlsAttributes(record.tlsVersion, record.resumed === true));
  if (record.requests !== undefined) {
    // Each request has a span of its own, with its connection.
    step('requests', -1);
    return { session, steps };
  }
  at += record.waitedMs ?? 0;
  if (record.attempts > 0 || record.connectMs >= 0)
    step(
      'connect',
      record.connectMs,
      { ...endpointAttributes(record.endpoint), 'zone_egress.attempts': record.attempts },
      'client',
    );
  if (record.connectMs >= 0) {
    const { bytesUp, bytesDown } = record;
    step('splice', -1, { 'zone_egress.bytes.up': bytesUp, 'zone_egress.bytes.down': bytesDown });
  }
  return { session, steps };
}

/** Makes the span of a request. An answer of 500 and above is an error, as in other servers. */
export function requestSpan(record: RequestRecord): SpanFacts {
  const { method, startedAt, status, totalMs } = record;
  return {
    name: KNOWN_METHODS.has(method) ? method : 'HTTP',
    kind: 'server',
    startMs: startedAt,
    endMs: startedAt + totalMs,
    attributes: requestAttributes(record),
    error: sentenceOf(record) ?? (status >= 500 ? `the service answered ${status}` : null),
  };
}

/** Tells of a session without a finished handshake whether it was in one. */
function endedInHandshake({ mode, reason }: SessionRecord): boolean {
  if (mode !== 'terminate') return false;
  return reason === 'client-gone' || reason === 'drained' || refusalOf(reason)?.step === 'identity';
}
