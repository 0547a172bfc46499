import { setTimeout as pause } from 'node:timers/promises';

/**
 * What comes at all comes within this time, however busy the machine is: only a failure takes so
 * long.
 */
export const BOUND_MS = 120_000;
/**
 * A drain, a deadline, a time-out that has to lie beyond it: what came before it did not wait for
 * it.
 */
export const FAR_MS = 600_000;
const LOOK_MS = 5;

/**
 * Resolves when the condition is true; says what it waited for when it is still not after two
 * minutes.
 */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + BOUND_MS;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${BOUND_MS} ms for: ${what}`);
    await pause(LOOK_MS);
  }
}
