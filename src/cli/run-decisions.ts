import { shortAmount, shortDuration } from '../base/short-text.ts';
import { oneLine, withoutControls } from '../base/plain-text.ts';
import { followPage, pageOf, parsedJson } from './ask-admin.ts';
import type { DecisionsCommand } from './commands/decisions.ts';
import { EXIT_UNAVAILABLE } from './exit-codes.ts';
import { Stopped, untilStopped } from './load-folder.ts';
import type { Terminal } from './terminal.ts';
import { shownAdmin } from './values.ts';

/** Exits with 0, with 64 for a query that the egress refuses, with 69 where it does not answer. */
export function decisionsCommand(command: DecisionsCommand, terminal: Terminal): Promise<number> {
  const { at, query, follow, output } = command;
  const url = shownAdmin(at.url);
  const print = (line: string): void =>
    terminal.out(output === 'json' ? `${withoutControls(line)}\n` : decisionText(parsed(line, url)));
  return untilStopped(terminal, async () => {
    if (!follow) {
      const search = new URLSearchParams({ ...query, output: 'ndjson' });
      const lines = (await pageOf(at, `/decisions?${search.toString()}`)).split('\n').filter((line) => line !== '');
      for (const line of oldestFirst(lines, url)) print(line);
      return 0;
    }
    const search = new URLSearchParams({ ...query, follow: 'true' });
    const page = followPage(at, `/decisions?${search.toString()}`, print);
    let stopped = false;
    const forget = terminal.onSignal(['SIGINT', 'SIGTERM'], () => {
      stopped = true;
      page.stop();
    });
    await page.ended.finally(forget);
    if (!stopped) throw new Stopped(EXIT_UNAVAILABLE, `the egress at ${url} was stopped: no more decisions come from it`);
    return 0;
  });
}

type Decision = Readonly<Record<string, unknown>>;

function oldestFirst(lines: readonly string[], url: string): readonly string[] {
  const timed = lines.map((line) => ({ line, at: Number(parsed(line, url)['startedAt']) }));
  return timed.sort((a, b) => a.at - b.at).map(({ line }) => line);
}

function parsed(line: string, url: string): Decision {
  const value = parsedJson(line);
  if (typeof value === 'object' && value !== null) return { ...value };
  throw new Stopped(EXIT_UNAVAILABLE, `ask ${url}: the answer is not from a zone egress of this version`);
}

/** Writes a record as one line; the fields of another version are left out. */
function decisionText(of: Decision): string {
  if (of['kind'] === 'missed') return `missed ${Number(of['count'])} records: they came faster than they were read\n`;
  const client =
    Array.isArray(of['spiffeIds']) && of['spiffeIds'].length > 0 ? String(of['spiffeIds'][0]) : text(of, 'clientAddress');
  const to = text(of, 'destination') || text(of, 'sni') || 'no name';
  const request = of['kind'] === 'request' ? ` ${text(of, 'method')} ${text(of, 'path')} ${text(of, 'status')}` : '';
  const moved = `${shortAmount(Number(of['bytesUp']))} up, ${shortAmount(Number(of['bytesDown']))} down in ${shortDuration(Number(of['totalMs']))}`;
  const passed = text(of, 'wouldRefuse');
  const detail = `${text(of, 'detail') || moved}${passed === '' ? '' : `; would be refused: ${passed}`}`;
  const at = timeText(Number(of['startedAt']));
  return `${oneLine(`${at} ${text(of, 'id')} ${text(of, 'reason')}: ${client} to ${to}${request}: ${detail}`)}\n`;
}

function text(of: Decision, name: string): string {
  const value = of[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** An answer that is not from an egress may have any number. */
function timeText(ms: number): string {
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? 'at no time' : time.toISOString();
}
