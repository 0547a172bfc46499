// Runs a command as the command line does, and returns what it prints.
import { parseCommand } from '../../src/cli/parse.ts';
import type { Terminal } from '../../src/cli/terminal.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function runCommand(...args: readonly string[]): Promise<Ran> {
  const printed = { out: '', err: '' };
  const terminal: Terminal = {
    out: (text) => void (printed.out += text),
    err: (text) => void (printed.err += text),
    cwd: () => '/',
    cpus: () => 1,
    descriptorLimit: () => null,
    onSignal: () => () => undefined,
    onFault: () => undefined,
  };
  const command = parseCommand(args, {});
  if (command.kind === 'usage-error') return { code: 64, out: '', err: command.message };
  if (command.kind !== 'command') throw new Error(command.kind);
  return { code: await command.execute(terminal), ...printed };
}
