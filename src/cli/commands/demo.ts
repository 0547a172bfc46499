import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { readOptions } from '../options.ts';

export interface DemoCommand {
  readonly once: boolean;
  /** Empty makes a temporary folder. */
  readonly dir: string;
}

export const demoEntry: CommandEntry = command({
  usage: [
    'zone-egress demo [DIR] [--once]',
    'Runs a sample zone on loopback and sends one session of each kind through it. `npm start` is this.',
  ],
  options: {},
  parse(argv, env): DemoCommand {
    const given = readOptions(argv, env, { once: { kind: 'flag', help: '' } });
    return { once: given.flag('once'), dir: given.positionals[0] ?? '' };
  },
  run: async (parsed, terminal) => (await import('../demo.ts')).demoCommand(parsed, terminal),
});
