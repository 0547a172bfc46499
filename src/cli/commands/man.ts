import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { noPositional, readOptions } from '../options.ts';

export const manEntry: CommandEntry = command({
  usage: ['zone-egress man', 'Prints the manual page: zone-egress man | man -l -'],
  options: {},
  parse: (argv, env) => noPositional(readOptions(argv, env, {}), 'man'),
  async run(_, terminal) {
    terminal.out((await import('../man-page.ts')).manPage());
    return 0;
  },
});
