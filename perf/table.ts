// Writes an answer as text: for each case a row for each contender, medians with minimum and
// maximum.
import { median } from './processes.ts';
import type { Metric } from './question.ts';
import type { Answer, Result } from './rounds.ts';

const REFERENCE = 'envoy';

export function table({ question, results, failures }: Answer): string {
  const lines = [`${question.name}: ${question.asks}`];
  const main = question.metrics.find(({ charted }) => charted === true);
  const compared = main !== undefined && results.some(({ contender }) => contender === REFERENCE);
  const headers = ['', ...question.metrics.map(({ label }) => label), ...(compared ? [`x ${REFERENCE}`] : [])];
  const rows: string[][] = [headers];
  for (const name of new Set(results.map((result) => result.name))) {
    const own = results.filter((result) => result.name === name);
    const reference = own.find(({ contender }) => contender === REFERENCE);
    rows.push([name]);
    for (const result of own) {
      const ratio = compared && reference !== undefined ? middle(result, main.key) / middle(reference, main.key) : NaN;
      rows.push([
        `  ${result.contender}`,
        ...question.metrics.map((metric) => cell(result, metric)),
        ...(Number.isFinite(ratio) ? [ratio.toFixed(2)] : []),
      ]);
    }
  }
  // A row of one cell is the name of a case and does not affect the widths.
  const widths = headers.map((_, i) => Math.max(...rows.filter(({ length }) => length > 1).map((row) => row[i]?.length ?? 0)));
  lines.push(...rows.map((row) => row.map((text, i) => (i === row.length - 1 ? text : text.padEnd(widths[i] ?? 0))).join('  ')));
  lines.push(...failures.map(({ name, contender, message }) => `not measured: ${name}, ${contender}: ${message.split('\n')[0]}`));
  return `${lines.join('\n')}\n`;
}

export function middle({ values }: Result, key: string): number {
  return median(values.flatMap((value) => (value[key] === undefined ? [] : [value[key]])));
}

function cell({ values }: Result, { key, digits }: Metric): string {
  const all = values.flatMap((value) => (value[key] === undefined || Number.isNaN(value[key]) ? [] : [value[key]]));
  if (all.length === 0) return '-';
  const [least, middleOf, most] = [Math.min(...all), median(all), Math.max(...all)].map((value) => value.toFixed(digits));
  return all.length === 1 ? `${middleOf}` : `${middleOf} [${least}-${most}]`;
}
