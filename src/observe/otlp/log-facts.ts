/** Makes the content of the log records of sessions and requests; pure. */
import type { EndReason } from '../../base/refusal.ts';
import type { RequestRecord } from '../../model/request-record.ts';
import type { SessionRecord } from '../../model/session-record.ts';
import { requestAttributes, sentenceOf, sessionAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';

export interface LogFacts {
  readonly event: 'zone_egress.session' | 'zone_egress.request';
  /** Milliseconds since the Unix epoch, with fractions. */
  readonly atMs: number;
  readonly severity: Severity;
  readonly body: string;
  readonly attributes: Attributes;
}

export type Severity = 'INFO' | 'WARN' | 'ERROR';

/** Tells whether its log record is sent whatever the sample is. */
export function isTold(record: SessionRecord | RequestRecord): boolean {
  return sentenceOf(record) !== null || record.wouldRefuse !== undefined;
}

export function sessionLog(record: SessionRecord): LogFacts {
  return { event: 'zone_egress.session', ...endOf(record, 'session ended'), attributes: sessionAttributes(record) };
}

export function requestLog(record: RequestRecord): LogFacts {
  return { event: 'zone_egress.request', ...endOf(record, 'request served'), attributes: requestAttributes(record) };
}

interface Ended {
  readonly reason: EndReason;
  readonly detail: string;
  readonly startedAt: number;
  readonly totalMs: number;
  readonly wouldRefuse?: string;
}

function endOf(record: Ended, ended: string): Pick<LogFacts, 'atMs' | 'severity' | 'body'> {
  const { reason, startedAt, totalMs, wouldRefuse } = record;
  const sentence = sentenceOf(record);
  const atMs = startedAt + totalMs;
  if (sentence !== null) return { atMs, severity: reason === 'internal-error' ? 'ERROR' : 'WARN', body: sentence };
  if (wouldRefuse !== undefined) return { atMs, severity: 'WARN', body: wouldRefuse };
  return { atMs, severity: 'INFO', body: ended };
}
