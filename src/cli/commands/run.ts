import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { RUN_OPTIONS, runOptions } from '../run-options.ts';

export const run: CommandEntry = command({
  usage: ['zone-egress run --resources DIR [options]', 'Serves a folder of Kuma resources until SIGTERM.'],
  options: RUN_OPTIONS,
  parse: runOptions,
  run: async (options, terminal) => (await import('../run.ts')).runCommand(options, terminal),
});
