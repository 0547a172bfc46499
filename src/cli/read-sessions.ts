import { plural } from '../base/plural.ts';
import { sessionsIn } from '../explain/recorded.ts';
import type { ReadSessions } from '../explain/recorded.ts';
import type { AdminAt } from './admin-at.ts';
import { askAdmin, noAnswer } from './ask-admin.ts';
import { EXIT_NO_INPUT, EXIT_UNAVAILABLE } from './exit-codes.ts';
import { fileText } from './file-text.ts';
import { Stopped } from './load-folder.ts';
import { shownAdmin } from './values.ts';

/** The number that an egress remembers by default. */
const LAST_DECISIONS = 10_000;

/** Reads files of recorded sessions; throws `Stopped` where one has none. */
export function readSessions(files: readonly string[]): ReadSessions {
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

/** Asks a running egress for the sessions that it remembers. */
export async function askForSessions(at: AdminAt): Promise<ReadSessions> {
  const url = shownAdmin(at.url);
  const answer = await askAdmin(at, `/decisions?limit=${LAST_DECISIONS}`).catch((error: unknown) => {
    throw noAnswer(at, error);
  });
  if (answer.status !== 200) throw new Stopped(EXIT_UNAVAILABLE, `ask ${url}: ${answer.status}: ${answer.body.trim()}`);
  const read = sessionsIn(answer.body);
  if (read.unreadable > 0)
    throw new Stopped(EXIT_UNAVAILABLE, `ask ${url}: the answer is not from a zone egress of this version`);
  return read;
}
