import type { EndReason } from '../base/refusal.ts';
import { isOfRequests } from './explain-expectations.ts';
import type { AnyChange, Compared, ExplainExpectation } from './explain-expectations.ts';
import { plural } from '../base/plural.ts';
import { linesText } from './lines.ts';
import { CHANGE_KINDS } from './simulate.ts';
import type { ChangeKind, Simulation, Skipped } from './simulate.ts';
import { REQUEST_CHANGE_KINDS } from './simulate-requests.ts';
import type { RequestChange, RequestChangeKind, RequestSimulation } from './simulate-requests.ts';
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

const REQUEST_TITLES: Readonly<Record<RequestChangeKind, string>> = {
  'newly-allowed': 'NEWLY ALLOWED',
  'no-longer-limited': 'NO LONGER LIMITED',
  'no-longer-faulted': 'no longer faulted',
  'newly-denied': 'newly denied',
  'newly-limited': 'newly limited',
  'newly-faulted': 'newly faulted',
  'no-longer-routed': 'no longer routed',
  'other-route': 'other route',
  'not-looked-at': 'NOT LOOKED AT ANY MORE',
  'refused-otherwise': 'refused for another reason',
};

const MAX_SHOWN = 50;

/** Writes the result of a simulation for people. Ends with a line feed. */
export function simulationText(
  { sessions, requests }: { readonly sessions: Simulation; readonly requests: RequestSimulation },
  { unexpected, expected, missing }: Compared,
): string {
  const { replayed, changes, configuration } = sessions;
  const count = changes.reduce((sum, each) => sum + each.sessions, 0);
  const head = `${count === 0 ? 'none' : count} of ${plural(replayed, 'session')} come to another end with configuration ${configuration.version}`;
  const ofSessions = unexpected.filter((change) => !isOfRequests(change));
  const lines = [
    head,
    ...CHANGE_KINDS.flatMap((kind) =>
      groupLines(
        TITLES[kind],
        ofSessions.filter((change) => change.kind === kind),
        'session',
      ),
    ),
    ...logRequest(requests, unexpected.filter(isOfRequests)),
  ];
  if (expected.length > 0)
    lines.push('', `expected: ${plural(expected.length, 'change')}`, ...expected.map((each) => `  ${lineOf(each)}`));
  if (missing.length > 0) lines.push('', 'expected, and does not happen:', ...missing.map((each) => `  ${missingText(each)}`));
  return linesText([...lines, '', ...notesOf(sessions), ...requestNotes(requests), '']).replace(/\n{3,}/g, '\n\n');
}

function logRequest({ requests, replayed, changes }: RequestSimulation, unexpected: readonly RequestChange[]): readonly string[] {
  if (requests === 0) return [];
  const count = changes.reduce((sum, each) => sum + each.requests, 0);
  const head = `${count === 0 ? 'none' : count} of ${plural(replayed, 'request')} ${count === 1 ? 'is' : 'are'} answered otherwise`;
  const groups = REQUEST_CHANGE_KINDS.flatMap((kind) =>
    groupLines(
      REQUEST_TITLES[kind],
      unexpected.filter((change) => change.kind === kind),
      'request',
    ),
  );
  return ['', head, ...groups];
}

function groupLines(title: string, changes: readonly AnyChange[], what: 'session' | 'request'): readonly string[] {
  if (changes.length === 0) return [];
  const count = changes.reduce((sum, change) => sum + (isOfRequests(change) ? change.requests : change.sessions), 0);
  const more = changes.length > MAX_SHOWN ? [`  and ${changes.length - MAX_SHOWN} more (-o json has all)`] : [];
  const lines = changes.slice(0, MAX_SHOWN).map((change) => `  ${lineOf(change)}`);
  return ['', `${title}: ${plural(changes.length, 'path')}, ${plural(count, what)}`, ...lines, ...more];
}

function lineOf(change: AnyChange): string {
  const { sni, client, before, after, text, place, example } = change;
  const who = client.length === 0 ? '' : ` from ${client.join(', ')}`;
  const name = sni === '' ? 'no SNI' : sni;
  if (!isOfRequests(change)) {
    const outcome = before === after ? '' : `was ${before}, is ${after}: `;
    return `${name}${who}: ${outcome}${text}${inFile(place)}; ${plural(change.sessions, 'session')}, e.g. ${example}`;
  }
  const { method, path, status, requests, of } = change;
  const [was, is] = [answerText(before, status.before), answerText(after, status.after)];
  const outcome = was === is ? '' : `was ${was}, is ${is}: `;
  return `${method} ${path} of ${name}${who}: ${outcome}${text}${inFile(place)}; ${requests} of ${plural(of, 'request')}, e.g. ${example}`;
}

function answerText(outcome: string, status: number | null): string {
  return status === null ? outcome : `${outcome} (${status === 0 ? 'the connection ends' : status})`;
}

function missingText({ sni, client, outcome, method, path }: ExplainExpectation): string {
  const request = method === undefined && path === undefined ? '' : `${method ?? 'any method'} ${path ?? 'any path'} of `;
  return `${request}${sni}${client === undefined ? '' : ` from ${client}`}: ${outcome}`;
}

function requestNotes({ skipped, headersUnknown }: RequestSimulation): readonly string[] {
  const count = skipped.reduce((sum, { requests }) => sum + requests, 0);
  const reasons = skipped.map(({ reason, requests }) => `${reason} ${requests}`).join(', ');
  return [
    ...(count > 0 ? [`skipped: ${plural(count, 'request')} (${reasons}) that no configuration decides`] : []),
    ...(headersUnknown > 0
      ? [
          `note: of ${plural(headersUnknown, 'request')} a header that a rule reads was not recorded: such rules are taken to do what they did`,
        ]
      : []),
  ];
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
