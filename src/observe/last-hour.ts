import type { Clock } from '../base/clock.ts';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { Observer } from './observer.ts';
import { processMemory } from './process-metrics.ts';

/** The numbers of one interval. */
export interface HourSample {
  /** The end of the interval, in milliseconds since the Unix epoch. */
  readonly at: number;
  /** Connections that were open at its end. */
  readonly open: number;
  readonly ended: number;
  /** Sessions and requests that were refused. */
  readonly refused: number;
  /** Bytes in both directions, counted when a session or request ends. */
  readonly bytes: number;
  /** Share of one processor. */
  readonly cpu: number;
  /** Resident memory of the process. */
  readonly resident: number;
}

export interface LastHour {
  readonly intervalMs: number;
  /** Oldest first, at most those of an hour. */
  samples(): readonly HourSample[];
  close(): void;
}

const INTERVAL_MS = 15_000;
const KEPT = 3_600_000 / INTERVAL_MS;

/**
 * Keeps the numbers of the last hour, so that a page that is opened during an incident shows its
 * begin: 240 samples of seven numbers.
 */
export function lastHour(observer: Pick<Observer, 'onRecord' | 'onRequest'>, clock: Clock, open: () => number): LastHour {
  const kept: HourSample[] = [];
  let [ended, refused, bytes] = [0, 0, 0];
  let before = { now: clock.now(), cpu: cpuMs() };
  const stops = [
    observer.onRecord((record) => {
      ended++;
      if (!Object.hasOwn(NORMAL_ENDS, record.reason)) refused++;
      if (record.requests === undefined) bytes += record.bytesUp + record.bytesDown;
    }),
    observer.onRequest((record) => {
      if (!Object.hasOwn(NORMAL_ENDS, record.reason)) refused++;
      bytes += record.bytesUp + record.bytesDown;
    }),
  ];
  const timer = clock.every(INTERVAL_MS, () => {
    const at = { now: clock.now(), cpu: cpuMs() };
    const cpu = (at.cpu - before.cpu) / Math.max(1, at.now - before.now);
    kept.push({ at: clock.wall(), open: open(), ended, refused, bytes, cpu, resident: processMemory().resident });
    if (kept.length > KEPT) kept.shift();
    [ended, refused, bytes] = [0, 0, 0];
    before = at;
  });
  return {
    intervalMs: INTERVAL_MS,
    samples: () => kept,
    close() {
      timer.cancel();
      for (const stop of stops) stop();
    },
  };
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
