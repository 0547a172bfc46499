import { writeSync } from 'node:fs';

/** Something that somebody made and has to close; asked for words only where it was forgotten. */
export interface Forgettable {
  /** Where it was made, and what of it is open. */
  describe(): string;
}

const open = new Set<Forgettable>();
const STDERR = 2;

/**
 * From here on the end of the process says so, unless `closed` was called. Nothing of it keeps the
 * process from ending.
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

/** The line of whoever called into this package, from the stack of an error made there. */
export function callerOf(error: Error, own: string): string {
  const lines = (error.stack ?? '').split('\n').slice(1);
  const caller = lines.find((line) => !line.includes(own) && !line.includes('node:internal'));
  return caller?.trim().replace(/^at /, '') ?? 'an unknown place';
}
