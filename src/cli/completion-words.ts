import { COMMANDS } from './commands.ts';
import type { OptionSpec, OptionTable } from './options.ts';
import { LOG_LEVELS } from './values.ts';

/** Which values an option takes, as a shell can complete them. */
export type Completed =
  | { readonly kind: 'switch' }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'files' | 'folders' | 'text' };

export interface CompletedOption {
  /** Without the dashes. */
  readonly name: string;
  readonly short: string | null;
  readonly help: string;
  readonly value: string;
  readonly takes: Completed;
}

export interface CompletedCommand {
  /** One word, or two. */
  readonly words: readonly string[];
  readonly what: string;
  readonly options: readonly CompletedOption[];
}

/** Returns every command with what can be typed after it. */
export function completedCommands(): readonly CompletedCommand[] {
  return Object.entries(COMMANDS).map(([name, { usage, options }]) => ({
    words: name.split(' '),
    what: usage[1],
    options: optionsOf(options),
  }));
}

/** The first words of commands in their order, each with the second words under it. */
export function firstWords(): ReadonlyMap<string, readonly string[]> {
  const under = new Map<string, string[]>();
  for (const {
    words: [first = '', second],
  } of completedCommands()) {
    const all = under.get(first) ?? [];
    if (second !== undefined) all.push(second);
    under.set(first, all);
  }
  return under;
}

function optionsOf(table: OptionTable): readonly CompletedOption[] {
  return Object.entries(table)
    .filter(([, { variableOnly }]) => variableOnly !== true)
    .map(([name, spec]) => ({ name, short: spec.short ?? null, help: spec.help, value: spec.value ?? '', takes: takes(spec) }));
}

function takes({ kind, choices, value = '' }: OptionSpec): Completed {
  if (kind === 'flag') return { kind: 'switch' };
  if (kind === 'level') return { kind: 'words', words: LOG_LEVELS };
  if (choices !== undefined) return { kind: 'words', words: choices };
  return { kind: value === 'FILE' ? 'files' : value === 'DIR' ? 'folders' : 'text' };
}
