import { plural } from '../../base/plural.ts';
import { oneLine } from '../../base/plain-text.ts';
import { shortAmount } from '../../base/short-text.ts';
import type { Figures, Flow } from './figures.ts';
import { flowKey } from './figures.ts';
import { clipLine, fit, piece } from './paint.ts';
import type { Look, PaintedLine, Piece } from './paint.ts';
import { selectedFlow, shownFlows } from './top-state.ts';
import type { TopSize, TopState } from './top-state.ts';

/** Where there is less room, parts are cut off. */
const LEAST: TopSize = { columns: 20, rows: 5 };
/** Widths from which there is another column. */
const WITH_REASON = 100;
const WITH_ENDPOINT = 130;

/** Returns the lines of the screen, as many as it has rows at most; none is too wide. */
export function renderTop(state: TopState, size: TopSize): readonly PaintedLine[] {
  const { columns, rows } = { columns: Math.max(LEAST.columns, size.columns), rows: Math.max(LEAST.rows, size.rows) };
  const lines = state.mode === 'pane' ? paneLines(state, rows) : listLines(state, { columns, rows });
  return lines.slice(0, size.rows).map((line) => clipLine(line, size.columns));
}

function paneLines({ pane, paneAt }: TopState, rows: number): readonly PaintedLine[] {
  const shown = pane.slice(paneAt, paneAt + rows - 2).map((text) => [piece(text)]);
  const more = paneAt + rows - 2 < pane.length ? 'up and down move; ' : '';
  return [...padded(shown, rows - 1), [piece(`${more}any other key goes back`, 'dim')]];
}

function listLines(state: TopState, { columns, rows }: TopSize): readonly PaintedLine[] {
  const head = headLines(state, rows);
  const table = tableLines(state, { columns, rows: Math.max(2, rows - head.length - 1) });
  return [...padded([...head, ...table], rows - 1), footLine(state)];
}

function padded(lines: readonly PaintedLine[], rows: number): readonly PaintedLine[] {
  return Array.from({ length: rows }, (_, row) => lines[row] ?? []);
}

function headLines(state: TopState, rows: number): readonly PaintedLine[] {
  const { url, figures, lost } = state;
  const title = piece(`zone-egress top  ${url}`, 'bold');
  if (figures === null) return [[title], lostLine(lost) ?? [piece('asks the egress …', 'dim')], []];
  const ready = piece(`  ${figures.ready}`, figures.ready === 'LIVE' ? 'good' : 'bad');
  const since = lostLine(lost);
  return [
    [title, ready, piece(`  ${figures.at.slice(11, 19)}Z  configuration ${figures.version}`, 'dim')],
    ...(since === null ? [] : [since]),
    trafficLine(figures),
    refusedLine(figures),
    stateLine(figures),
    ...alarmLines(figures, rows),
    [],
  ];
}

function lostLine(lost: TopState['lost']): PaintedLine | null {
  return lost === null ? null : [piece(`no answer since ${lost.since.slice(11, 19)}Z, it is asked again: ${lost.why}`, 'bad')];
}

function trafficLine({ sessions: { open, endedPerSecond, handshakes }, bytesPerSecond: { up, down } }: Figures): PaintedLine {
  const text = `sessions ${open} open, ${rate(endedPerSecond)} ended, ${handshakes} in handshake; ${shortAmount(up)}B/s up, ${shortAmount(down)}B/s down`;
  return [piece(text)];
}

function refusedLine({ refused: { perSecond, byReason } }: Figures): PaintedLine {
  if (perSecond === 0) return [piece('refused none')];
  const reasons = byReason.map(({ reason, perSecond: each }) => `${reason} ${rate(each)}`).join(', ');
  return [piece(`refused ${rate(perSecond)}: ${reasons}`, 'bad')];
}

function stateLine({ endpoints, controlPlane, keptConfiguration, problems }: Figures): PaintedLine {
  const { healthy, unhealthy, ejected } = endpoints;
  const { errors, warnings } = problems;
  const isBad = unhealthy + ejected > 0;
  const watched = healthy + unhealthy + ejected;
  const health = watched === 0 ? 'endpoints not checked' : `endpoints ${healthy} up, ${unhealthy} down, ${ejected} ejected`;
  return [
    piece(health, isBad ? 'bad' : 'plain'),
    piece('; config '),
    errors > 0
      ? piece(`${plural(errors, 'error')}, ${plural(warnings, 'warning')}`, 'bad')
      : piece(warnings > 0 ? plural(warnings, 'warning') : 'good', warnings > 0 ? 'warn' : 'good'),
    ...(keptConfiguration ? [piece(', kept', 'warn')] : []),
    ...(controlPlane === null
      ? []
      : [piece('; control plane '), piece(controlPlane === 'away' ? 'away' : 'up', controlPlane === 'away' ? 'bad' : 'good')]),
  ];
}

