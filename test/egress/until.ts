import { setTimeout as pause } from 'node:timers/promises';

const BOUND_MS = 30_000;
const LOOK_MS = 5;

/** Resolves when the condition is true; says what it waited for when it is still not after 30 s. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + BOUND_MS;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${BOUND_MS} ms for: ${what}`);
    await pause(LOOK_MS);
  }
}
