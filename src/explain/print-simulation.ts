import type { EndReason } from '../base/refusal.ts';
import type { Compared } from './explain-expectations.ts';
import { linesText } from './lines.ts';
import { CHANGE_KINDS } from './simulate.ts';
import type { Change, ChangeKind, Simulation, Skipped } from './simulate.ts';
import { inFile } from './trace.ts';

/** Changes that open access come first, in capitals. */
const TITLES: Readonly<Record<ChangeKind, string>> = {
  'newly-allowed': 'NEWLY ALLOWED',
  'newly-routed': 'NEWLY ROUTED',
  'newly-denied': 'newly denied',
  'no-longer-routed': 'no longer routed',
  'other-mode': 'other mode',
  'other-endpoints': 'other endpoints',
  'refused-otherwise': 'refused for another reason',
};

const MAX_SHOWN = 50;

/** Writes the result of a simulation for people. Ends with a line feed. */
export function simulationText(simulation: Simulation, { unexpected, expected, missing }: Compared): string {
  const { replayed, changes, configuration } = simulation;
  const count = changes.reduce((sum, { sessions }) => sum + sessions, 0);
  const head = `${count === 0 ? 'none' : count} of ${plural(replayed, 'session')} come to another end with configuration ${configuration.version}`;
  const lines = [head, ...CHANGE_KINDS.flatMap((kind) => groupLines(kind, unexpected))];
  if (expected.length > 0)
    lines.push('', `expected: ${plural(expected.length, 'change')}`, ...expected.map((each) => `  ${lineOf(each)}`));
  if (missing.length > 0) {
    const texts = missing.map(
      ({ sni, client, outcome }) => `  ${sni}${client === undefined ? '' : ` from ${client}`}: ${outcome}`,
    );
    lines.push('', 'expected, and does not happen:', ...texts);
  }
  return linesText([...lines, '', ...notesOf(simulation), '']).replace(/\n{3,}/g, '\n\n');
}

function groupLines(kind: ChangeKind, all: readonly Change[]): readonly string[] {
  const changes = all.filter((change) => change.kind === kind);
  if (changes.length === 0) return [];
  const sessions = changes.reduce((sum, change) => sum + change.sessions, 0);
  const more = changes.length > MAX_SHOWN ? [`  and ${changes.length - MAX_SHOWN} more (-o json has all)`] : [];
  const lines = changes.slice(0, MAX_SHOWN).map((change) => `  ${lineOf(change)}`);
  return ['', `${TITLES[kind]}: ${plural(changes.length, 'path')}, ${plural(sessions, 'session')}`, ...lines, ...more];
}

function lineOf({ sni, client, before, after, text, place, sessions, example }: Change): string {
  const who = client.length === 0 ? '' : ` from ${client.join(', ')}`;
  const outcome = before === after ? '' : `was ${before}, is ${after}: `;
  return `${sni === '' ? 'no SNI' : sni}${who}: ${outcome}${text}${inFile(place)}; ${plural(sessions, 'session')}, e.g. ${example}`;
}

function notesOf({ skipped, endpointsUnknown, certificatesTaken }: Simulation): readonly string[] {
  const notes = ['note: names are taken to resolve, endpoints to be healthy'];
  const of = (why: Skipped['why']): string | null => {
    const some = skipped.filter((each) => each.why === why);
    const sessions = some.reduce((sum, each) => sum + each.sessions, 0);
    const reasons = some.map((each): `${EndReason} ${number}` => `${each.reason} ${each.sessions}`).join(', ');
    return sessions === 0 ? null : `${plural(sessions, 'session')} (${reasons})`;
  };
  const [silent, early] = [of('no-hello'), of('not-judged')];
  if (silent !== null) notes.push(`skipped: ${silent} never sent a whole hello`);
  if (early !== null) notes.push(`skipped: ${early} ended before they were judged`);
  if (endpointsUnknown > 0)
    notes.push(`note: ${plural(endpointsUnknown, 'session')} found no endpoint then: compared as far as the permission`);
  if (certificatesTaken > 0)
    notes.push(`note: ${plural(certificatesTaken, 'session')} with a certificate that was refused: taken to be refused again`);
  return notes;
}

export function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