/** A high screen has a line for each of the first alarms. */
function alarmLines({ alarms }: Figures, rows: number): readonly PaintedLine[] {
  if (alarms.length === 0) return [[piece('alarms none')]];
  const most = Math.max(1, Math.floor((rows - 16) / 6));
  const look = (severity: string): Look => (severity === 'critical' ? 'bad' : 'warn');
  const shown = alarms
    .slice(0, most)
    .map(({ severity, name, subject, says }) => [piece(`${severity} ${name} ${subject}: ${says}`, look(severity))]);
  const more = alarms.length - shown.length;
  return more === 0
    ? shown
    : shown.map((line, i) => (i === shown.length - 1 ? [piece(`(${more} more: a) `, 'bold'), ...line] : line));
}

interface Column {
  readonly head: string;
  readonly width: number;
  readonly side: 'left' | 'right';
  readonly text: (flow: Flow) => string;
}

function columnsFor(columns: number): readonly Column[] {
  const numbers: readonly Column[] = [
    { head: 'OPEN', width: 6, side: 'right', text: ({ open }) => String(open) },
    { head: 'END/S', width: 6, side: 'right', text: ({ endedPerSecond }) => plainRate(endedPerSecond) },
    { head: 'UP/S', width: 6, side: 'right', text: ({ upPerSecond }) => shortAmount(upPerSecond) },
    { head: 'DOWN/S', width: 7, side: 'right', text: ({ downPerSecond }) => shortAmount(downPerSecond) },
    { head: 'REF/M', width: 6, side: 'right', text: ({ refusedPerMinute }) => plainRate(refusedPerMinute) },
  ];
  const more: readonly Column[] = [
    ...(columns < WITH_REASON ? [] : [{ head: '  REFUSAL', width: 22, side: 'left', text: reasonText } as const]),
    ...(columns < WITH_ENDPOINT
      ? []
      : [{ head: '  ENDPOINT', width: 26, side: 'left', text: ({ endpoint }: Flow) => `  ${endpoint}` } as const]),
  ];
  const taken = [...numbers, ...more].reduce((sum, { width }) => sum + width, 0);
  // A mark before the line, and a space between the two names.
  const names = Math.max(10, columns - taken - 3);
  const client = Math.ceil(names * 0.55);
  return [
    { head: 'CLIENT', width: client, side: 'left', text: (flow) => shortClient(flow.client) },
    { head: ' DESTINATION', width: names - client + 1, side: 'left', text: destinationText },
    ...numbers,
    ...more,
  ];
}

function shortClient(client: string): string {
  return client.replace(/^spiffe:\/\//, '') || 'no client';
}

function destinationText({ mesh, destination }: Flow): string {
  return ` ${[mesh, destination].filter((part) => part !== '').join('/') || 'no destination'}`;
}

function reasonText({ refusal }: Flow): string {
  return refusal === null ? '' : `  ${refusal.reason}`;
}

function tableLines(state: TopState, { columns, rows }: TopSize): readonly PaintedLine[] {
  const all = columnsFor(columns);
  const flows = shownFlows(state);
  const selected = selectedFlow(state);
  const at = selected === null ? 0 : flows.findIndex((flow) => flowKey(flow) === flowKey(selected));
  const room = rows - 1;
  const from = Math.max(0, Math.min(at - Math.floor(room / 2), flows.length - room));
  const head = `  ${all.map(({ head: text, width, side }) => fit(text, width, side)).join('')}`;
  const none = state.figures === null ? [] : [[piece(state.filter === '' ? '  no session lately' : '  no line has this', 'dim')]];
  const lines = flows.slice(from, from + room).map((flow) => flowLine(flow, all, flow === selected));
  return [[piece(head, 'bold')], ...(lines.length === 0 ? none : lines)];
}

function flowLine(flow: Flow, all: readonly Column[], isSelected: boolean): PaintedLine {
  const text = all.map(({ width, side, text: of }) => fit(oneLine(of(flow)), width, side)).join('');
  const look: Look = isSelected ? 'selected' : flow.refusedPerMinute > 0 ? 'bad' : 'plain';
  return [piece(isSelected ? '> ' : '  ', look), piece(text, look)];
}

function footLine(state: TopState): PaintedLine {
  const { mode, note, filter, sort } = state;
  if (mode === 'filter') return [piece(`filter: ${filter}_`, 'bold'), piece('   Enter keeps it, Esc shows all', 'dim')];
  if (mode === 'end') {
    const flow = selectedFlow(state);
    return [piece(`end the open sessions of ${shortClient(flow?.client ?? '')} to ${flow?.destination ?? ''}? y or n`, 'bad')];
  }
  if (note !== '') return [piece(note, 'bold')];
  const filtered: readonly Piece[] = filter === '' ? [] : [piece(`filter ${filter}  `, 'bold')];
  return [...filtered, piece(`sort ${sort}  q leave  s sort  / filter  Enter explain  a alarms  x end  ? help`, 'dim')];
}

function rate(perSecond: number): string {
  return `${plainRate(perSecond)}/s`;
}

function plainRate(perSecond: number): string {
  return perSecond === 0 ? '0' : perSecond < 0.1 ? '<0.1' : perSecond < 9.95 ? perSecond.toFixed(1) : shortAmount(perSecond);
}
