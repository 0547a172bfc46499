import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';

export interface DemoCommand {
  readonly once: boolean;
  /** Empty makes a temporary folder. */
  readonly dir: string;
}

const OPTIONS: OptionTable = { once: { kind: 'flag', help: 'end after the sessions' } };

export const demoEntry: CommandEntry = command({
  usage: [
    'zone-egress demo [DIR] [--once]',
    'Runs a sample zone on loopback and sends one session of each kind through it. `npm start` is this.',
  ],
  options: OPTIONS,
  parse(argv, env): DemoCommand {
    const given = readOptions(argv, env, OPTIONS);
    return { once: given.flag('once'), dir: given.positionals[0] ?? '' };
  },
  run: async (parsed, terminal) => (await import('../demo.ts')).demoCommand(parsed, terminal),
});
