import type { Env, OptionTable } from './options.ts';
import type { Terminal } from './terminal.ts';

/**
 * One command: how it is called, and what it does. Light to import: `run` imports what it needs
 * when it is called.
 */
interface CommandSpec<Parsed> {
  /** The line to type, and what it does. */
  readonly usage: readonly [line: string, what: string];
  /** What `help` lists. */
  readonly options: OptionTable;
  /** Of what follows the name of the command. Throws an error that says what is allowed. */
  readonly parse: (argv: readonly string[], env: Env) => Parsed;
  /** Resolves with the exit code. */
  readonly run: (parsed: Parsed, terminal: Terminal) => Promise<number>;
}

/** A command as the table of all holds it: what it has parsed is its own business. */
export interface CommandEntry extends Pick<CommandSpec<unknown>, 'usage' | 'options'> {
  readonly invoke: (argv: readonly string[], env: Env) => Invocation;
}

export interface Invocation {
  /** To look at; `execute` has it already. */
  readonly parsed: unknown;
  /** Resolves with the exit code. */
  readonly execute: (terminal: Terminal) => Promise<number>;
}

export function command<Parsed>({ usage, options, parse, run }: CommandSpec<Parsed>): CommandEntry {
  return {
    usage,
    options,
    invoke(argv, env) {
      const parsed = parse(argv, env);
      return { parsed, execute: (terminal) => run(parsed, terminal) };
    },
  };
}
