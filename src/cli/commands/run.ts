import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { CONTROL_PLANE_OPTIONS } from '../control-plane-flags.ts';
import { CONFIG_OPTION, RUN_OPTIONS, runOptions } from '../run-options.ts';

export const runEntry: CommandEntry = command({
  usage: [
    'zone-egress run --resources DIR | --cp-address URL [options]',
    'Serves a folder of Kuma resources, or what a control plane sends, until SIGTERM.',
  ],
  options: { ...CONFIG_OPTION, ...RUN_OPTIONS, ...CONTROL_PLANE_OPTIONS },
  parse: runOptions,
  run: async (options, terminal) => (await import('../run.ts')).runCommand(options, terminal),
});
