import { withoutKeys } from '../base/key-material.ts';
import { formatYaml } from '../resources/format-yaml.ts';
import type { ConfigPrintCommand } from './commands/config-print.ts';
import { isSwitch } from './config-schema.ts';
import type { DrainPlan } from './grace.ts';
import type { OptionSpec, ParsedOptions } from './options.ts';
import { plannedDrain } from './run.ts';
import { FILE_OPTIONS } from './run-options.ts';
import type { Terminal } from './terminal.ts';
import { isTrue, items } from './values.ts';

type Plain = string | number | boolean | readonly string[];

interface Row {
  readonly name: string;
  /** Null without a value; undefined where it is not shown. */
  readonly value: Plain | null | undefined;
  /** A variable, a flag, a place in a file, `default` or `not set`. */
  readonly from: string;
}

export function configPrintCommand({ given, options, output }: ConfigPrintCommand, terminal: Terminal): Promise<number> {
  const drain = drainRow(plannedDrain(options, terminal));
  const rows = Object.entries(FILE_OPTIONS).map(([name, spec]) => (drain?.name === name ? drain : rowOf(name, spec, given)));
  terminal.out(output === 'json' ? jsonOf(rows) : textOf(rows));
  return Promise.resolve(0);
}

function rowOf(name: string, spec: OptionSpec, given: ParsedOptions): Row {
  const source = given.source(name);
  const texts = given.each(name);
  if (texts.length === 0) return { name, value: null, from: 'not set' };
  // A place ends with the name of the option, which stands beside it already.
  const from = source === null ? 'default' : source.replace(/ [^ ]*$/, '');
  return { name, value: spec.secret === true ? undefined : plain(spec, texts), from };
}

/** Returns the drain time where it is another than the options say. */
function drainRow({ drainTimeMs, shortenedFor }: DrainPlan): Row | null {
  if (shortenedFor === null) return null;
  const from = `default, made shorter to fit the ${shortenedFor.ms / 1_000}s of ${shortenedFor.of}`;
  return { name: 'drain-time', value: `${drainTimeMs / 1_000}s`, from };
}

function plain(spec: OptionSpec, texts: readonly string[]): Plain {
  const last = withoutKeys(texts.at(-1) ?? '');
  if (isSwitch(spec)) return isTrue(last);
  if (spec.kind === 'count' || spec.kind === 'port') return Number(last);
  return spec.kind === 'list' || spec.kind === 'cidrs' ? texts.flatMap(items).map(withoutKeys) : last;
}

const WIDTH = 44;

function textOf(rows: readonly Row[]): string {
  const lines = rows.map(({ name, value, from }) => {
    if (value === null) return `# ${name}:`.padEnd(WIDTH) + ' # not set';
    if (value === undefined) return `# ${name}: not shown`.padEnd(WIDTH) + ` # ${from}`;
    return `${name}: ${inline(value)}`.padEnd(WIDTH) + ` # ${from}`;
  });
  return `${lines.join('\n')}\n`;
}

/** Writes a value in one line of YAML. */
function inline(value: Plain): string {
  if (typeof value === 'object') return JSON.stringify(value);
  const [line = '', more] = formatYaml(value).trimEnd().split('\n');
  return more === undefined && !/^[|>]/.test(line) ? line : JSON.stringify(value);
}

function jsonOf(rows: readonly Row[]): string {
  const options = rows.map(({ name, value, from }) =>
    value === undefined ? { name, shown: false, from } : { name, value, from },
  );
  return `${JSON.stringify({ options }, null, 2)}\n`;
}
