import { adminAt } from '../admin-at.ts';
import type { ChangeCommand } from '../change-command.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { CHANGE_OPTIONS } from '../find-options.ts';
import { readOptions, required } from '../options.ts';
import { levelOrNull } from '../values.ts';

export const logLevelEntry: CommandEntry = command({
  usage: [
    'zone-egress log-level [debug|info|warn|error|off] --admin URL [--admin-token-file FILE]',
    'Prints the level of the log of a running egress, or changes it until the egress is restarted or reads its options again.',
  ],
  options: CHANGE_OPTIONS,
  parse(argv, env): ChangeCommand {
    const given = readOptions(argv, env, CHANGE_OPTIONS);
    const [level, more] = given.positionals;
    if (more !== undefined) throw new Error(`log-level takes one level, got ${JSON.stringify(more)} too`);
    if (level !== undefined && levelOrNull(level) === null)
      throw new Error(`log-level ${JSON.stringify(level)}: allowed are debug, info, warn, error and off`);
    const at = adminAt(given, required(given, 'admin', 'log-level'));
    const target = level === undefined ? '/logging' : `/logging?level=${level}`;
    return { at, target, tokenFile: given.text('admin-token-file'), says: null };
  },
  run: async (parsed, terminal) => (await import('../run-changes.ts')).changeCommand(parsed, terminal),
});
