import type { Clock } from '../base/clock.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface DrainOptions {
  readonly clock: Clock;
  readonly workers: WorkerPool;
  readonly drainTimeMs: number;
  /**
   * True accepts connections for the whole drain time, as kuma-dp does: the control plane announces
   * the end to clients, and only after it.
   */
  readonly acceptThroughout?: boolean;
  /**
   * True for a supervisor's listening socket: the next egress takes the connections in its queue,
   * so this one stops accepting at once.
   */
  readonly sharesQueue?: boolean;
}

export type Drained = 'clean' | 'cut';

/**
 * Accepting ends after this much time without a new connection, so that clients that do not know of
 * the shutdown yet are still served.
 */
const QUIET_MS = 2_000;
const LOOK_MS = 25;
/**
 * Data sides end things within a turn or two of their loops; one that hangs must not hang the end.
 */
const OBEY_MS = 1_000;

/**
 * Drains an egress: asks HTTP clients to leave, accepts until no connection came for 2 s or half
 * the drain time is gone, closes the listener, and waits for the sessions up to the drain time.
 * With `acceptThroughout` it accepts until the end of the drain time. Then the remaining sessions
 * are cut. `hurry` ends the wait now. When `done` resolves no connection is accepted any more, and
 * no session is open.
 */
export function drain(options: DrainOptions): { readonly done: Promise<Drained>; readonly hurry: () => void } {
  const { clock, workers, drainTimeMs } = options;
  const endAt = clock.now() + drainTimeMs;
  let hurried = false;
  let wake: (() => void) | null = null;

  /** Resolves with true when the condition is met, with false when the time is over. */
  function until(condition: () => boolean, over: () => boolean): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = clock.every(LOOK_MS, look);
      wake = look;
      function look(): void {
        const met = condition();
        if (!met && !over()) return;
        timer.cancel();
        wake = null;
        resolve(met);
      }
      look();
    });
  }

  function within(ms: number): () => boolean {
    const latest = clock.now() + ms;
    return () => clock.now() >= latest;
  }

  async function run(): Promise<Drained> {
    const timeIsOver = (): boolean => hurried || clock.now() >= endAt;
    workers.drain();
    let closed = false;
    const onClosed = (): void => {
      closed = true;
      wake?.();
    };
    if (options.acceptThroughout === true) await until(() => false, timeIsOver);
    else {
      const most = options.sharesQueue === true ? 0 : drainTimeMs / 2;
      void workers.closeListeners({ quietMs: Math.min(QUIET_MS, most), atMostMs: most }).then(onClosed);
    }
    if (!(await until(() => closed, timeIsOver))) {
      void workers.closeListeners({ quietMs: 0, atMostMs: 0 }).then(onClosed);
      await until(() => closed, within(OBEY_MS));
    }
    const noSession = (): boolean => workers.limits.sessions === 0;
    if (await until(noSession, timeIsOver)) return 'clean';
    workers.endSessions(hurried ? 'the drain was ended before its time was over' : 'the drain time is over');
    await until(noSession, within(OBEY_MS));
    return 'cut';
  }

  return {
    done: run(),
    hurry() {
      hurried = true;
      wake?.();
    },
  };
}
