import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';
import type { FolderOptions } from '../load-folder.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';
import { outputForm } from '../values.ts';

export interface DiffCommand {
  readonly before: FolderOptions;
  readonly after: FolderOptions;
  readonly output: 'text' | 'json';
}

const { name, zone, identities } = SOURCE_OPTIONS;

const OPTIONS: OptionTable = {
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', choices: ['text', 'json'], help: 'text or json' },
  name,
  zone,
  identities,
};

export const diffEntry: CommandEntry = command({
  usage: [
    'zone-egress diff OLD NEW [-o text|json] [--name NAME] [--zone ZONE] [--identities DIR]',
    'Compares what an egress serves from two folders: newly allowed clients, weaker TLS, routes, endpoints. Exit 0 the same, 3 differences.',
  ],
  options: OPTIONS,
  parse(argv, env): DiffCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [before, after, extra] = given.positionals;
    if (before === undefined || after === undefined) throw new Error('diff needs two folders of resources: the old and the new');
    if (extra !== undefined) throw new Error(`diff takes two folders, got ${JSON.stringify(extra)} too`);
    const same = { name: given.text('name'), zone: given.text('zone'), identities: given.text('identities') };
    return {
      before: { dir: before, ...same },
      after: { dir: after, ...same },
      output: outputForm(given.text('output') ?? 'text'),
    };
  },
  run: async (parsed, terminal) => (await import('../run-diff.ts')).diffCommand(parsed, terminal),
});
