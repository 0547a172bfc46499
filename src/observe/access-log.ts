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
  /** Lines per window for one reason, of all clients together. */
  readonly burstOfReason?: number;
  /** How many pairs of reason and client are remembered. */
  readonly maxKeys?: number;
  /** One of so many sessions that ended well gets a line; 0: none. */
  readonly sample?: number;
  /** Called for each line that is left out. */
  readonly onSuppressed?: (reason: EndReason) => void;
}

/** What lines are about. */
export interface AccessLogKind<Logged> {
  readonly fields: (record: Logged, startedAt: string) => string;
  readonly ended: string;
  readonly refused: string;
  /** Of a refused one. */
  readonly level: 'info' | 'warn';
  readonly leftOut: string;
}

export const SESSIONS: AccessLogKind<SessionRecord> = {
  fields: sessionFields,
  ended: 'session ended',
  refused: 'session refused',
  level: 'warn',
  leftOut: 'refused sessions were left out of the log',
};

/** A refused request is an answer like any other, which its client has read. */
export const REQUESTS: AccessLogKind<RequestRecord> = {
  fields: requestFields,
  ended: 'request served',
  refused: 'request refused',
  level: 'info',
  leftOut: 'refused requests were left out of the log',
};

type Logged = Pick<SessionRecord, 'reason' | 'clientAddress' | 'startedAt'>;

export interface AccessLog<Of> {
  write(record: Of): void;
  /** Logs how many lines were left out and are not in a line yet: one line for each reason. */
  tell(): void;
  close(): void;
}

/**
 * One line per record: `info` where nothing was wrong, the level of its kind where it was refused
 * or cut. Lines about refusals are limited; the next one that passes has in `suppressed` how many
 * were left out, and where none comes a line of its own does. Lines about the others may be
 * sampled, and then have `sample`. The counters see every record, with or without a line.
 */
export function createAccessLog<Of extends Logged>(kind: AccessLogKind<Of>, options: AccessLogOptions): AccessLog<Of> {
  const { log, clock, burst = 10, burstOfReason = 1_000, maxKeys = 10_000, sample = 1, onSuppressed } = options;
  const limits = new LineLimits({ clock, burst, burstOfReason, maxKeys });
  const startTimes = new IsoTime();
  const fieldsOf = (record: Of): string => kind.fields(record, startTimes.of(record.startedAt));
  let coming: Timer | null = null;
  let ended = 0;

  function refused(record: Of): void {
    const suppressed = limits.take(record.reason, record.clientAddress);
    if (suppressed === null) {
      onSuppressed?.(record.reason);
      // A window later than the next line could come that has the number.
      coming ??= clock.after(2 * WINDOW_MS, tell);
      return;
    }
    const fields = fieldsOf(record);
    log.line(kind.level, suppressed === 0 ? fields : `${fields},"suppressed":${suppressed}`, kind.refused);
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
      if (!Object.hasOwn(NORMAL_ENDS, record.reason)) return refused(record);
      if (sample === 0 || ended++ % sample !== 0) return;
      const fields = fieldsOf(record);
      log.line('info', sample === 1 ? fields : `${fields},"sample":${sample}`, kind.ended);
    },
  };
}
