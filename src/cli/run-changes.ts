import { plural } from '../base/plural.ts';
import { linesText } from '../explain/lines.ts';
import { change } from './ask-admin.ts';
import type { WantedChange } from './ask-admin.ts';
import type { ChangeCommand } from './change-command.ts';
import { EXIT_CONFIG, EXIT_UNAVAILABLE } from './exit-codes.ts';
import { fileText } from './file-text.ts';
import { Stopped, untilStopped } from './load-folder.ts';
import type { Terminal } from './terminal.ts';
import { shownAdmin } from './values.ts';

/** Exits with 0, with 64 for a wrong query, with 69 where the egress does not answer or refuses. */
export function changeCommand(command: ChangeCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const answer = await change(wanted(command));
    terminal.out(linesText([...told(command, answer), '']));
    return 0;
  });
}

function told({ says, at }: ChangeCommand, answer: string): readonly string[] {
  if (typeof says === 'string') return [says];
  const level = /^ {2}zone-egress: (\w+)$/m.exec(answer)?.[1];
  if (says === null && level !== undefined) return [level === 'warning' ? 'warn' : level];
  const ended = Number(/"ended": (\d{1,9})\b/.exec(answer)?.[1] ?? Number.NaN);
  if (!Number.isNaN(ended)) return [`ended ${plural(ended, 'session')}`];
  throw new Stopped(EXIT_UNAVAILABLE, `ask ${shownAdmin(at.url)}: the answer is not from a zone egress of this version`);
}

function wanted({ at, target, tokenFile }: ChangeCommand): WantedChange {
  return { at, target, token: tokenOf(tokenFile) };
}

/** Returns the token of `--admin-token-file`; null where none is given. */
export function tokenOf(path: string | null): string | null {
  return path === null ? null : firstToken(path);
}

/** Returns the last word of the first line that is no comment. Never quotes the file. */
function firstToken(path: string): string {
  const lines = fileText(path)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const token = lines[0]?.split(/\s+/).at(-1);
  if (token === undefined || !/^[\x21-\x7e]+$/.test(token)) throw new Stopped(EXIT_CONFIG, `${path}: it has no token`);
  return token;
}
