import type { Clock } from '../base/clock.ts';
import type { DataSides } from './data-sides.ts';

export interface DrainOptions {
  readonly clock: Clock;
  readonly sides: DataSides;
  readonly drainTimeMs: number;
}

export type Drained = 'clean' | 'cut';

/** New connections are waited out for this long without one, so that clients who have not heard of the shutdown still get through. */
const QUIET_MS = 2_000;
const LOOK_MS = 25;

/**
 * Lets an egress run dry: keeps accepting until nothing came for 2 s or half the drain time is gone, closes the listener, and waits for the sessions
 * up to the drain time. What is left then is cut. `hurry` ends the waiting now.
 */
export function drain(options: DrainOptions): { readonly done: Promise<Drained>; readonly hurry: () => void } {
  const { clock, sides, drainTimeMs } = options;
  const startedAt = clock.now();
  let hurried = false;
  let wake: (() => void) | null = null;

  function until(condition: () => boolean, atMostMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = clock.every(LOOK_MS, look);
      wake = look;
      function look(): void {
        const met = condition();
        if (!met && !hurried && clock.now() - startedAt < atMostMs) return;
        timer.cancel();
        wake = null;
        resolve(met);
      }
      look();
    });
  }

  async function run(): Promise<Drained> {
    let closed = false;
    void sides.closeListeners({ quietMs: Math.min(QUIET_MS, drainTimeMs / 2), atMostMs: drainTimeMs / 2 }).then(() => {
      closed = true;
      wake?.();
    });
    await until(() => closed, drainTimeMs);
    const clean = await until(() => sides.limits.sessions === 0, drainTimeMs);
    if (clean) return 'clean';
    sides.endSessions();
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
