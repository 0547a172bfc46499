import { systemClock } from './clock.ts';

/**
 * Waits for a promise, at most `ms` of real time; true when it settled. A rejection counts as
 * settled: its owner reports the reason.
 */
export function within(ms: number, waited: Promise<unknown> | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = systemClock().after(ms, () => resolve(false));
    const done = (): void => {
      timer.cancel();
      resolve(true);
    };
    if (waited === undefined) done();
    else waited.then(done, done);
  });
}
