import type { Env, OptionTable } from './options.ts';
import type { Terminal } from './terminal.ts';

/**
 * One command: its usage, and what it does. It is light to import: `run` imports what it needs when
 * it is called.
 */
interface CommandSpec<Parsed> {
  /** The line to type, and its effect. */
  readonly usage: readonly [line: string, what: string];
  /** The options that `help` lists. */
  readonly options: OptionTable;
  /**
   * Parses the arguments after the name of the command. Throws an error that lists what is allowed.
   */
  readonly parse: (argv: readonly string[], env: Env) => Parsed;
  /** Resolves with the exit code. */
  readonly run: (parsed: Parsed, terminal: Terminal) => Promise<number>;
}

/** A command as the table of all commands holds it, without the type of its parsed arguments. */
export interface CommandEntry extends Pick<CommandSpec<unknown>, 'usage' | 'options'> {
  readonly invoke: (argv: readonly string[], env: Env) => Invocation;
}

export interface Invocation {
  /** For inspection only; `execute` uses it already. */
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
