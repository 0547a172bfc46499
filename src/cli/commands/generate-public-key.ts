import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { noPositional, readOptions, required } from '../options.ts';
import type { OptionTable } from '../options.ts';

const OPTIONS: OptionTable = {
  'signing-key-path': { kind: 'text', value: 'FILE', help: 'private key that signs tokens' },
};

export const generatePublicKeyEntry: CommandEntry = command({
  usage: [
    'zone-egress generate public-key --signing-key-path FILE',
    'Prints the public key of a signing key, with which a control plane verifies tokens.',
  ],
  options: OPTIONS,
  parse(argv, env): { readonly signingKeyPath: string } {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'generate public-key');
    return { signingKeyPath: required(given, 'signing-key-path', 'generate public-key') };
  },
  run: async (parsed, terminal) => (await import('../generate-token.ts')).generatePublicKeyCommand(parsed, terminal),
});
