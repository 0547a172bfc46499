import { NORMAL_ENDS } from '../../base/refusal.ts';
import { parsedJson } from '../ask-admin.ts';
import { alarmsIn } from '../run-alarms.ts';
import type { ReadAlarm } from '../run-alarms.ts';

/** The texts of the pages that one look asks for. */
export interface Pages {
  readonly sessions: string;
  readonly decisions: string;
  readonly metrics: string;
  readonly alarms: string;
  readonly problems: string;
  readonly ready: string;
}

/** One look at a running egress. Times in milliseconds since the Unix epoch. */
export interface Sample {
  readonly at: number;
  readonly ready: string;
  /** All open sessions, more than `open` lists. */
  readonly openCount: number;
  /** The busiest ones. */
  readonly open: readonly SeenSession[];
  /** Sessions that ended and requests that were refused lately, the newest first. */
  readonly ended: readonly SeenSession[];
  readonly metrics: MetricLines;
  readonly alarms: readonly ReadAlarm[];
  readonly errors: number;
  readonly warnings: number;
}

/** A session, open or ended, as far as a page of any version has it. */
export interface SeenSession {
  readonly id: string;
  /** The SPIFFE id, else the address. */
  readonly client: string;
  readonly mesh: string;
  readonly destination: string;
  readonly sni: string;
  readonly endpoint: string;
  /** Bytes per second of an open one; bytes in all of one that ended. */
  readonly up: number;
  readonly down: number;
  /** Empty for an open one, and for one that ended well. */
  readonly refused: string;
  readonly endedAt: number;
}

export type MetricLines = readonly {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}[];

export function sampleOf(pages: Pages, at: number): Sample {
  const sessions = objectOf(parsedJson(pages.sessions));
  const decisions = objectOf(parsedJson(pages.decisions));
  const problems = listOf(objectOf(parsedJson(pages.problems))['problems']);
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const ended = [...listOf(decisions['decisions']), ...listOf(decisions['requests'])].map(endedOf);
  return {
    at,
    ready: pages.ready.split('\n', 1)[0] ?? '',
    openCount: numberOf(sessions['found']),
    open: listOf(sessions['sessions']).map((of) => ({ ...seen(of), up: numberOf(of['rateUp']), down: numberOf(of['rateDown']) })),
    ended: ended.sort((a, b) => b.endedAt - a.endedAt),
    metrics: metricLines(pages.metrics),
    alarms: alarmsIn(pages.alarms) ?? [],
    errors,
    warnings: problems.length - errors,
  };
}

type Fields = Readonly<Record<string, unknown>>;

function endedOf(of: Fields): SeenSession {
  const reason = textOf(of['reason']);
  return {
    ...seen(of),
    up: numberOf(of['bytesUp']),
    down: numberOf(of['bytesDown']),
    refused: Object.hasOwn(NORMAL_ENDS, reason) ? '' : reason,
    endedAt: numberOf(of['startedAt']) + numberOf(of['totalMs']),
  };
}

function seen(of: Fields): SeenSession {
  const ids: unknown = of['spiffeIds'];
  const first: unknown = Array.isArray(ids) ? ids[0] : undefined;
  return {
    id: textOf(of['id']),
    client: textOf(first) || textOf(of['clientAddress']),
    mesh: textOf(of['mesh']),
    destination: textOf(of['destination']),
    sni: textOf(of['sni']),
    endpoint: textOf(of['endpoint']),
    up: 0,
    down: 0,
    refused: '',
    endedAt: 0,
  };
}

function objectOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

/** Reads the metrics of this egress from the text format; others are left out. */
function metricLines(text: string): MetricLines {
  // The labels of one line are short; a pattern that searches a long one would take minutes.
  return [...text.matchAll(/^(zone_egress_\w+)(?:\{([^\n]{0,8192})\})? ([-+.\deE]+)/gm)].map(
    ([, name = '', labels = '', value]) => ({
      name,
      labels: new Map([...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', of = '']) => [label, of])),
      value: Number(value),
    }),
  );
}

/** Sums a metric by one of its labels; without a label under an empty name. */
export function sumBy({ metrics }: Pick<Sample, 'metrics'>, name: string, label: string): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const line of metrics) {
    if (line.name !== name) continue;
    const key = line.labels.get(label) ?? '';
    sums.set(key, (sums.get(key) ?? 0) + line.value);
  }
  return sums;
}
