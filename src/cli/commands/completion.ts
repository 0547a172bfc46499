import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { noPositional, readOptions } from '../options.ts';

/** Where each shell looks for it. */
const PLACES = {
  bash: '/usr/share/bash-completion/completions/zone-egress, or source it',
  zsh: 'a file _zone-egress in a folder of $fpath',
  fish: '~/.config/fish/completions/zone-egress.fish',
} as const;

export type Shell = keyof typeof PLACES;

function entryOf(shell: Shell): CommandEntry {
  return command({
    usage: [`zone-egress completion ${shell}`, `Prints the completion of commands and options for ${shell}: ${PLACES[shell]}.`],
    options: {},
    parse: (argv, env) => noPositional(readOptions(argv, env, {}), `completion ${shell}`),
    async run(_, terminal) {
      terminal.out((await import('../completion.ts')).completion(shell));
      return 0;
    },
  });
}

export const completionEntries: Readonly<Record<`completion ${Shell}`, CommandEntry>> = {
  'completion bash': entryOf('bash'),
  'completion zsh': entryOf('zsh'),
  'completion fish': entryOf('fish'),
};
