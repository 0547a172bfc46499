import { withoutControls } from '../base/plain-text.ts';
import { linesText } from '../explain/lines.ts';
import { pageOf } from './ask-admin.ts';
import { changeCommand } from './run-changes.ts';
import type { SessionsCommand } from './commands/sessions.ts';
import { untilStopped } from './load-folder.ts';
import type { Terminal } from './terminal.ts';

/** Exits with 0, with 64 for a query that the egress refuses, with 69 where it does not answer. */
export function sessionsCommand({ at, query, output, end }: SessionsCommand, terminal: Terminal): Promise<number> {
  if (end !== null) return changeCommand(end, terminal);
  return untilStopped(terminal, async () => {
    const search = new URLSearchParams({ ...query, output: output === 'text' ? 'table' : 'json' });
    const page = await pageOf(at, `/sessions?${search.toString()}`);
    terminal.out(output === 'text' ? linesText(page.split('\n')) : withoutControls(page));
    return 0;
  });
}
