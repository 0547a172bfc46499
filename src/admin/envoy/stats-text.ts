/**
 * Envoy's three formats of statistics. They are written in pieces, a scope or a family at a time,
 * so that sessions have their turn in between.
 */
import { ENVOY_BUCKETS } from '../../observe/envoy-histogram.ts';
import type { EnvoyHistogram } from '../../observe/envoy-histogram.ts';
import type { Labels, StatScope } from './stat-scope.ts';
import type { EnvoyStats } from './stats.ts';

export interface StatsQuery {
  /** True leaves out what has never moved. */
  readonly usedOnly: boolean;
  readonly matches: (name: string) => boolean;
}

const PART = 250;
const QUANTILES = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100];

/** Writes `name: value`: texts first, then numbers, then histograms. */
export function* statsText({ scopes, texts }: EnvoyStats, query: StatsQuery): Generator<string> {
  yield texts
    .filter(({ name }) => query.matches(name))
    .map(({ name, text }) => `${name}: ${JSON.stringify(text)}\n`)
    .join('');
  for (const scope of scopes) yield numbersOf(scope, query, (name, value) => `${name}: ${value}\n`).join('');
  for (const scope of scopes) {
    yield histogramsOf(scope, query)
      .map(({ name, histogram }) => {
        const values = QUANTILES.map((q) => `P${q}(nan,${rounded(histogram.quantile(q / 100))})`).join(' ');
        return `${name}: ${histogram.count === 0 ? 'No recorded values' : values}\n`;
      })
      .join('');
  }
}

export function* statsJson({ scopes, texts }: EnvoyStats, query: StatsQuery): Generator<string> {
  let before = '{"stats":[';
  const items = (made: readonly string[]): string => {
    if (made.length === 0) return '';
    const text = `${before}${made.join(',')}`;
    before = ',';
    return text;
  };
  yield items(texts.filter(({ name }) => query.matches(name)).map(({ name, text }) => JSON.stringify({ name, value: text })));
  for (const scope of scopes) yield items(numbersOf(scope, query, (name, value) => JSON.stringify({ name, value })));
  yield `${items([`{"histograms":{"supported_quantiles":${JSON.stringify(QUANTILES)},"computed_quantiles":[`])}`;
  let first = true;
  for (const scope of scopes) {
    for (const { name, histogram } of histogramsOf(scope, query)) {
      const values = QUANTILES.map((q) => ({ cumulative: rounded(histogram.quantile(q / 100)), interval: null }));
      yield `${first ? '' : ','}${JSON.stringify({ name, values })}`;
      first = false;
    }
  }
  yield ']}}]}';
}

interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly row: number;
  readonly scopes: readonly StatScope[];
}

/** Writes counters, gauges, histograms; the series of a family stay together. */
export function* statsPrometheus({ scopes }: EnvoyStats, query: StatsQuery): Generator<string> {
  const families = familiesOf(scopes);
  for (const type of ['counter', 'gauge'] as const) {
    for (const family of families) {
      if (family.type !== type) continue;
      yield* familyText(family, query);
    }
  }
  yield* histogramFamilies(scopes, query);
}

/** Written in parts, because ten thousand clusters are in one family. */
function* familyText({ name: family, type, row, scopes }: Family, query: StatsQuery): Generator<string> {
  let head = `# TYPE ${family} ${type}\n`;
  for (let from = 0; from < scopes.length; from += PART) {
    const lines = scopes.slice(from, from + PART).flatMap((scope) => {
      const value = scope.values[row] ?? 0;
      const { name = '', always } = scope.rows[row] ?? {};
      if (query.usedOnly && value === 0 && always !== true) return [];
      return query.matches(scope.prefix + name) ? [`${family}{${labelText(scope.labels)}} ${value}\n`] : [];
    });
    yield lines.length === 0 ? '' : head + lines.join('');
    if (lines.length > 0) head = '';
  }
}

/** Scopes with the same rows have the same families. */
function familiesOf(scopes: readonly StatScope[]): readonly Family[] {
  const groups = new Map<StatScope['rows'], Map<string, StatScope[]>>();
  for (const scope of scopes) {
    const byFamily = groups.get(scope.rows) ?? new Map<string, StatScope[]>();
    groups.set(scope.rows, byFamily);
    const alike = byFamily.get(scope.family);
    if (alike === undefined) byFamily.set(scope.family, [scope]);
    else alike.push(scope);
  }
  const families = [...groups].flatMap(([rows, byFamily]) =>
    [...byFamily].flatMap(([family, alike]) =>
      rows.map(({ name, type }, row) => ({ name: familyName(family, name), type, row, scopes: alike })),
    ),
  );
  return families.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function* histogramFamilies(scopes: readonly StatScope[], query: StatsQuery): Generator<string> {
  const told = new Set<string>();
  for (const { family, histograms } of scopes) {
    for (const { name } of histograms) {
      const full = familyName(family, name);
      if (told.has(full)) continue;
      told.add(full);
      const series = scopes.filter((scope) => scope.family === family);
      let head = `# TYPE ${full} histogram\n`;
      for (const scope of series) {
        for (const { histogram } of histogramsOf(scope, query).filter((each) => each.name === scope.prefix + name)) {
          yield head + histogramText(full, scope.labels, histogram);
          head = '';
        }
      }
    }
  }
}

function histogramText(name: string, labels: Labels, { counts, count, sum }: EnvoyHistogram): string {
  const own = labelText(labels);
  const comma = own === '' ? '' : ',';
  let below = 0;
  const buckets = ENVOY_BUCKETS.map((bound, i) => {
    below += counts[i] ?? 0;
    return `${name}_bucket{${own}${comma}le="${bound}"} ${below}\n`;
  });
  return `${buckets.join('')}${name}_bucket{${own}${comma}le="+Inf"} ${count}\n${name}_sum{${own}} ${sum}\n${name}_count{${own}} ${count}\n`;
}

function numbersOf(
  scope: StatScope,
  { usedOnly, matches }: StatsQuery,
  text: (name: string, value: number) => string,
): readonly string[] {
  const lines: string[] = [];
  for (const [i, { name, always }] of scope.rows.entries()) {
    const value = scope.values[i] ?? 0;
    if (usedOnly && value === 0 && always !== true) continue;
    const full = scope.prefix + name;
    if (matches(full)) lines.push(text(full, value));
  }
  return lines;
}

function histogramsOf(scope: StatScope, { usedOnly, matches }: StatsQuery): StatScope['histograms'] {
  return scope.histograms.flatMap(({ name, histogram }) => {
    const full = scope.prefix + name;
    return (usedOnly && histogram.count === 0) || !matches(full) ? [] : [{ name: full, histogram }];
  });
}

function familyName(family: string, name: string): string {
  return `envoy_${family}${name === '' ? '' : `_${name}`}`.replace(/[^A-Za-z0-9_]/g, '_');
}

function labelText(labels: Labels): string {
  return labels.map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escaped)}"`).join(',');
}

function escaped(char: string): string {
  return char === '\n' ? '\\n' : `\\${char}`;
}

function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
