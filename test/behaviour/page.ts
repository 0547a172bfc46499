// Makes the tables of docs/observed-behaviour.md. The text around them is hand-written.
import { ROWS } from './rows.ts';
import type { Mark } from './rows.ts';

const MARKS: Readonly<Record<Mark, string>> = {
  better: 'better here',
  less: 'less detail here',
  other: 'different',
};

/** Keyed by the name of the place in the page. */
export function tables(): Readonly<Record<string, string>> {
  const count = (mark: Mark | undefined): string => String(ROWS.filter(([, , , , why]) => why?.mark === mark).length);
  const marks = Object.keys(MARKS) as Mark[];
  return {
    counts: table(
      ['cases', 'the same', ...marks.map((mark) => MARKS[mark])],
      [[String(ROWS.length), count(undefined), ...marks.map(count)]],
    ),
    observed: table(
      ['case', 'with Envoy', 'ours', 'our record', 'difference'],
      ROWS.map(([name, envoy, ours, record, why]) => [
        name,
        envoy,
        ours,
        `\`${record}\``,
        why === undefined ? '' : `${MARKS[why.mark]}: ${why.text}`,
      ]),
    ),
  };
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
