/**
 * The text of families of series, in the format of Prometheus and in OpenMetrics. OpenMetrics takes
 * a counter only under a name that ends in `_total`, and names its family without it. Envoy has
 * many counters with other names: they are `unknown` there, so that no series gets a new name.
 */
import type { Distribution, Exemplar } from './distribution.ts';

export type ExpositionFormat = 'prometheus' | 'openmetrics';

export interface Exposition {
  readonly format: ExpositionFormat;
  /** Without the mark at the end of OpenMetrics, so that more families can follow. */
  readonly text: string;
}

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** The last line of OpenMetrics: a reader takes an answer without it for a broken one. */
export const OPENMETRICS_END = '# EOF\n';

export type SeriesLabels = Readonly<Record<string, string>>;

/** Returns the format that the header `Accept` prefers. A reader of both gets OpenMetrics. */
export function formatFor(accept: string): ExpositionFormat {
  const weights = { prometheus: 0, openmetrics: 0 };
  for (const range of accept.toLowerCase().split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1';
    const weight = Number(quality) || 0;
    if (type === 'application/openmetrics-text') weights.openmetrics = Math.max(weights.openmetrics, weight);
    if (type === 'text/plain') weights.prometheus = Math.max(weights.prometheus, weight);
  }
  return weights.openmetrics > 0 && weights.openmetrics >= weights.prometheus ? 'openmetrics' : 'prometheus';
}

/** Turns the text format of Prometheus, or whole families of it, into OpenMetrics. */
export function asOpenMetrics(text: string): string {
  return text
    .replaceAll(/\n{2,}/g, '\n')
    .replaceAll(
      /^# (HELP|TYPE) (\S+?)(_total)? (.*)$/gm,
      (line, what: string, name: string, total: string | undefined, rest: string) => {
        if (what === 'TYPE' && rest === 'counter' && total === undefined) return `# TYPE ${name} unknown`;
        return total !== undefined && (what === 'HELP' || rest === 'counter') ? `# ${what} ${name} ${rest}` : line;
      },
    );
}

/**
 * Turns counters of Envoy into what OpenMetrics takes under any name. Some of their names end in
 * `_total`, but the family of that name without it is another one of Envoy's.
 */
export function unknownCounters(text: string): string {
  return text.replaceAll(/^(# TYPE \S+) counter$/gm, '$1 unknown');
}

export function headOf(name: string, type: string, help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

export function valueLine(name: string, labels: SeriesLabels, value: number): string {
  return `${name}${braced(labelText(labels))} ${value}\n`;
}

/** Writes the buckets, the sum and the count; examples only in OpenMetrics. */
export function distributionLines(
  name: string,
  labels: SeriesLabels,
  { bounds, counts, count, sum, exemplars }: Distribution,
  format: ExpositionFormat,
): string {
  const own = labelText(labels);
  let below = 0;
  let text = '';
  for (const [i, here] of counts.entries()) {
    below += here;
    const le = `le="${bounds[i] ?? '+Inf'}"`;
    const example = format === 'openmetrics' ? exampleText(exemplars[i]) : '';
    text += `${name}_bucket{${own === '' ? le : `${own},${le}`}} ${below}${example}\n`;
  }
  return `${text}${name}_sum${braced(own)} ${sum}\n${name}_count${braced(own)} ${count}\n`;
}

function exampleText(exemplar: Exemplar | undefined): string {
  return exemplar === undefined ? '' : ` # {id="${escaped(exemplar.id)}"} ${exemplar.value} ${exemplar.at}`;
}

function braced(labels: string): string {
  return labels === '' ? '' : `{${labels}}`;
}

function labelText(labels: SeriesLabels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',');
}

function escaped(text: string): string {
  return text.replaceAll(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));
}
