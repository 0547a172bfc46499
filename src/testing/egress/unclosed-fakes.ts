import { writeSync } from 'node:fs';

/** An object that its maker has to close; it is described only where that was forgotten. */
export interface Forgettable {
  /** Names the line that made it, and what of it is open. */
  describe(): string;
}

const open = new Set<Forgettable>();
const STDERR = 2;

/**
 * Reports at the end of the process unless `closed` was called. It does not keep the process from
 * ending.
 */
export function remember(what: Forgettable): { closed(): void } {
  if (open.size === 0) process.on('exit', tell);
  open.add(what);
  return {
    closed() {
      open.delete(what);
      if (open.size === 0) process.removeListener('exit', tell);
    },
  };
}

function tell(): void {
  for (const what of open) writeSync(STDERR, `zone-egress/testing: ${what.describe()}\n`);
}

/** Finds the caller's line outside of this package, in the stack of an error made here. */
export function callerOf(error: Error, own: string): string {
  const lines = (error.stack ?? '').split('\n').slice(1);
  const caller = lines.find((line) => !line.includes(own) && !line.includes('node:internal'));
  return caller?.trim().replace(/^at /, '') ?? 'an unknown place';
}
