// Runs a command as the command line does, and returns what it prints.
import { parseCommand } from '../../src/cli/parse.ts';
import type { Signal, Terminal } from '../../src/cli/terminal.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A command that runs until it is signalled. */
export interface Running {
  readonly printed: { readonly out: string; readonly err: string };
  readonly code: Promise<number>;
  signal(name: Signal): void;
}

export async function runCommand(...args: readonly string[]): Promise<Ran> {
  const { code, printed } = startCommand(...args);
  return { code: await code, ...printed };
}

export function startCommand(...args: readonly string[]): Running {
  const printed = { out: '', err: '' };
  const listeners = new Set<(signal: Signal) => void>();
  const terminal: Terminal = {
    out: (text) => void (printed.out += text),
    err: (text) => void (printed.err += text),
    cwd: () => '/',
    cpus: () => 1,
    descriptorLimit: () => null,
    onSignal(_names, listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onFault: () => undefined,
  };
  const signal = (name: Signal): void => {
    for (const listener of listeners) listener(name);
  };
  const command = parseCommand(args, {});
  if (command.kind === 'usage-error') return { printed: { out: '', err: command.message }, code: Promise.resolve(64), signal };
  if (command.kind !== 'command') throw new Error(command.kind);
  return { printed, code: command.execute(terminal), signal };
}
