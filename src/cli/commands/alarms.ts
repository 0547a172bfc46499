import { adminAt } from '../admin-at.ts';
import type { AdminAt } from '../admin-at.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { ADMIN_OPTION } from '../find-options.ts';
import { noPositional, readOptions, required } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { outputForm } from '../values.ts';

export interface AlarmsCommand {
  readonly at: AdminAt;
  readonly output: 'text' | 'json';
}

const OPTIONS: OptionTable = {
  ...ADMIN_OPTION,
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', choices: ['text', 'json'], help: 'text or json' },
};

export const alarmsEntry: CommandEntry = command({
  usage: [
    'zone-egress alarms --admin URL [-o text|json]',
    'Lists what is wrong with a running egress, and what to do about it. Exit 0 nothing, 3 there are alarms.',
  ],
  options: OPTIONS,
  parse(argv, env): AlarmsCommand {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'alarms');
    return { at: adminAt(given, required(given, 'admin', 'alarms')), output: outputForm(given.text('output') ?? 'text') };
  },
  run: async (parsed, terminal) => (await import('../run-alarms.ts')).alarmsCommand(parsed, terminal),
});
