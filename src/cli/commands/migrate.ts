import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';
import { outputForm } from '../values.ts';

export interface MigrateCommand {
  readonly dir: string;
  readonly name: string | null;
  readonly zone: string | null;
  readonly output: 'text' | 'json';
}

const { name, zone } = SOURCE_OPTIONS;

const OPTIONS: OptionTable = {
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', help: 'text (YAML to apply, with comments) or json' },
  name,
  zone,
};

export const migrateEntry: CommandEntry = command({
  usage: [
    'zone-egress migrate DIR [-o text|json] [--name NAME] [--zone ZONE]',
    'Prints what takes the place of the ZoneEgress of a folder in Kuma 3.0, step by step, and who would gain or lose access. Exit 3 where somebody would.',
  ],
  options: OPTIONS,
  parse(argv, env): MigrateCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [dir, extra] = given.positionals;
    if (dir === undefined)
      throw new Error('migrate needs a folder of resources; those of a control plane come into one by `kumactl get … -o yaml`');
    if (extra !== undefined) throw new Error(`migrate takes one folder, got ${JSON.stringify(extra)} too`);
    return { dir, name: given.text('name'), zone: given.text('zone'), output: outputForm(given.text('output') ?? 'text') };
  },
  run: async (parsed, terminal) => (await import('../run-migrate.ts')).migrateCommand(parsed, terminal),
});
