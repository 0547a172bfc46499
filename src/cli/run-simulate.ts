import { systemClock } from '../base/clock.ts';
import { compareWith, expectationsIn } from '../explain/explain-expectations.ts';
import type { ExplainExpectation } from '../explain/explain-expectations.ts';
import { plural } from '../explain/lines.ts';
import { simulationText } from '../explain/print-simulation.ts';
import { sessionsIn } from '../explain/recorded.ts';
import type { ReadSessions } from '../explain/recorded.ts';
import { simulate } from '../explain/simulate.ts';
import { simulateRequests } from '../explain/simulate-requests.ts';
import { plainDocument } from '../resources/plain-document.ts';
import { EXIT_NO_INPUT, EXIT_UNAVAILABLE, EXIT_USAGE } from './exit-codes.ts';
import { askAdmin } from './ask-admin.ts';
import type { SimulateCommand } from './commands/simulate.ts';
import { Stopped, loadFolder, untilStopped } from './load-folder.ts';
import { fileText } from './file-text.ts';
import type { Terminal } from './terminal.ts';

const EXIT_CHANGED = 3;
/** The number that an egress remembers by default. */
const LAST_DECISIONS = 10_000;

/**
 * Exits with 0 where nothing changes or every change was expected, with 3 where something else
 * changes, and with 64, 66, 69 or 78 where that cannot be determined.
 */
export function simulateCommand({ resources, from, expect, output }: SimulateCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const expectations = expect === null ? [] : readExpectations(expect);
    const { snapshot, origins, absent = new Map() } = await loadFolder(resources, terminal);
    const read = from.kind === 'admin' ? await askForSessions(from.url) : readSessions(from.files);
    const sources = { origins, absent };
    const simulation = simulate(snapshot, read.records, sources);
    const requests = simulateRequests(snapshot, read.requests, sources);
    const compared = compareWith([...simulation.changes, ...requests.changes], expectations);
    if (output === 'json') {
      const { unexpected, missing } = compared;
      const { unreadable, unknownVersion } = read;
      const told = { ...simulation, requests, unreadable, unknownVersion, unexpected: unexpected.length, missing };
      terminal.out(`${JSON.stringify(told, null, 2)}\n`);
    } else {
      terminal.out(simulationText({ sessions: simulation, requests }, compared));
      for (const line of unread(read)) terminal.out(`${line}\n`);
    }
    return compared.unexpected.length > 0 ? EXIT_CHANGED : 0;
  });
}

function unread({ unreadable, unknownVersion }: ReadSessions): readonly string[] {
  return [
    ...(unreadable > 0 ? [`skipped: ${plural(unreadable, 'line')} cannot be read as a session or a request`] : []),
    ...(unknownVersion > 0 ? [`skipped: ${plural(unknownVersion, 'line')} of another version`] : []),
  ];
}

function readSessions(files: readonly string[]): ReadSessions {
  const all = files.map((file) => ({ file, ...sessionsIn(fileText(file)) }));
  // A replay without any record is an error, not an unchanged result. An empty file is fine:
  // recording has just started another.
  const nothing = all.find(
    ({ records, requests, unreadable, unknownVersion }) =>
      records.length + requests.length === 0 && unreadable + unknownVersion > 0,
  );
  if (nothing !== undefined) {
    const other =
      nothing.unknownVersion > 0 ? ` that can be read: ${plural(nothing.unknownVersion, 'line')} of another version` : '';
    throw new Stopped(EXIT_NO_INPUT, `read ${nothing.file}: there is no recorded session in it${other}`);
  }
  return {
    records: all.flatMap(({ records }) => records),
    requests: all.flatMap(({ requests }) => requests),
    unreadable: all.reduce((sum, { unreadable }) => sum + unreadable, 0),
    unknownVersion: all.reduce((sum, { unknownVersion }) => sum + unknownVersion, 0),
  };
}

async function askForSessions(url: string): Promise<ReadSessions> {
  const answer = await askAdmin(`${url}/decisions?limit=${LAST_DECISIONS}`, systemClock()).catch((error: unknown) => {
    throw new Stopped(EXIT_UNAVAILABLE, `ask ${url}: ${error instanceof Error ? error.message : String(error)}`);
  });
  if (answer.status !== 200) throw new Stopped(EXIT_UNAVAILABLE, `ask ${url}: ${answer.status}: ${answer.body.trim()}`);
  const read = sessionsIn(answer.body);
  if (read.unreadable > 0)
    throw new Stopped(EXIT_UNAVAILABLE, `ask ${url}: the answer is not from a zone egress of this version`);
  return read;
}

function readExpectations(file: string): readonly ExplainExpectation[] {
  let value: unknown;
  try {
    value = plainDocument({ path: file, text: fileText(file) });
  } catch (error) {
    if (error instanceof Stopped) throw error;
    throw new Stopped(EXIT_USAGE, error instanceof Error ? error.message : String(error));
  }
  const expectations = expectationsIn(value);
  if (typeof expectations === 'string') throw new Stopped(EXIT_USAGE, `${file}: ${expectations}`);
  return expectations;
}
