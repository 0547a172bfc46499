import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { noPositional, readOptions } from '../options.ts';

export const configSchemaEntry: CommandEntry = command({
  usage: ['zone-egress config schema', 'Prints the JSON Schema of the file of --config, for editors.'],
  options: {},
  parse: (argv, env) => noPositional(readOptions(argv, env, {}), 'config schema'),
  async run(_, terminal) {
    terminal.out((await import('../config-schema.ts')).configSchema());
    return 0;
  },
});
