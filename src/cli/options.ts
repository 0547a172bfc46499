import { parseArgs } from 'node:util';
import { check, durationMs, items } from './values.ts';

/** The options of a command as a table: from it come the parsing, the variables of the environment and the help text. */
export type OptionTable = Readonly<Record<string, OptionSpec>>;

type Kind = 'text' | 'list' | 'cidrs' | 'flag' | 'count' | 'port' | 'duration' | 'level';

export interface OptionSpec {
  readonly kind: Kind;
  readonly short?: string;
  readonly env?: readonly string[];
  readonly fallback?: string;
  readonly help: string;
  readonly value?: string;
  /** The largest count. */
  readonly most?: number;
}

export type Env = Readonly<Record<string, string | undefined>>;

export interface Given {
  readonly positionals: readonly string[];
  text(name: string): string | null;
  list(name: string): readonly string[];
  flag(name: string): boolean;
  count(name: string): number;
  duration(name: string): number;
}

/** Unknown flags and values that cannot be are errors that say what is allowed. A variable wins over a flag, as in kuma-dp; an empty one is none. */
export function readOptions(argv: readonly string[], env: Env, table: OptionTable): Given {
  const options: Record<string, { type: 'boolean' | 'string'; multiple: boolean; short?: string }> = {};
  for (const [name, { kind, short }] of Object.entries(table))
    options[name] = {
      type: kind === 'flag' ? 'boolean' : 'string',
      multiple: kind === 'list' || kind === 'cidrs',
      ...(short === undefined ? {} : { short }),
    };
  const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  const all = new Map<string, string>();
  for (const [name, spec] of Object.entries(table)) {
    const variable = spec.env?.find((key) => (env[key] ?? '') !== '');
    const flag = values[name];
    const text =
      variable === undefined
        ? Array.isArray(flag)
          ? flag.join(',')
          : flag === undefined
            ? spec.fallback
            : String(flag)
        : env[variable];
    if (text === undefined) continue;
    check(variable ?? `--${name}`, spec, text);
    all.set(name, text);
  }
  return {
    positionals,
    text: (name) => all.get(name) ?? null,
    list: (name) => items(all.get(name) ?? ''),
    flag: (name) => all.get(name) === 'true',
    count: (name) => Number(all.get(name) ?? 0),
    duration: (name) => durationMs(all.get(name) ?? '') ?? 0,
  };
}

export function onePositional(given: Given, missing: string): string {
  const [one, second] = given.positionals;
  if (one === undefined) throw new Error(missing);
  if (second !== undefined) throw new Error(`one folder only, got ${JSON.stringify(second)} too`);
  return one;
}
