import type { Egress } from '../egress.ts';
import type { RunOptions } from './run-options.ts';
import type { Terminal } from './terminal.ts';

/** Changes the level of the log of a running egress on a signal. */
export interface LevelSwitch {
  /** Sets `debug`, and the second time the level of the options. */
  toggle(): void;
  /** Reads the options again: a level that has changed there counts from now on. */
  reread(): void;
}

export function levelSwitch(
  egress: Pick<Egress, 'logLevel' | 'setLogLevel'>,
  { logLevel, again }: Pick<RunOptions, 'logLevel' | 'again'>,
  terminal: Pick<Terminal, 'err'>,
): LevelSwitch {
  let ofOptions = logLevel;
  return {
    toggle: () => egress.setLogLevel(egress.logLevel === 'debug' ? ofOptions : 'debug'),
    reread() {
      try {
        const level = again?.().logLevel ?? ofOptions;
        if (level === ofOptions) return;
        ofOptions = level;
        egress.setLogLevel(level);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        terminal.err(`zone-egress: the options stay as they are: ${why}\n`);
      }
    },
  };
}
