import type { Clock } from '../base/clock.ts';
import { drain } from '../control/drain.ts';
import type { Drained } from '../control/drain.ts';
import type { WorkerPool } from '../control/worker-pool.ts';
import type { Observer } from '../observe/observer.ts';

/** Ends the egress, and writes the last log line. */
export interface Drainage {
  /** Also true for an end without a drain. */
  isEnding(): boolean;
  end(): void;
  drain(drainTimeMs: number): { readonly done: Promise<Drained>; readonly hurry: () => void };
  /** Logs how the drain ended, where there was one. */
  report(): void;
}

export interface DrainageOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly workers: WorkerPool;
  readonly acceptThroughout: boolean;
  readonly sharesQueue: boolean;
}

/** Interval of the log lines about the progress of a drain. */
const TELL_MS = 5_000;

export function drainage({ clock, observer, workers, acceptThroughout, sharesQueue }: DrainageOptions): Drainage {
  let ending = false;
  let drained: { readonly startedAt: number; ended: number; cut: number; lost: number } | null = null;
  function count(): void {
    const counts = { startedAt: clock.now(), ended: 0, cut: 0, lost: 0 };
    observer.onRecord(({ reason }) => counts[reason === 'drained' ? 'cut' : 'ended']++);
    drained = counts;
  }
  return {
    isEnding: () => ending,
    end() {
      ending = true;
    },
    drain(drainTimeMs) {
      ending = true;
      if (drained === null) count();
      const { log } = observer;
      const endAt = clock.now() + drainTimeMs;
      log.info({ drainTimeMs, sessions: workers.limits.sessions }, 'draining');
      const telling = clock.every(TELL_MS, () => {
        const leftMs = Math.max(0, Math.round(endAt - clock.now()));
        log.info({ sessions: workers.limits.sessions, leftMs }, 'still draining');
      });
      const { done, hurry } = drain({ clock, workers, drainTimeMs, acceptThroughout, sharesQueue });
      return {
        done: done.finally(() => {
          telling.cancel();
          // Counts the sessions of a data side that hangs: it sends no records of them.
          if (drained !== null) drained.lost = workers.limits.sessions;
        }),
        hurry() {
          log.warn({ sessions: workers.limits.sessions }, 'a second signal cuts the sessions that are left');
          hurry();
        },
      };
    },
    report() {
      if (drained === null) return;
      const { ended, lost, startedAt } = drained;
      const cut = drained.cut + lost;
      const tookMs = Math.round(clock.now() - startedAt);
      const message = cut === 0 ? 'drained: every session has ended' : 'drained: some sessions were cut';
      observer.log.info({ ended, cut, tookMs }, message);
    },
  };
}
