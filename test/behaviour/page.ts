// Makes the tables of docs/observed-behaviour.md. The text around them is hand-written.
import { DATAPLANE_ROWS, rowsOf, SIDECAR_ROWS } from './dataplane-rows.ts';
import { ROWS } from './rows.ts';
import type { Mark, Why } from './rows.ts';

const MARKS: Readonly<Record<Mark, string>> = {
  better: 'better here',
  less: 'less detail here',
  other: 'different',
};

/** Keyed by the name of the place in the page. */
export function tables(): Readonly<Record<string, string>> {
  return {
    counts: table(['cases', ...COUNTED], [countsOf(ROWS.map(([, , , , why]) => why))]),
    observed: table(
      ['case', 'with Envoy', 'ours', 'our record', 'difference'],
      ROWS.map(([name, envoy, ours, record, why]) => [name, envoy, ours, `\`${record}\``, difference(why)]),
    ),
  };
}

/** The same for an egress of one mesh. */
export function dataplaneTables(): Readonly<Record<string, string>> {
  const row = (name: string, whys: readonly (Why | undefined)[]): readonly string[] => [name, ...countsOf(whys)];
  return {
    'dataplane counts': table(
      ['recording', 'cases', ...COUNTED],
      [
        row(
          '2.14.3, state of the world',
          rowsOf('2.14').map(([, , , , , why]) => why),
        ),
        row(
          '3.0 (main branch), delta',
          rowsOf('3.0').map(([, , , , , why]) => why),
        ),
        row(
          '3.0, from behind sidecars',
          SIDECAR_ROWS.map(([, , , , why]) => why),
        ),
      ],
    ),
    'dataplane cases': table(
      ['case', 'version', 'with Envoy', 'ours', 'our record', 'difference'],
      DATAPLANE_ROWS.map(([name, version, envoy, ours, record, why]) => [
        name,
        version,
        envoy,
        ours,
        `\`${record}\``,
        difference(why),
      ]),
    ),
    'sidecar cases': table(
      ['case', 'with Envoy', 'ours', 'our record', 'difference'],
      SIDECAR_ROWS.map(([name, envoy, ours, record, why]) => [
        name,
        envoy,
        ours,
        record === 'none' ? '' : `\`${record}\``,
        difference(why),
      ]),
    ),
  };
}

const ALL_MARKS = ['better', 'less', 'other'] as const satisfies readonly Mark[];
const COUNTED: readonly string[] = ['the same', ...ALL_MARKS.map((mark) => MARKS[mark])];

function countsOf(whys: readonly (Why | undefined)[]): readonly string[] {
  const count = (mark: Mark | undefined): string => String(whys.filter((why) => why?.mark === mark).length);
  return [String(whys.length), count(undefined), ...ALL_MARKS.map(count)];
}

function difference(why: Why | undefined): string {
  return why === undefined ? '' : `${MARKS[why.mark]}: ${why.text}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
