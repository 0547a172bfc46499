import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { EndReason } from '../base/refusal.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Log } from './log.ts';

export interface AccessLogOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Lines per window for one reason and one client address. */
  readonly burst?: number;
  /** Lines per window for one reason, whoever the clients are. */
  readonly burstOfReason?: number;
  readonly windowMs?: number;
  /** How many pairs of reason and client are remembered. */
  readonly maxKeys?: number;
  /** Called for each line that is left out. */
  readonly onSuppressed?: (reason: EndReason) => void;
}

export interface AccessLog {
  write(record: SessionRecord): void;
}

interface Window {
  startedAt: number;
  lines: number;
  suppressed: number;
}

/**
 * One line per session: `info` where nothing was wrong, `warn` where it was refused or cut. Lines about refusals are limited; the next one
 * that passes says in `suppressed` how many were left out. The counters see every record, with or without a line.
 */
export function createAccessLog(options: AccessLogOptions): AccessLog {
  const { log, clock, burst = 10, burstOfReason = 1_000, windowMs = 10_000, maxKeys = 10_000, onSuppressed } = options;
  const windows = new LRUCache<string, Window>({ max: maxKeys });
  const ofReason = new Map<EndReason, Window>();

  function current(key: string): Window {
    const found = windows.get(key);
    if (found !== undefined) return found;
    const fresh = { startedAt: clock.now(), lines: 0, suppressed: 0 };
    windows.set(key, fresh);
    return fresh;
  }

  function currentOfReason(reason: EndReason): Window {
    const window = ofReason.get(reason) ?? { startedAt: clock.now(), lines: 0, suppressed: 0 };
    ofReason.set(reason, window);
    return window;
  }

  function refused(record: SessionRecord): void {
    const one = current(`${record.reason} ${record.clientAddress}`);
    const all = currentOfReason(record.reason);
    if (!admits(one, burst) || !admits(all, burstOfReason)) {
      const full = one.lines >= burst ? one : all;
      full.suppressed++;
      onSuppressed?.(record.reason);
      return;
    }
    const suppressed = one.suppressed + all.suppressed;
    for (const window of [one, all]) {
      window.lines++;
      window.suppressed = 0;
    }
    log.warn(suppressed === 0 ? fieldsOf(record) : { ...fieldsOf(record), suppressed }, 'session refused');
  }

  function admits(window: Window, limit: number): boolean {
    const now = clock.now();
    if (now - window.startedAt >= windowMs) {
      window.startedAt = now;
      window.lines = 0;
    }
    return window.lines < limit;
  }

  return {
    write(record) {
      if (Object.hasOwn(NORMAL_ENDS, record.reason)) log.info(fieldsOf(record), 'session ended');
      else refused(record);
    },
  };
}

/** The record under its own names, with everything that a client chose made printable and bounded. */
function fieldsOf(record: SessionRecord): object {
  return {
    ...record,
    startedAt: new Date(record.startedAt).toISOString(),
    detail: printable(record.detail, 1_024),
    sni: printable(record.sni, 255),
    alpn: bounded(record.alpn),
    spiffeIds: bounded(record.spiffeIds),
    uris: bounded(record.uris),
    certificateIssuer: printable(record.certificateIssuer, 1_024),
  };
}

const MAX_LIST = 16;

function bounded(list: readonly string[]): readonly string[] {
  return list.slice(0, MAX_LIST).map((text) => printable(text, 255));
}

/** Printable ASCII stays, other characters become \xNN. A record whose texts are printable already comes out as it is. */
function printable(text: string, most: number): string {
  const cut = text.length > most ? text.slice(0, most) : text;
  const escaped = /^[\x20-\x7e]*$/.test(cut) ? cut : cut.replace(/[^\x20-\x7e]/g, escape);
  return escaped.length > most ? escaped.slice(0, most) : escaped;
}

function escape(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
