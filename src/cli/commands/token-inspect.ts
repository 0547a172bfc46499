import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';
import { outputForm } from '../values.ts';

export interface TokenInspectCommand {
  /** `-` stands for standard input. */
  readonly file: string;
  readonly publicKeyPath: string | null;
  readonly output: 'text' | 'json';
}

const OPTIONS: OptionTable = {
  'public-key-path': { kind: 'text', value: 'FILE', help: 'verifies the signature with this public or private key' },
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', choices: ['text', 'json'], help: 'text or json' },
};

export const tokenInspectEntry: CommandEntry = command({
  usage: [
    'zone-egress token inspect FILE [--public-key-path FILE] [-o text|json]',
    'Prints what a token is for and until when, and why a control plane would refuse it. Exit 0, or 78 when it would.',
  ],
  options: OPTIONS,
  parse(argv, env): TokenInspectCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [file, more] = given.positionals;
    if (file === undefined) throw new Error('token inspect needs the file of the token, or - for standard input');
    if (more !== undefined) throw new Error(`token inspect takes one file, got ${JSON.stringify(more)} too`);
    return { file, publicKeyPath: given.text('public-key-path'), output: outputForm(given.text('output') ?? 'text') };
  },
  run: async (parsed, terminal) => (await import('../token-inspect.ts')).tokenInspectCommand(parsed, terminal),
});
