// The console without a terminal: figures from pages, keys to state, state and size to lines.
import t from 'tap';
import { figuresOf } from '../../../src/cli/top/figures.ts';
import type { Figures } from '../../../src/cli/top/figures.ts';
import { clip, fit, frame, plainLine, textWidth } from '../../../src/cli/top/paint.ts';
import { renderTop } from '../../../src/cli/top/render.ts';
import { sampleOf } from '../../../src/cli/top/sample.ts';
import type { Pages } from '../../../src/cli/top/sample.ts';
import { firstState, keysIn, react, selectedFlow, shownFlows } from '../../../src/cli/top/top-state.ts';
import type { TopOrder, TopSize, TopState } from '../../../src/cli/top/top-state.ts';

const AT = Date.UTC(2026, 0, 1, 12);
const SMALL: TopSize = { columns: 80, rows: 24 };
const LARGE: TopSize = { columns: 200, rows: 60 };

const session = (client: string, changes: object = {}): object => ({
  id: '0.1',
  spiffeIds: [client],
  clientAddress: '10.0.0.1',
  mesh: 'default',
  destination: 'api',
  sni: 'api{mesh=default}',
  endpoint: '10.1.0.1:443',
  startedAt: AT - 5_000,
  totalMs: 1_000,
  bytesUp: 6_000,
  bytesDown: 60_000,
  rateUp: 1_000,
  rateDown: 2_000_000,
  reason: 'closed',
  ...changes,
});

function pagesOf(changes: { open?: readonly object[]; ended?: readonly object[]; counts?: readonly number[] } = {}): Pages {
  const [closed = 0, denied = 0] = changes.counts ?? [];
  const { open = [], ended = [] } = changes;
  return {
    sessions: JSON.stringify({ found: open.length, sessions: open }),
    decisions: JSON.stringify({ decisions: ended, requests: [] }),
    metrics: `# HELP zone_egress_sessions_total x
zone_egress_sessions_total{mode="terminate",mesh="default",reason="closed"} ${closed}
zone_egress_sessions_total{mode="terminate",mesh="other",reason="denied"} ${denied}
zone_egress_handshakes_active 3
zone_egress_config_info{version="abcdef0123456789"} 1
zone_egress_endpoints{health="healthy"} 2
zone_egress_endpoints{health="unhealthy"} 1
zone_egress_endpoints{health="ejected"} 0
zone_egress_control_plane_connected 1
`,
    alarms: JSON.stringify({
      alarms: [
        {
          name: 'endpoints-unhealthy',
          severity: 'critical',
          since: '2026-01-01T11:00:00.000Z',
          subject: 'default/api',
          says: 'its one endpoint is unhealthy or ejected',
          do: 'look at the service',
        },
      ],
    }),
    problems: JSON.stringify({ problems: [{ severity: 'error' }, { severity: 'warning' }] }),
    ready: 'LIVE\n',
  };
}

function busy(): Figures {
  const before = sampleOf(pagesOf({ counts: [10, 5] }), AT - 2_000);
  const open = Array.from({ length: 40 }, (_, i) => session(`spiffe://default/web-${i}`, { id: `0.${i}`, rateUp: i }));
  const denied = session('spiffe://default/batch', { id: '0.99', reason: 'denied' });
  const now = sampleOf(pagesOf({ counts: [14, 11], open, ended: [denied, denied, session('spiffe://default/web-1')] }), AT);
  return figuresOf(now, before, 500);
}

function stateWith(changes: Partial<TopState> = {}): TopState {
  return { ...firstState('http://127.0.0.1:9901', 'rate', ''), figures: busy(), ...changes };
}

const texts = (state: TopState, size: TopSize): readonly string[] => renderTop(state, size).map(plainLine);

t.test('figures are sums of what the pages have', async (t) => {
  const figures = busy();
  t.match(figures, {
    at: '2026-01-01T12:00:00.000Z',
    ready: 'LIVE',
    version: 'abcdef0123456789',
    sessions: { open: 40, endedPerSecond: 5, handshakes: 3 },
    refused: { perSecond: 3, byReason: [{ reason: 'denied', perSecond: 3 }] },
    endpoints: { healthy: 2, unhealthy: 1, ejected: 0 },
    controlPlane: 'connected',
    problems: { errors: 1, warnings: 1 },
  });
  const flow = (client: string) => figures.flows.find((each) => each.client === `spiffe://default/${client}`);
  t.match(flow('batch'), { open: 0, refusedPerMinute: 2, refusal: { id: '0.99', reason: 'denied' }, endedPerSecond: 0 });
  t.match(flow('web-1'), { open: 1, refusedPerMinute: 0, refusal: null, upPerSecond: 1 + 100, downPerSecond: 2_000_000 + 1_000 });
  t.equal(figures.flows.length, 41);
  t.match(figuresOf(sampleOf(pagesOf({ counts: [10, 5] }), AT), null, 500), { sessions: { endedPerSecond: 0 }, flows: [] });
});

