import { resolve } from 'node:path';
import { didYouMean } from '../base/did-you-mean.ts';
import { formatProblem } from '../base/problem.ts';
import { readFileBelow } from '../files/read-folder.ts';
import { createFindings } from '../resources/findings.ts';
import type { Findings } from '../resources/findings.ts';
import { parseYaml } from '../resources/yaml.ts';
import type { MapEntry, Value } from '../resources/yaml-value.ts';
import { EXIT_CONFIG, EXIT_NO_INPUT } from './exit-codes.ts';
import type { FileValues, OptionSpec, OptionTable } from './options.ts';
import { valueProblem } from './values.ts';

/** A file of options that cannot be used. The message has one problem in each line. */
export class ConfigFileError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'ConfigFileError';
    this.code = code;
  }
}

/**
 * Reads a file of options: a map with the names of the flags. Throws every problem, with its line,
 * its column and what is allowed.
 */
export function readConfigFile(path: string, table: OptionTable): FileValues {
  const read = readFileBelow('/', resolve(path));
  if ('error' in read) throw new ConfigFileError(EXIT_NO_INPUT, `--config ${path}: ${read.error}`);
  return configValues({ path, text: read.text }, table);
}

export function configValues(file: { readonly path: string; readonly text: string }, table: OptionTable): FileValues {
  const findings = createFindings(true);
  const documents = parseYaml(file, findings);
  const [root, second] = documents;
  const values = new Map<string, FileValues extends ReadonlyMap<string, infer Of> ? Of : never>();
  if (second !== undefined) findings.error(second.at, '', 'a file of options has one document, and this is another');
  if (root !== undefined && root.kind !== 'map' && !isNull(root))
    findings.error(root.at, '', 'a file of options is a map, as in `drain-time: 30s`');
  for (const [name, entry] of root?.kind === 'map' ? root.entries : []) {
    const spec = Object.hasOwn(table, name) ? table[name] : undefined;
    if (spec === undefined) findings.error(entry.key, name, `unknown option${didYouMean(name, Object.keys(table))}`);
    else {
      const { line, column } = entry.value.at;
      values.set(name, { texts: textsOf(name, spec, entry, findings), at: `${file.path}:${line}:${column} ${name}` });
    }
  }
  const problems = findings.problems().map(formatProblem);
  if (problems.length > 0) throw new ConfigFileError(EXIT_CONFIG, problems.join('\n'));
  return values;
}

const LISTS: ReadonlySet<OptionSpec['kind']> = new Set(['list', 'cidrs', 'pairs']);
/** Kinds that are written as a number or a switch without quotes. */
const PLAIN: ReadonlySet<OptionSpec['kind']> = new Set(['count', 'port', 'bytes', 'flag', 'share']);

/** Returns the values as a flag would have them. Reports what a flag would be refused for. */
function textsOf(name: string, spec: OptionSpec, { value }: MapEntry, findings: Findings): readonly string[] {
  const wrong = (at: Value, message: string): readonly string[] => {
    findings.error(at.at, name, spec.secret === true ? 'this value is not allowed, and it is not shown' : message);
    return [];
  };
  if (value.kind === 'list' && LISTS.has(spec.kind)) {
    return value.items.flatMap((item) => (item.kind === 'scalar' ? textOf(spec, item, wrong) : wrong(item, 'allowed is a text')));
  }
  if (value.kind === 'map' && spec.kind === 'pairs') {
    return [...value.entries].flatMap(([key, { value: one }]) =>
      one.kind === 'scalar' ? [pairText(key, String(one.value ?? ''))] : wrong(one, 'allowed is a text'),
    );
  }
  if (value.kind === 'scalar') return textOf(spec, value, wrong);
  return wrong(
    value,
    LISTS.has(spec.kind) ? 'allowed is a text or a list of texts' : `allowed is one value, not a ${value.kind}`,
  );
}

function textOf(
  spec: OptionSpec,
  value: Extract<Value, { kind: 'scalar' }>,
  wrong: (at: Value, message: string) => readonly string[],
): readonly string[] {
  if (value.value === null) return wrong(value, 'has no value; leave the option out to use its default');
  if (typeof value.value !== 'string' && !PLAIN.has(spec.kind))
    return wrong(value, `allowed is a text: write it in quotes, as "${String(value.value)}"`);
  const text = String(value.value);
  const problem = valueProblem(spec, text);
  if (problem !== null) return wrong(value, problem);
  if (spec.choices !== undefined && !spec.choices.includes(text))
    return wrong(value, `${JSON.stringify(text)}: allowed is ${spec.choices.join(' or ')}`);
  return [text];
}

/** Quotes a pair whose value would else be taken for several. */
function pairText(key: string, value: string): string {
  const text = `${key}=${value}`;
  return value.includes('=') && value.includes(',') ? `"${text.replaceAll('"', '""')}"` : text;
}

function isNull(value: Value): boolean {
  return value.kind === 'scalar' && value.value === null;
}
