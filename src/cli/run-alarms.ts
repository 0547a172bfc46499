import { oneLine, withoutControls } from '../base/plain-text.ts';
import { pageOf, parsedJson } from './ask-admin.ts';
import type { AlarmsCommand } from './commands/alarms.ts';
import { EXIT_UNAVAILABLE } from './exit-codes.ts';
import { Stopped, untilStopped } from './load-folder.ts';
import type { Terminal } from './terminal.ts';
import { shownAdmin } from './values.ts';

const EXIT_ALARMS = 3;

/** Exits with 0 without an alarm, with 3 where there is one, with 69 without an answer. */
export function alarmsCommand({ at, output }: AlarmsCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const page = await pageOf(at, '/alarms');
    const alarms = alarmsIn(page);
    if (alarms === null)
      throw new Stopped(EXIT_UNAVAILABLE, `ask ${shownAdmin(at.url)}: the answer is not from a zone egress of this version`);
    terminal.out(output === 'json' ? withoutControls(page) : alarmsText(alarms));
    return alarms.length === 0 ? 0 : EXIT_ALARMS;
  });
}

/** An alarm as a page of any version has it. */
export interface ReadAlarm {
  readonly name: string;
  readonly severity: string;
  readonly since: string;
  readonly subject: string;
  readonly says: string;
  readonly do: string;
}

/** Returns null for a text that is no list of alarms. */
export function alarmsIn(page: string): readonly ReadAlarm[] | null {
  const value = parsedJson(page);
  if (typeof value !== 'object' || value === null || !('alarms' in value) || !Array.isArray(value.alarms)) return null;
  return value.alarms.map((each: unknown) => {
    const of: Readonly<Record<string, unknown>> = typeof each === 'object' && each !== null ? { ...each } : {};
    const text = (name: string): string => (typeof of[name] === 'string' ? of[name] : '');
    return {
      name: text('name'),
      severity: text('severity'),
      since: text('since'),
      subject: text('subject'),
      says: text('says'),
      do: text('do'),
    };
  });
}

function alarmsText(alarms: readonly ReadAlarm[]): string {
  if (alarms.length === 0) return 'no alarm\n';
  return alarms
    .flatMap(alarmLines)
    .map((line) => `${oneLine(line)}\n`)
    .join('');
}

export function alarmLines({ name, severity, since, subject, says, do: todo }: ReadAlarm): readonly string[] {
  return [`${severity} ${name}: ${subject}: ${says}`, `  since ${since}`, `  to do: ${todo}`];
}
