import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { noPositional, readOptions, required } from '../options.ts';
import { SIGNING_OPTIONS, signingOptions } from '../signing-options.ts';
import type { SigningOptions } from '../signing-options.ts';
import type { OptionTable } from '../options.ts';

export interface GenerateZoneTokenCommand extends SigningOptions {
  readonly zone: string;
  readonly scope: readonly string[];
}

const SCOPES: readonly string[] = ['egress', 'ingress'];
const OPTIONS: OptionTable = {
  zone: { kind: 'text', value: 'NAME', help: 'zone that the token is for' },
  scope: { kind: 'list', fallback: 'egress', value: 'SCOPES', help: 'egress, ingress, or both between commas' },
  ...SIGNING_OPTIONS,
};

export const generateZoneTokenEntry: CommandEntry = command({
  usage: [
    'zone-egress generate zone-token --zone NAME --valid-for DUR --signing-key-path FILE --kid ID',
    'Prints a token by which a zone egress of Kuma 2 joins its control plane, signed without asking the control plane.',
  ],
  options: OPTIONS,
  parse(argv, env): GenerateZoneTokenCommand {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'generate zone-token');
    const scope = given.list('scope');
    const wrong = scope.find((each) => !SCOPES.includes(each));
    if (wrong !== undefined) throw new Error(`--scope ${JSON.stringify(wrong)}: allowed are egress and ingress`);
    if (scope.length === 0) throw new Error('--scope "": allowed are egress and ingress');
    return { zone: required(given, 'zone', 'generate zone-token'), scope, ...signingOptions(given, 'generate zone-token') };
  },
  run: async (parsed, terminal) => (await import('../generate-token.ts')).generateZoneTokenCommand(parsed, terminal),
});
