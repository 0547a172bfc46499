import { adminAt } from '../admin-at.ts';
import type { ChangeCommand } from '../change-command.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { CHANGE_OPTIONS } from '../find-options.ts';
import { noPositional, readOptions, required } from '../options.ts';
import type { OptionTable } from '../options.ts';

const OPTIONS: OptionTable = {
  ...CHANGE_OPTIONS,
  now: { kind: 'flag', help: 'take no more connections from this moment on' },
  exit: { kind: 'flag', help: 'end the egress too, as SIGTERM does: sessions have its drain time' },
};

const SAYS = {
  graceful: 'no more connections are taken as soon as none has come for 2 s; sessions go on',
  now: 'no more connections are taken; sessions go on',
  exit: 'the egress drains and ends',
} as const;

const TARGETS = { graceful: '/drain_listeners?graceful', now: '/drain_listeners', exit: '/quitquitquit' } as const;

export const drainEntry: CommandEntry = command({
  usage: [
    'zone-egress drain --admin URL [--now] [--exit] [--admin-token-file FILE]',
    'Takes a running egress out of service: /ready says 503, and no more connections are taken. Its sessions go on.',
  ],
  options: OPTIONS,
  parse(argv, env): ChangeCommand {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'drain');
    if (given.flag('now') && given.flag('exit')) throw new Error('--now and --exit: allowed is one of them');
    const how = given.flag('now') ? 'now' : given.flag('exit') ? 'exit' : 'graceful';
    const at = adminAt(given, required(given, 'admin', 'drain'));
    return { at, target: TARGETS[how], tokenFile: given.text('admin-token-file'), says: SAYS[how] };
  },
  run: async (parsed, terminal) => (await import('../run-changes.ts')).changeCommand(parsed, terminal),
});