t.test('a full page of ended sessions is of a shorter time, and pages that are no pages are none', async (t) => {
  const ended = [
    session('spiffe://default/a', { startedAt: AT - 4_000 }),
    session('spiffe://default/a', { startedAt: AT - 11_000 }),
  ];
  const [flow] = figuresOf(sampleOf(pagesOf({ ended }), AT), null, 2).flows;
  t.equal(flow?.endedPerSecond, 0.2);
  const nothing = { sessions: '[', decisions: 'null', metrics: '<html>', alarms: '{}', problems: '[]', ready: '' };
  t.match(figuresOf(sampleOf(nothing, AT), null, 2), { flows: [], alarms: [], version: '', controlPlane: null });
});

for (const size of [SMALL, LARGE]) {
  t.test(`a frame fits into ${size.columns}x${size.rows}`, async (t) => {
    const modes: readonly Partial<TopState>[] = [
      {},
      { figures: null },
      { lost: { why: 'connect ECONNREFUSED 127.0.0.1:9901', since: '2026-01-01T12:00:00.000Z' } },
      { mode: 'filter', filter: 'x'.repeat(300) },
      { mode: 'end' },
      { mode: 'pane', pane: Array.from({ length: 200 }, (_, i) => `line ${i} ${'long '.repeat(100)}`) },
      { note: 'n'.repeat(300) },
    ];
    for (const mode of modes) {
      const lines = texts(stateWith(mode), size);
      t.equal(lines.length, size.rows, JSON.stringify(mode).slice(0, 40));
      t.ok(Math.max(...lines.map(textWidth)) <= size.columns, `${Math.max(...lines.map(textWidth))} columns`);
    }
  });
}

t.test('a frame of 80x24 has it all', async (t) => {
  const lines = texts(stateWith(), SMALL);
  t.match(lines[0], /^zone-egress top {2}http:\/\/127\.0\.0\.1:9901 {2}LIVE {2}12:00:00Z/);
  t.equal(lines[1], 'sessions 40 open, 5.0/s ended, 3 in handshake; 1.1kB/s up, 80MB/s down');
  t.equal(lines[2], 'refused 3.0/s: denied 3.0/s');
  t.equal(lines[3], 'endpoints 2 up, 1 down, 0 ejected; config 1 error, 1 warning; control plane up');
  t.match(lines[4], /^critical endpoints-unhealthy default\/api: its one endpoint is unhealthy/);
  t.match(lines[6], /^ {2}CLIENT +DESTINATION +OPEN +END\/S +UP\/S +DOWN\/S +REF\/M$/);
  t.match(lines[7], /^> default\/web-1 +default\/api +1 +<0\.1 +101 +2\.0M +0$/);
  t.match(lines[8], /^ {2}default\/web-39 +default\/api +1 +0 +39 +2\.0M +0$/);
  t.match(lines.at(-1), /^sort rate {2}q leave {2}s sort {2}\/ filter {2}Enter explain {2}a alarms {2}x end {2}\? help$/);
  const wide = texts(stateWith({ sort: 'refused' }), LARGE);
  t.match(wide[3], /; control plane up$/);
  t.match(
    wide.find((line) => line.startsWith('> ')),
    /^> default\/batch +default\/api +0 +0 +200 +2\.0k +2\.0 +denied +10\.1\.0\.1:443$/,
  );
});

t.test('sizes that are too small cut, and end nothing', async (t) => {
  for (const size of [
    { columns: 1, rows: 1 },
    { columns: 10, rows: 3 },
    { columns: 30, rows: 6 },
    { columns: 0, rows: 0 },
  ])
    for (const mode of ['list', 'pane', 'end', 'filter'] as const) {
      const lines = texts(stateWith({ mode, pane: ['a', 'b'] }), size);
      t.ok(lines.length <= size.rows && lines.every((line) => textWidth(line) <= size.columns), JSON.stringify({ size, mode }));
    }
});

