import { systemClock } from './clock.ts';

/**
 * Waits for something at most so long, in real time: true when it was done. A rejection counts as
 * done; who started it says why.
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
