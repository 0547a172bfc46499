import { alarmLines } from '../run-alarms.ts';
import type { Figures, Flow } from './figures.ts';
import { flowKey } from './figures.ts';

export const TOP_SORTS = ['rate', 'open', 'ended', 'refused', 'client', 'destination'] as const;
export type TopSort = (typeof TOP_SORTS)[number];

/** The content of the screen. */
export interface TopState {
  readonly url: string;
  /** Null before the first look. */
  readonly figures: Figures | null;
  /** Why the last look had no answer; null where it had one. */
  readonly lost: { readonly why: string; readonly since: string } | null;
  readonly sort: TopSort;
  readonly filter: string;
  /** `flowKey`; empty before a line is selected. */
  readonly selected: string;
  readonly mode: 'list' | 'filter' | 'pane' | 'end';
  /** The text of the pane, and its first line that is shown. */
  readonly pane: readonly string[];
  readonly paneAt: number;
  /** One sentence in the last line; the next key removes it. */
  readonly note: string;
}

export interface TopSize {
  readonly columns: number;
  readonly rows: number;
}

/** A key may ask for something outside of the state. */
export type TopOrder = { readonly kind: 'quit' } | { readonly kind: 'explain' | 'end'; readonly flow: Flow };

export interface Reaction {
  readonly state: TopState;
  readonly order: TopOrder | null;
}

export function firstState(url: string, sort: TopSort, filter: string): TopState {
  return { url, figures: null, lost: null, sort, filter, selected: '', mode: 'list', pane: [], paneAt: 0, note: '' };
}

/** Returns the lines of the list: those that the filter finds, in their order. */
export function shownFlows({ figures, filter, sort }: Pick<TopState, 'figures' | 'filter' | 'sort'>): readonly Flow[] {
  const wanted = filter.toLowerCase();
  const found = (figures?.flows ?? []).filter((flow) =>
    [flow.client, flow.mesh, flow.destination, flow.endpoint, flow.refusal?.reason ?? ''].some((text) =>
      text.toLowerCase().includes(wanted),
    ),
  );
  return found.sort((a, b) => compare(sort, a, b) || (flowKey(a) < flowKey(b) ? -1 : 1));
}

function compare(sort: TopSort, a: Flow, b: Flow): number {
  switch (sort) {
    case 'rate':
      return b.upPerSecond + b.downPerSecond - a.upPerSecond - a.downPerSecond;
    case 'open':
      return b.open - a.open;
    case 'ended':
      return b.endedPerSecond - a.endedPerSecond;
    case 'refused':
      return b.refusedPerMinute - a.refusedPerMinute;
    case 'client':
      return a.client < b.client ? -1 : a.client > b.client ? 1 : 0;
    case 'destination':
      return a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0;
    default:
      return sort satisfies never;
  }
}

/** Returns the selected line; the first one where that is gone or none was selected. */
export function selectedFlow(state: TopState): Flow | null {
  const flows = shownFlows(state);
  return flows.find((flow) => flowKey(flow) === state.selected) ?? flows[0] ?? null;
}

