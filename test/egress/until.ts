import { setTimeout as pause } from 'node:timers/promises';

/** Bounds every event that must come, on any machine: only a failure takes this long. */
export const BOUND_MS = 120_000;
/**
 * A drain, a deadline or a time-out that must lie beyond the test: events before it did not wait
 * for it.
 */
export const FAR_MS = 600_000;
const LOOK_MS = 5;

/** Resolves when the condition is true; rejects, with what it waited for, after two minutes. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + BOUND_MS;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${BOUND_MS} ms for: ${what}`);
    await pause(LOOK_MS);
  }
}
