// Question: what does it cost to report one session: its record, its log line, its metrics, its
// place among the recent decisions, its deadlines? `node perf/told.ts [--count 300000]`. For
// comparison pino with the same fields, and prom-client's counters and histograms used directly.
import pino from 'pino';
import { Counter, Histogram, Registry } from 'prom-client';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import type { Timer } from '../src/base/clock.ts';
import type { SessionRecord } from '../src/model/session-record.ts';
import { EMPTY_SNAPSHOT } from '../src/model/snapshot.ts';
import { createAccessLog, SESSIONS } from '../src/observe/access-log.ts';
import { RecentDecisions } from '../src/observe/decisions.ts';
import { createLog } from '../src/observe/log.ts';
import { createMetrics } from '../src/observe/metrics.ts';
import { TrafficCounters } from '../src/observe/traffic-counters.ts';
import { SessionDraft } from '../src/traffic/session-draft.ts';

const { values } = parseArgs({ options: { count: { type: 'string', default: '300000' } } });
const count = Number(values.count);

let characters = 0;
const destination = { write: (line: string) => void (characters += Buffer.byteLength(line)) };
const access = createAccessLog(SESSIONS, {
  log: createLog({ level: 'info', destination }),
  clock: systemClock({ keepAlive: false }),
});
const peer = pino({ base: { service: 'zone-egress' }, timestamp: pino.stdTimeFunctions.isoTime }, destination);
const metrics = createMetrics({ version: 'perf', process: false, clock: systemClock({ keepAlive: false }) });
const traffic = new TrafficCounters();
const ring = new RecentDecisions();
const clock = systemClock({ keepAlive: false });
const timers: Timer[] = [];

const registers = [new Registry()];
const counter = new Counter({ name: 'sessions', help: 'x', labelNames: ['mode', 'mesh', 'reason'], registers });
const bytes = new Counter({ name: 'bytes', help: 'x', labelNames: ['direction', 'mode', 'mesh'], registers });
const phases = new Histogram({ name: 'phases', help: 'x', labelNames: ['phase'], registers });
const lengths = new Histogram({ name: 'lengths', help: 'x', registers });

function recordOf(i: number): SessionRecord {
  const draft = new SessionDraft({
    id: `0.${i}`,
    wallMs: Date.now(),
    nowMs: i,
    address: '10.0.0.7',
    port: 40_000 + (i % 20_000),
  });
  draft.judgedBy({ ...EMPTY_SNAPSHOT, version: '0123456789abcdef' });
  draft.moved('up', 1_635 + (i % 100));
  draft.moved('down', 8 + (i % 100));
  draft.connected(0.3 + (i % 100) / 1_000);
  draft.finish('closed', '');
  return draft.record(i + 1.5 + (i % 100) / 1_000);
}

const kind = { mode: 'passthrough', mesh: 'default', cluster: 'default:backend' } as const;
const records = Array.from({ length: 1_000 }, (_, i): SessionRecord => ({ ...recordOf(i), ...kind }));
const each = (tell: (record: SessionRecord) => void) => (i: number) => tell(records[i % records.length]!);

const parts: Readonly<Record<string, (i: number) => unknown>> = {
  'the record': recordOf,
  'its log line': each((record) => access.write(record)),
  '  … with pino alone': each((record) => peer.info(record, 'session ended')),
  'its metrics': each((record) => metrics.record(record)),
  '  … with prom-client alone': each(({ mode, mesh, reason, bytesUp, bytesDown, connectMs, totalMs }) => {
    counter.inc({ mode, mesh, reason });
    bytes.inc({ direction: 'up', mode, mesh }, bytesUp);
    bytes.inc({ direction: 'down', mode, mesh }, bytesDown);
    phases.observe({ phase: 'connect' }, connectMs / 1e3);
    lengths.observe(totalMs / 1e3);
  }),
  "Envoy's counters of it": each((record) => traffic.record(record)),
  'its place among the decisions': each((record) => ring.add(record)),
  'two deadlines, set and cancelled': deadlines,
};

/** The deadlines of setting up and of connecting, with a hundred sessions at a time. */
function deadlines(i: number): void {
  const at = (i % 100) * 2;
  for (const [k, ms] of [15_000, 5_000].entries()) {
    timers[at + k]?.cancel();
    timers[at + k] = clock.after(ms, () => {});
  }
}

console.log(`node perf/told.ts --count ${count}   (Node ${process.version})`);
console.log('of one session                   µs (median of 5)  min - max');
const rounds = new Map<string, number[]>(Object.keys(parts).map((name) => [name, []]));
// The cases alternate, and the first round is not counted.
for (let round = 0; round < 6; round++) {
  for (const [name, part] of Object.entries(parts)) {
    const startedAt = performance.now();
    for (let i = 0; i < count; i++) part(i);
    if (round > 0) rounds.get(name)?.push(((performance.now() - startedAt) * 1e3) / count);
  }
}
for (const [name, times] of rounds) {
  const [min = 0, , median = 0, , max = 0] = times.sort((a, b) => a - b);
  console.log(`${name.padEnd(33)}${median.toFixed(2).padEnd(18)}${min.toFixed(2)} - ${max.toFixed(2)}`);
}
console.log(`bytes of a line: ${Math.round(characters / (count * 12))}`);