/** Splits what a terminal sends into keys. */
export function keysIn(input: string): readonly string[] {
  return input.match(/\x1b\[[\d;]*[A-Za-z~]|\x1bO[A-Z]|[^]/gu) ?? [];
}

/** Returns what a key changes. Ctrl-C ends from everywhere. */
export function react(given: TopState, key: string, size: TopSize): Reaction {
  const state = { ...given, note: '' };
  if (key === '\x03') return { state, order: { kind: 'quit' } };
  switch (state.mode) {
    case 'list':
      return reactInList(state, key, size);
    case 'filter':
      return stay(reactInFilter(state, key));
    case 'pane':
      return stay(reactInPane(state, key, size));
    case 'end':
      return reactToEnd(state, key);
    default:
      return state.mode satisfies never;
  }
}

function stay(state: TopState): Reaction {
  return { state, order: null };
}

const MOVES: Readonly<Record<string, (rows: number) => number>> = {
  '\x1b[A': () => -1,
  k: () => -1,
  '\x1b[B': () => 1,
  j: () => 1,
  '\x1b[5~': (rows) => -rows,
  '\x1b[6~': (rows) => rows,
  '\x1b[H': () => -Infinity,
  '\x1b[F': () => Infinity,
  g: () => -Infinity,
  G: () => Infinity,
};

/** A terminal may send its keys in the form of applications. */
function move(key: string, size: TopSize): number | null {
  const by = MOVES[key.replace('\x1bO', '\x1b[')];
  return by === undefined ? null : by(Math.max(1, size.rows - 10));
}

function reactInList(state: TopState, key: string, size: TopSize): Reaction {
  const flow = selectedFlow(state);
  const by = move(key, size);
  if (by !== null) {
    const flows = shownFlows(state);
    const at = flow === null ? 0 : flows.findIndex((each) => flowKey(each) === flowKey(flow));
    const next = flows[Math.min(flows.length - 1, Math.max(0, at + by))];
    return stay(next === undefined ? state : { ...state, selected: flowKey(next) });
  }
  if (key === 'q') return { state, order: { kind: 'quit' } };
  if (key === 's' || key === 'S') return stay({ ...state, sort: nextSort(state.sort, key === 's' ? 1 : -1) });
  if (key === '/') return stay({ ...state, mode: 'filter' });
  if (key === '\x1b') return stay({ ...state, filter: '' });
  if (key === '?' || key === 'h') return stay({ ...state, mode: 'pane', pane: HELP, paneAt: 0 });
  if (key === 'a') return stay({ ...state, mode: 'pane', pane: alarmPane(state), paneAt: 0 });
  if (flow === null) return stay(state);
  const selected = { ...state, selected: flowKey(flow) };
  if (key === '\r' || key === 'e') return { state: selected, order: { kind: 'explain', flow } };
  if (key === 'x') return stay({ ...selected, mode: 'end' });
  return stay(state);
}

function nextSort(sort: TopSort, by: 1 | -1): TopSort {
  return TOP_SORTS[(TOP_SORTS.indexOf(sort) + by + TOP_SORTS.length) % TOP_SORTS.length] ?? sort;
}

function reactInFilter(state: TopState, key: string): TopState {
  if (key === '\r') return { ...state, mode: 'list' };
  if (key === '\x1b') return { ...state, mode: 'list', filter: '' };
  if (key === '\x7f' || key === '\b') return { ...state, filter: [...state.filter].slice(0, -1).join('') };
  if (key === '\x15') return { ...state, filter: '' };
  return /^[^\p{Cc}\p{Cf}]$/u.test(key) && state.filter.length < MOST_FILTER ? { ...state, filter: state.filter + key } : state;
}

const MOST_FILTER = 100;

function reactInPane(state: TopState, key: string, size: TopSize): TopState {
  const by = move(key, size);
  if (by === null) return { ...state, mode: 'list' };
  const last = Math.max(0, state.pane.length - Math.max(1, size.rows - 2));
  return { ...state, paneAt: Math.min(last, Math.max(0, state.paneAt + by)) };
}

function reactToEnd(state: TopState, key: string): Reaction {
  const flow = selectedFlow(state);
  const next: TopState = { ...state, mode: 'list' };
  return key === 'y' && flow !== null && flowKey(flow) === state.selected
    ? { state: next, order: { kind: 'end', flow } }
    : stay({ ...next, note: 'nothing was ended' });
}

function alarmPane({ figures }: TopState): readonly string[] {
  const alarms = figures?.alarms ?? [];
  return alarms.length === 0 ? ['no alarm'] : alarms.flatMap((alarm) => [...alarmLines(alarm), '']);
}

const HELP: readonly string[] = [
  'zone-egress top: who talks to what through this egress',
  '',
  'up, down, PgUp, PgDn, Home, End (or k, j, g, G)   select a line',
  's, S         sort by the next, or the last: rate, open, ended, refused, client, destination',
  '/            filter by a part of a client, mesh, destination, endpoint or reason; Esc shows all',
  'Enter, e     explain the selected line: its last refusal, or the way of a new session',
  'a            the alarms, with what to do about each',
  'x            end the open sessions of the selected line, after a question',
  'q, Ctrl-C    leave',
  '',
  'OPEN    sessions that are open           END/S   sessions that ended well, in a second',
  'UP/S    bytes to the service             DOWN/S  bytes from it, in a second',
  'REF/M   refusals in a minute             the figures are those of the last minute',
];
