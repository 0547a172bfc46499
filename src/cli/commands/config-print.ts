import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import type { ParsedOptions, OptionTable } from '../options.ts';
import { CONTROL_PLANE_OPTIONS } from '../control-plane-flags.ts';
import { CONFIG_OPTION, RUN_OPTIONS, checkedRunOptions, givenToRun } from '../run-options.ts';
import type { RunOptions } from '../run-options.ts';
import { outputForm } from '../values.ts';

export interface ConfigPrintCommand {
  readonly given: ParsedOptions;
  readonly options: RunOptions;
  readonly output: 'text' | 'json';
}

const OUTPUT: OptionTable = {
  output: {
    kind: 'text',
    short: 'o',
    fallback: 'text',
    value: 'FORM',
    choices: ['text', 'json'],
    help: 'text (a file for --config, with comments) or json',
  },
};

export const configPrintEntry: CommandEntry = command({
  usage: [
    'zone-egress config print [options of run] [-o text|json]',
    'Prints the options that run would have, and where each comes from: a variable, a flag, the file of --config, or the default. Never prints a token.',
  ],
  options: { ...CONFIG_OPTION, ...RUN_OPTIONS, ...CONTROL_PLANE_OPTIONS, ...OUTPUT },
  parse(argv, env): ConfigPrintCommand {
    const given = givenToRun(argv, env, OUTPUT);
    // Refuses what `run` would refuse.
    const options = checkedRunOptions(given, env);
    return { given, options, output: outputForm(given.text('output') ?? 'text') };
  },
  run: async (parsed, terminal) => (await import('../config-print.ts')).configPrintCommand(parsed, terminal),
});
