import { parseArgs } from 'node:util';
import { didYouMean } from '../base/did-you-mean.ts';
import { durationMs } from '../base/duration.ts';
import { check, isTrue, items, sizeInBytes } from './values.ts';

/**
 * The options of a command as a table: parsing, environment variables and the help text are made
 * from it.
 */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

/** `pairs` are `key=value`, one or several between commas each time it is given. */
export type OptionKind =
  'text' | 'list' | 'cidrs' | 'pairs' | 'flag' | 'count' | 'port' | 'duration' | 'bytes' | 'level' | 'share';

export interface OptionSpec {
  readonly kind: OptionKind;
  readonly short?: string;
  readonly env?: readonly string[];
  readonly fallback?: string;
  readonly help: string;
  readonly value?: string;
  /** The largest count. */
  readonly most?: number;
  /** Every allowed value, for completion and the schema of the file; its reader checks them. */
  readonly choices?: readonly string[];
  /** True for a value that is never printed. */
  readonly secret?: true;
  /** True for an option without a flag, as in kuma-dp. */
  readonly variableOnly?: true;
}

export type Env = Readonly<Record<string, string | undefined>>;

export interface ParsedOptions {
  readonly positionals: readonly string[];
  text(name: string): string | null;
  list(name: string): readonly string[];
  /** Returns all values of an option that may be repeated. */
  each(name: string): readonly string[];
  flag(name: string): boolean;
  count(name: string): number;
  duration(name: string): number;
  bytes(name: string): number;
  /** Returns how to give an option, and its meaning. */
  about(name: string): string;
  /** Returns the flag, the variable or the place in the file that set it; null for its default. */
  source(name: string): string | null;
}

/** Values of a configuration file by option, with the place of each, as `egress.yaml:3:1 name`. */
export type FileValues = ReadonlyMap<string, { readonly texts: readonly string[]; readonly at: string }>;

const NO_FILE: FileValues = new Map();

/**
 * Reads options. Unknown flags and invalid values are errors that list what is allowed. A variable
 * wins over a flag, as in kuma-dp, and both over the file; an empty variable does not count.
 */
export function readOptions(argv: readonly string[], env: Env, table: OptionTable, file: FileValues = NO_FILE): ParsedOptions {
  const { values, positionals } = flagsIn(argv, table);
  const all = new Map<string, readonly string[]>();
  const sources = new Map<string, string>();
  for (const [name, spec] of Object.entries(table)) {
    const variable = spec.env?.find((key) => (env[key] ?? '') !== '');
    const flags = values.get(name);
    const inFile = file.get(name);
    const source = variable ?? (flags === undefined ? inFile?.at : `--${name}`);
    if (source !== undefined) sources.set(name, source);
    const otherwise = flags ?? inFile?.texts ?? (spec.fallback === undefined ? [] : [spec.fallback]);
    const texts = variable === undefined ? otherwise : [env[variable] ?? ''];
    for (const text of texts) check(source ?? `--${name}`, spec, text);
    if (texts.length > 0) all.set(name, texts);
  }
  const text = (name: string): string | null => all.get(name)?.at(-1) ?? null;
  return {
    positionals,
    text,
    list: (name) => (all.get(name) ?? []).flatMap(items),
    each: (name) => all.get(name) ?? [],
    flag: (name) => isTrue(text(name) ?? ''),
    count: (name) => Number(text(name) ?? 0),
    duration: (name) => durationMs(text(name) ?? '') ?? 0,
    bytes: (name) => sizeInBytes(text(name) ?? '') ?? 0,
    about: (name) => aboutOption(name, table[name]),
    source: (name) => sources.get(name) ?? null,
  };
}

function aboutOption(name: string, spec: OptionSpec | undefined): string {
  const value = spec?.value === undefined ? '' : ` ${spec.value}`;
  return spec === undefined ? `--${name}` : `--${name}${value}: ${spec.help}`;
}

/** The form that parseArgs takes. */
type FlagTypes = Record<string, { type: 'boolean' | 'string'; multiple: true; short?: string }>;

interface Flags {
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
}

function flagsIn(argv: readonly string[], table: OptionTable): Flags {
  const options: FlagTypes = {};
  for (const [name, { kind, short, variableOnly }] of Object.entries(table)) {
    if (variableOnly) continue;
    const type = kind === 'flag' ? 'boolean' : 'string';
    options[name] = { type, multiple: true, ...(short === undefined ? {} : { short }) };
  }
  const { args, switches } = asGoTakesThem(argv, table);
  refuseUnknown(args, options);
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true, strict: true });
  const found = new Map<string, readonly string[]>(switches);
  for (const [name, texts] of Object.entries(values)) {
    if (Array.isArray(texts) && !found.has(name)) found.set(name, texts.map(String));
  }
  return { values: found, positionals };
}

/** A flag that the command does not have. */
export class UnknownOption extends Error {
  /** As it was typed, with its dashes. */
  readonly option: string;

  constructor(option: string, message: string) {
    super(message);
    this.name = 'UnknownOption';
    this.option = option;
  }
}

function refuseUnknown(args: readonly string[], options: FlagTypes): void {
  const { tokens } = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  for (const token of tokens ?? []) {
    if (token.kind !== 'option' || Object.hasOwn(options, token.name)) continue;
    const names = Object.keys(options).map((name) => `--${name}`);
    throw new UnknownOption(token.rawName, `unknown option ${token.rawName}${didYouMean(token.rawName, names)}`);
  }
}

/** Go's flags allow `--switch=false` and `-d=file`, which Node's do not. */
function asGoTakesThem(
  argv: readonly string[],
  table: OptionTable,
): { readonly args: string[]; readonly switches: ReadonlyMap<string, readonly string[]> } {
  const end = argv.indexOf('--');
  const shorts = new Set(Object.values(table).flatMap(({ short }) => (short === undefined ? [] : [`-${short}`])));
  const switches = new Map<string, readonly string[]>();
  const args: string[] = [];
  for (const [index, arg] of argv.entries()) {
    const isFlag = end < 0 || index < end;
    const [, flag = '', value = ''] = /^(--?[^=]+)=(.*)$/s.exec(arg) ?? [];
    const name = flag.slice(2);
    const kind = Object.hasOwn(table, name) ? table[name]?.kind : undefined;
    if (isFlag && shorts.has(flag)) args.push(flag, value);
    else if (isFlag && kind === 'flag') switches.set(name, [value]);
    else {
      args.push(arg);
      if (isFlag && arg.startsWith('--')) switches.delete(arg.slice(2));
    }
  }
  return { args, switches };
}

export function onePositional(given: ParsedOptions, missing: string): string {
  const [one, second] = given.positionals;
  if (one === undefined) throw new Error(missing);
  if (second !== undefined) throw new Error(`one folder only, got ${JSON.stringify(second)} too`);
  return one;
}

/** Throws where an argument follows the options. */
export function noPositional({ positionals: [first] }: ParsedOptions, command: string): void {
  if (first !== undefined) throw new Error(`${command} takes options only, got ${JSON.stringify(first)}`);
}

/** Returns the text of an option that `command` requires. */
export function required(given: ParsedOptions, name: string, command: string): string {
  const text = given.text(name);
  if (text === null) throw new Error(`${command} needs ${given.about(name)}`);
  return text;
}