t.test('no name of a peer gives an order to a terminal, or breaks a line', async (t) => {
  const evil = 'a\x1b[2J\x9b31m\r\nb\u202e\x07';
  const open = [session(evil, { destination: evil, endpoint: evil, mesh: evil })];
  const refused = session(evil, { destination: evil, reason: evil });
  const pages = pagesOf({ open, ended: [refused] });
  const alarms = JSON.stringify({ alarms: [{ name: evil, severity: evil, subject: evil, says: evil, since: evil, do: evil }] });
  const figures = figuresOf(sampleOf({ ...pages, alarms, ready: evil }, AT), null, 500);
  for (const mode of ['list', 'end', 'pane'] as const)
    for (const size of [SMALL, LARGE]) {
      const state = stateWith({ figures, mode, pane: [evil], note: '', lost: { why: evil, since: evil } });
      const lines = renderTop(state, size);
      t.notMatch(lines.map(plainLine).join(''), /[\x00-\x1f\x7f-\x9f\u202e]/);
      t.equal(frame(lines, false).split('\r\n').length, size.rows);
      t.same(new Set(frame(lines, false).match(/\x1b\[[^a-zA-Z]*[a-zA-Z]/g)), new Set(['\x1b[H', '\x1b[K', '\x1b[J']));
    }
});

/** What keys lead to. */
function typed(from: TopState, input: string, size = SMALL): { readonly state: TopState; readonly orders: readonly TopOrder[] } {
  let state = from;
  const orders: TopOrder[] = [];
  for (const key of keysIn(input)) {
    const reaction = react(state, key, size);
    state = reaction.state;
    if (reaction.order !== null) orders.push(reaction.order);
  }
  return { state, orders };
}

t.test('keys select, sort, filter, explain, end and leave', async (t) => {
  const DOWN = '\x1b[B';
  const client = (state: TopState): string | undefined => selectedFlow(state)?.client;
  t.equal(client(stateWith()), 'spiffe://default/web-1');
  t.equal(client(typed(stateWith(), DOWN).state), 'spiffe://default/web-39');
  t.equal(client(typed(stateWith(), `${DOWN}j\x1bOBk`).state), 'spiffe://default/web-38');
  t.equal(client(typed(stateWith(), 'G').state), client(typed(stateWith(), '\x1b[6~'.repeat(9)).state));
  t.equal(client(typed(stateWith(), 'Gg').state), 'spiffe://default/web-1');
  const { state: moved } = typed(stateWith(), DOWN);
  t.equal(client({ ...moved, sort: 'client' }), 'spiffe://default/web-39', 'another order keeps the selection');
  t.equal(typed(stateWith(), 's').state.sort, 'open');
  t.equal(typed(stateWith(), 'S').state.sort, 'destination');

  const { state: filtered } = typed(stateWith(), '/bXatch\x7f\x7f\x7f\x7f\x7fatch\r');
  t.same([filtered.filter, filtered.mode, shownFlows(filtered).length], ['batch', 'list', 1]);
  t.equal(typed(filtered, '\x1b').state.filter, '');
  t.equal(typed(stateWith(), '/q\x1b').state.filter, '', 'what is typed into the filter is no order');
  t.match(typed(filtered, 'e').orders, [{ kind: 'explain', flow: { client: 'spiffe://default/batch' } }]);
  t.match(typed(filtered, '\r').orders, [{ kind: 'explain' }]);

  const asks = typed(filtered, 'x');
  t.same([asks.state.mode, asks.orders], ['end', []]);
  t.match(texts(asks.state, SMALL).at(-1), 'end the open sessions of default/batch to api? y or n');
  t.match(typed(asks.state, 'y').orders, [{ kind: 'end', flow: { client: 'spiffe://default/batch' } }]);
  t.match(typed(asks.state, 'n'), { orders: [], state: { mode: 'list', note: 'nothing was ended' } });
  const gone = { ...asks.state, figures: { ...busy(), flows: busy().flows.filter(({ client }) => !client.endsWith('batch')) } };
  t.match(typed({ ...gone, filter: '' }, 'y'), { orders: [], state: { note: 'nothing was ended' } }, 'another line is not ended');

  t.match(texts(typed(stateWith(), 'a').state, SMALL)[2], '  to do: look at the service');
  t.match(typed(stateWith(), '?x').state.mode, 'list', 'any key leaves the help');
  t.same(typed(stateWith(), 'q').orders, [{ kind: 'quit' }]);
  for (const mode of ['list', 'filter', 'pane', 'end'] as const)
    t.same(typed(stateWith({ mode }), '\x03').orders, [{ kind: 'quit' }], mode);
  t.same(typed(stateWith({ figures: null }), `${DOWN}exa/\r`).orders, []);
  const long = stateWith({ mode: 'pane', pane: Array.from({ length: 50 }, (_, i) => String(i)) });
  t.equal(typed(long, 'G').state.paneAt, 28);
  t.equal(typed(long, 'Ggjjk').state.paneAt, 1);
});

t.test('texts are cut and filled by the columns that they take', async (t) => {
  t.equal(textWidth('日本e\u0301'), 5);
  t.equal(clip('日本語', 5), '日本…');
  t.equal(clip('日本語', 4), '日…');
  t.equal(clip('abc', 3), 'abc');
  t.equal(clip('abc', 0), '');
  t.equal(fit('ab', 4), 'ab  ');
  t.equal(fit('ab', 4, 'right'), '  ab');
  t.match(frame([[{ text: 'x', look: 'bad' }]], true), '\x1b[31mx\x1b[0m');
  t.equal(frame([[{ text: 'x', look: 'bad' }]], false), '\x1b[Hx\x1b[K\x1b[J');
});
