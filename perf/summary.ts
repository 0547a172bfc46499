// Writes the headline figures of a run as one Markdown table: a row for each case, a column for
// each contender, medians.
import type { Answer } from './rounds.ts';
import { middle } from './table.ts';

export function summary(answers: readonly Answer[]): string {
  const names = [...new Set(answers.flatMap(({ results }) => results.map(({ contender }) => contender)))];
  const lines = [`| | | ${names.join(' | ')} |`, `| --- | --- |${' ---: |'.repeat(names.length)}`];
  for (const { question, results } of answers) {
    const metric = question.metrics.find(({ charted }) => charted === true);
    if (metric === undefined) continue;
    for (const name of new Set(results.filter(({ headline }) => headline).map((result) => result.name))) {
      const cells = names.map((contender) => {
        const found = results.find((result) => result.name === name && result.contender === contender);
        const value = found === undefined ? NaN : middle(found, metric.key);
        return Number.isNaN(value) ? '' : value.toFixed(metric.digits);
      });
      lines.push(`| ${name} | ${metric.label} | ${cells.join(' | ')} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}
