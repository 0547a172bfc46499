import type { Clock, Timer } from '../base/clock.ts';
import { IsoTime } from '../base/iso-time.ts';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { EndReason } from '../base/refusal.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { LineLimits, WINDOW_MS } from './line-limits.ts';
import type { RootLog } from './log.ts';
import { requestFields, sessionFields } from './session-line.ts';

export interface AccessLogOptions {
  readonly log: Pick<RootLog, 'line' | 'warn'>;
  readonly clock: Clock;
  /** Lines per window for one reason and one client address. */
  readonly burst?: number;
  /** Lines per window for one reason, all clients together. */
  readonly burstOfReason?: number;
  /** The most pairs of reason and client that are remembered. */
  readonly maxKeys?: number;
  /** One of this many sessions that ended well gets a line; 0 writes none. */
  readonly sample?: number;
  /** Called for each line that is left out. */
  readonly onSuppressed?: (reason: EndReason) => void;
}

/** The subject of the lines: sessions or requests. */
export interface AccessLogKind<Logged> {
  readonly fields: (record: Logged, startedAt: string) => string;
  readonly ended: string;
  readonly refused: string;
  /** The level of a refusal. */
  readonly level: 'info' | 'warn';
  readonly leftOut: string;
  /** Says that one passed which a permission would have refused. */
  readonly wouldRefuse: string;
}

export const SESSIONS: AccessLogKind<SessionRecord> = {
  fields: sessionFields,
  ended: 'session ended',
  refused: 'session refused',
  level: 'warn',
  leftOut: 'refused sessions were left out of the log',
  wouldRefuse: 'report-only: a session passed that a permission would refuse',
};

/** A refused request is an answer like any other, which its client has read. */
export const REQUESTS: AccessLogKind<RequestRecord> = {
  fields: requestFields,
  ended: 'request served',
  refused: 'request refused',
  level: 'info',
  leftOut: 'refused requests were left out of the log',
  wouldRefuse: 'report-only: a request passed that a permission would refuse',
};

type Logged = Pick<SessionRecord, 'reason' | 'clientAddress' | 'startedAt' | 'wouldRefuse'>;

export interface AccessLog<Of> {
  write(record: Of): void;
  /** Logs the number of lines left out since the last line, one line for each reason. */
  tell(): void;
  close(): void;
}

/**
 * Writes one line per record: `info` for a good end, the level of its kind for a refusal or a cut.
 * Lines about refusals are limited; the next line that passes has the number of skipped ones in
 * `suppressed`, and a line of its own follows where none passes. Lines about good ends may be
 * sampled, and then have `sample`. The counters include every record, with or without a line.
 */
export function createAccessLog<Of extends Logged>(kind: AccessLogKind<Of>, options: AccessLogOptions): AccessLog<Of> {
  const { log, clock, burst = 10, burstOfReason = 1_000, maxKeys = 10_000, sample = 1, onSuppressed } = options;
  const limits = new LineLimits({ clock, burst, burstOfReason, maxKeys });
  const startTimes = new IsoTime();
  const fieldsOf = (record: Of): string => kind.fields(record, startTimes.of(record.startedAt));
  let coming: Timer | null = null;
  let ended = 0;

  function limited(record: Of, reason: EndReason, message: string): void {
    const suppressed = limits.take(reason, record.clientAddress);
    if (suppressed === null) {
      onSuppressed?.(reason);
      // The line of its own waits until no other line with the number can come.
      coming ??= clock.after(2 * WINDOW_MS, tell);
      return;
    }
    const fields = fieldsOf(record);
    log.line(kind.level, suppressed === 0 ? fields : `${fields},"suppressed":${suppressed}`, message);
  }

  function tell(): void {
    stop();
    for (const [reason, suppressed] of limits.takeLeftOut()) log.warn({ reason, suppressed }, kind.leftOut);
  }

  function stop(): void {
    coming?.cancel();
    coming = null;
  }

  return {
    tell,
    close: stop,
    write(record) {
      if (!Object.hasOwn(NORMAL_ENDS, record.reason)) return limited(record, record.reason, kind.refused);
      if (record.wouldRefuse !== undefined) return limited(record, 'denied', kind.wouldRefuse);
      if (sample === 0 || ended++ % sample !== 0) return;
      const fields = fieldsOf(record);
      log.line('info', sample === 1 ? fields : `${fields},"sample":${sample}`, kind.ended);
    },
  };
}
