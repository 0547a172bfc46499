import { compareWith, expectationsIn } from '../explain/explain-expectations.ts';
import type { ExplainExpectation } from '../explain/explain-expectations.ts';
import { plural } from '../base/plural.ts';
import { simulationText } from '../explain/print-simulation.ts';
import type { ReadSessions } from '../explain/recorded.ts';
import { simulate } from '../explain/simulate.ts';
import { simulateRequests } from '../explain/simulate-requests.ts';
import { plainDocument } from '../resources/plain-document.ts';
import { EXIT_USAGE } from './exit-codes.ts';
import type { SimulateCommand } from './commands/simulate.ts';
import { Stopped, loadFolder, untilStopped } from './load-folder.ts';
import { fileText } from './file-text.ts';
import { askForSessions, readSessions } from './read-sessions.ts';
import type { Terminal } from './terminal.ts';

const EXIT_CHANGED = 3;

/**
 * Exits with 0 where nothing changes or every change was expected, with 3 where something else
 * changes, and with 64, 66, 69 or 78 where that cannot be determined.
 */
export function simulateCommand({ resources, from, expect, output }: SimulateCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const expectations = expect === null ? [] : readExpectations(expect);
    const { snapshot, origins, absent = new Map() } = await loadFolder(resources, terminal);
    const read = from.kind === 'admin' ? await askForSessions(from.at) : readSessions(from.files);
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
