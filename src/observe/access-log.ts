import { LRUCache } from 'lru-cache';
import type { Clock, Timer } from '../base/clock.ts';
import { IsoTime } from '../base/iso-time.ts';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { EndReason } from '../base/refusal.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { RootLog } from './log.ts';
import { requestFields, sessionFields } from './session-line.ts';

export interface AccessLogOptions {
  readonly log: Pick<RootLog, 'line' | 'warn'>;
  readonly clock: Clock;
  /** Lines per window for one reason and one client address. */
  readonly burst?: number;
  /** Lines per window for one reason, whoever the clients are. */
  readonly burstOfReason?: number;
  readonly windowMs?: number;
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
  /** Says what was left out and no line has told yet: one line for each reason. */
  tell(): void;
  close(): void;
}

interface Window {
  readonly reason: EndReason;
  startedAt: number;
  lines: number;
  suppressed: number;
}

/**
 * One line per record: `info` where nothing was wrong, the level of its kind where it was refused
 * or cut. Lines
 * about refusals are limited; the next one that passes says in `suppressed` how many were left out,
 * and where none comes a line of its own does. Lines about the others may be sampled, and then say
 * so. The counters see every record, with or without a line.
 */
export function createAccessLog<Of extends Logged>(kind: AccessLogKind<Of>, options: AccessLogOptions): AccessLog<Of> {
  const {
    log,
    clock,
    burst = 10,
    burstOfReason = 1_000,
    windowMs = 10_000,
    maxKeys = 10_000,
    sample = 1,
    onSuppressed,
  } = options;
  const ofReason = new Map<EndReason, Window>();
  const windows = new LRUCache<string, Window>({
    max: maxKeys,
    // What is forgotten of a client is still known of its reason.
    dispose({ reason, suppressed }) {
      currentOfReason(reason).suppressed += suppressed;
    },
  });
  const startTimes = new IsoTime();
  const fieldsOf = (record: Of): string => kind.fields(record, startTimes.of(record.startedAt));
  let told: Timer | null = null;
  let ended = 0;

  function current(reason: EndReason, client: string): Window {
    const key = `${reason} ${client}`;
    const found = windows.get(key);
    if (found !== undefined) return found;
    const fresh = { reason, startedAt: clock.now(), lines: 0, suppressed: 0 };
    windows.set(key, fresh);
    return fresh;
  }

  function currentOfReason(reason: EndReason): Window {
    const window = ofReason.get(reason) ?? { reason, startedAt: clock.now(), lines: 0, suppressed: 0 };
    ofReason.set(reason, window);
    return window;
  }

  function refused(record: Of): void {
    const one = current(record.reason, record.clientAddress);
    const all = currentOfReason(record.reason);
    if (!admits(one, burst) || !admits(all, burstOfReason)) {
      const full = one.lines >= burst ? one : all;
      full.suppressed++;
      onSuppressed?.(record.reason);
      // A window later than the next line could come that tells it.
      told ??= clock.after(2 * windowMs, tell);
      return;
    }
    const suppressed = one.suppressed + all.suppressed;
    for (const window of [one, all]) {
      window.lines++;
      window.suppressed = 0;
    }
    const fields = fieldsOf(record);
    log.line(kind.level, suppressed === 0 ? fields : `${fields},"suppressed":${suppressed}`, kind.refused);
  }

  function admits(window: Window, limit: number): boolean {
    const now = clock.now();
    if (now - window.startedAt >= windowMs) {
      window.startedAt = now;
      window.lines = 0;
    }
    return window.lines < limit;
  }

  function tell(): void {
    told?.cancel();
    told = null;
    const left = new Map<EndReason, number>();
    for (const window of [...windows.values(), ...ofReason.values()]) {
      if (window.suppressed > 0) left.set(window.reason, (left.get(window.reason) ?? 0) + window.suppressed);
      window.suppressed = 0;
    }
    for (const [reason, suppressed] of left) log.warn({ reason, suppressed }, kind.leftOut);
  }

  return {
    tell,
    close() {
      told?.cancel();
      told = null;
    },
    write(record) {
      if (!Object.hasOwn(NORMAL_ENDS, record.reason)) return refused(record);
      if (sample === 0 || ended++ % sample !== 0) return;
      const fields = fieldsOf(record);
      log.line('info', sample === 1 ? fields : `${fields},"sample":${sample}`, kind.ended);
    },
  };
}
