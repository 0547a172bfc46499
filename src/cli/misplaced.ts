/**
 * Returns what to write in place of an option that other commands have, for the mistakes that are
 * easily made: a folder behind an option or without one, and the address of a running egress. Empty
 * where there is nothing to say.
 */
export function insteadOf(option: string, command: string): string {
  const found = Object.hasOwn(INSTEAD, command) ? INSTEAD[command] : undefined;
  const hint = option === '--admin' ? found?.admin : FOLDER_OPTIONS.has(option) ? found?.folder : undefined;
  return hint === undefined ? '' : `; ${hint}`;
}

/** Returns the error for an argument of a command that takes options only. */
export function strayArgument(command: string, argument: string | undefined): Error {
  const text = JSON.stringify(argument);
  const hint = TAKES_FOLDER.has(command) ? `; a folder of resources goes with --resources: --resources ${text}` : '';
  return new Error(`${command} takes no arguments beside its flags, got ${text}${hint}`);
}

const FOLDER_OPTIONS: ReadonlySet<string> = new Set(['--resources', '--dir', '--folder', '--old', '--new']);
const TAKES_FOLDER: ReadonlySet<string> = new Set(['run', 'explain', 'simulate', 'fake']);

/** `folder`: what to write for a folder; `admin`: which page of a running egress to read. */
const INSTEAD: Readonly<Record<string, { readonly folder?: string; readonly admin?: string }>> = {
  validate: {
    folder: 'the folder stands without an option: zone-egress validate DIR',
    admin: 'a running egress has its problems at /config_errors of its admin pages',
  },
  routes: {
    folder: 'the folder stands without an option: zone-egress routes DIR',
    admin: 'a running egress has its routes at /routes?output=table of its admin pages',
  },
  diff: {
    folder: 'the folders stand without an option: zone-egress diff OLD NEW',
    admin: 'it compares two folders; zone-egress simulate --admin tries a folder with the sessions of a running egress',
  },
  migrate: { folder: 'the folder stands without an option: zone-egress migrate DIR' },
  run: { admin: 'the admin pages are at --admin-bind and the admin port of the ZoneEgress' },
  sessions: { folder: 'sessions are in a running egress: --admin URL' },
  decisions: { folder: 'decisions are in a running egress: --admin URL' },
};
