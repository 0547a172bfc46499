import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { noPositional, readOptions } from '../options.ts';
import type { OptionTable } from '../options.ts';

export type KeyFormat = 'pem' | 'pem-base64';

const OPTIONS: OptionTable = {
  format: {
    kind: 'text',
    fallback: 'pem-base64',
    value: 'FORMAT',
    choices: ['pem', 'pem-base64'],
    help: 'pem, or pem-base64 as the data of a GlobalSecret takes it',
  },
};

export const generateSigningKeyEntry: CommandEntry = command({
  usage: [
    'zone-egress generate signing-key [--format pem|pem-base64]',
    'Prints a new private key that signs tokens, as kumactl generate signing-key does.',
  ],
  options: OPTIONS,
  parse(argv, env): { readonly format: KeyFormat } {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'generate signing-key');
    return { format: format(given.text('format') ?? '') };
  },
  run: async (parsed, terminal) => (await import('../generate-token.ts')).generateSigningKeyCommand(parsed, terminal),
});

function format(text: string): KeyFormat {
  if (text === 'pem' || text === 'pem-base64') return text;
  throw new Error(`--format ${JSON.stringify(text)}: allowed are pem and pem-base64`);
}
