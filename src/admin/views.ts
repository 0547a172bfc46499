/** Writes the admin pages: state in, text out. */
import { safeJson } from '../base/plain-text.ts';
import { formatProblem } from '../base/problem.ts';
import type { Problem } from '../base/problem.ts';
import type { Alarm } from '../model/alarm.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { ShownAnswer } from '../model/shown-session.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { CONTENT_TYPES, OPENMETRICS_END } from '../observe/exposition.ts';
import type { Exposition } from '../observe/exposition.ts';
import { recordLine } from '../observe/record-feed.ts';
import type { ProxyState } from './proxy-state.ts';
import { routingTable, tableText } from '../routing/table.ts';
import { openSessionsTable } from './open-sessions-table.ts';
import type { AskedSessions } from './queries.ts';

export interface View {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** The text after the body, made while it is written, with turns for others in between. */
  readonly pieces?: Iterable<string>;
  /** Text that comes until the client leaves, instead of an answer with an end. */
  readonly follows?: AsyncIterable<string>;
  /** For 405, the allowed methods. Absent means GET and HEAD. */
  readonly allow?: string;
  /** More headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Readiness {
  readonly ok: boolean;
  /** Envoy's states: LIVE, PRE_INITIALIZING, DRAINING, TERMINATING. */
  readonly text: string;
  /** One sentence for people, where the state alone does not say enough. */
  readonly note?: string;
}

const TEXT = 'text/plain; charset=utf-8';
const LINES_TYPE = 'application/x-ndjson; charset=utf-8';
const JSON_TYPE = 'application/json; charset=utf-8';

export function textView(status: number, text: string): View {
  return { status, contentType: TEXT, body: `${text}\n` };
}

export function readyView(readiness: Readiness | null): View {
  if (readiness === null) return textView(404, 'there is no such proxy: /dataplanes of the admin port lists them');
  return textView(readiness.ok ? 200 : 503, [readiness.text, readiness.note ?? []].flat().join('\n'));
}

/** Lists the proxies as which the process has joined, one a line in the table. */
export function proxiesView(all: readonly ProxyState[], search: string): View {
  const output = outputIn(search);
  if (output === null) return textView(400, OUTPUTS);
  const shown = all.map(({ id, mesh, name, state, sentence }) => ({ id, mesh, name, state, sentence }));
  if (output === 'json') return jsonView({ dataplanes: shown });
  const widest = Math.max(0, ...shown.map(({ id }) => id.length));
  const lines = shown.map(({ id, state, sentence }) => `${id.padEnd(widest)}  ${state.padEnd(7)}  ${sentence}`);
  return textView(200, lines.length === 0 ? 'this process has joined no control plane' : lines.join('\n'));
}

const OUTPUTS = 'the allowed parameter is output, with json or table';

/** Returns the form that the query asks for; null where the query is invalid. */
function outputIn(search: string): 'json' | 'table' | null {
  const [[name, output] = ['output', 'json'], ...more] = new URLSearchParams(search);
  if (name !== 'output' || more.length > 0) return null;
  return output === 'json' || output === 'table' ? output : null;
}

export function metricsView({ format, text }: Exposition): View {
  const end = format === 'openmetrics' ? OPENMETRICS_END : '';
  return { status: 200, contentType: CONTENT_TYPES[format], body: text + end };
}

/** Ten thousand records are 9 MB and take 70 ms, so they are written a hundred at a time. */
export function decisionsView(records: readonly SessionRecord[], requests: readonly RequestRecord[]): View {
  if (records.length + requests.length <= AT_A_TIME) return jsonView({ decisions: records, requests });
  return { status: 200, contentType: JSON_TYPE, body: '', pieces: decisionsJson(records, requests) };
}

const AT_A_TIME = 100;

/** One record a line, each with its kind. */
export function decisionLinesView(records: readonly SessionRecord[], requests: readonly RequestRecord[]): View {
  return { status: 200, contentType: LINES_TYPE, body: '', pieces: decisionLines(records, requests) };
}

function* decisionLines(records: readonly SessionRecord[], requests: readonly RequestRecord[]): Generator<string> {
  for (const record of records) yield recordLine('session', record);
  for (const request of requests) yield recordLine('request', request);
}

/** Lines that come until the client leaves. */
export function followView(lines: AsyncIterable<string>): View {
  return { status: 200, contentType: LINES_TYPE, body: '', follows: lines };
}

/** `silent` names the data sides whose sessions are missing. */
export function openSessionsView({ found, sessions, silent }: ShownAnswer, { offset, output }: AskedSessions): View {
  const shown = sessions.slice(offset);
  if (output === 'table') return { status: 200, contentType: TEXT, body: openSessionsTable(shown) };
  if (shown.length <= AT_A_TIME) return jsonView({ found, silent, sessions: shown });
  const head = `{\n  "found": ${found},\n  "silent": ${JSON.stringify(silent)},\n`;
  return { status: 200, contentType: JSON_TYPE, body: head, pieces: [...listJson('sessions', shown), '\n}\n'] };
}

/** A large zone may have an alarm for each destination. */
export function alarmsView(alarms: readonly Alarm[]): View {
  return { status: 200, contentType: JSON_TYPE, body: '{\n', pieces: [...listJson('alarms', alarms), '\n}\n'] };
}

function* decisionsJson(records: readonly SessionRecord[], requests: readonly RequestRecord[]): Generator<string> {
  yield '{\n';
  yield* listJson('decisions', records);
  yield ',\n';
  yield* listJson('requests', requests);
  yield '\n}\n';
}

function* listJson(name: string, records: readonly object[]): Generator<string> {
  if (records.length === 0) {
    yield `  "${name}": []`;
    return;
  }
  const head = `{\n  "${name}": [`;
  const tail = '\n  ]\n}';
  yield head.slice('{\n'.length);
  for (let i = 0; i < records.length; i += AT_A_TIME) {
    const text = safeJson({ [name]: records.slice(i, i + AT_A_TIME) }, 2);
    yield `${i === 0 ? '' : ','}${text.slice(head.length, -tail.length)}`;
  }
  yield '\n  ]';
}

/** `text` is each finding as `validate` prints it. */
export function problemsView(problems: readonly Problem[]): View {
  return jsonView({ problems: problems.map((problem) => ({ ...problem, text: formatProblem(problem) })) });
}

/** Writes what `zone-egress routes` prints; returns a sentence where the query is invalid. */
export function routesView(snapshot: Snapshot, search: string): View {
  const [[name, output] = ['output', 'json'], ...more] = new URLSearchParams(search);
  if (name !== 'output' || more.length > 0) return textView(400, 'the allowed parameter is output');
  if (output !== 'json' && output !== 'table') return textView(400, 'output must be json or table');
  const table = routingTable(snapshot);
  return output === 'json' ? jsonView(table) : { status: 200, contentType: TEXT, body: tableText(table) };
}

export function indexView(paths: Readonly<Record<string, string>>): View {
  const widest = Math.max(...Object.keys(paths).map((path) => path.length));
  const lines = Object.entries(paths).map(([path, what]) => `${path.padEnd(widest)}  ${what}`);
  return textView(200, ['zone egress', '', ...lines].join('\n'));
}

export function jsonView(value: unknown): View {
  return { status: 200, contentType: JSON_TYPE, body: `${safeJson(value, 2)}\n` };
}
