import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { noPositional, readOptions } from '../options.ts';
import type { ParsedOptions, OptionTable } from '../options.ts';
import { SIGNING_OPTIONS, signingOptions } from '../signing-options.ts';
import type { SigningOptions } from '../signing-options.ts';
import { items, pairs } from '../values.ts';

export interface GenerateDataplaneTokenCommand extends SigningOptions {
  readonly mesh: string;
  readonly name: string;
  readonly workload: string;
  readonly proxyType: string;
  readonly tags: Readonly<Record<string, readonly string[]>>;
}

const OPTIONS: OptionTable = {
  mesh: { kind: 'text', fallback: 'default', short: 'm', value: 'NAME', help: 'mesh of the Dataplane' },
  name: { kind: 'text', value: 'NAME', help: 'binds the token to the Dataplane of this name' },
  workload: {
    kind: 'text',
    value: 'NAME',
    help: 'binds the token to the workload, which a MeshIdentity with a path by workload asks for',
  },
  tag: {
    kind: 'pairs',
    value: 'KEY=VALUES',
    help: 'binds the token to values of a tag, with commas between them; repeat for more tags',
  },
  'proxy-type': { kind: 'text', value: 'TYPE', help: 'binds the token to dataplane, ingress or egress' },
  ...SIGNING_OPTIONS,
};
const PROXY_TYPES: readonly string[] = ['dataplane', 'ingress', 'egress'];

export const generateDataplaneTokenEntry: CommandEntry = command({
  usage: [
    'zone-egress generate dataplane-token --mesh NAME --valid-for DUR --signing-key-path FILE --kid ID [--name NAME] [--workload NAME]',
    'Prints a token by which an egress joins as a Dataplane of one mesh, which is the form of Kuma 3.',
  ],
  options: OPTIONS,
  parse(argv, env): GenerateDataplaneTokenCommand {
    const given = readOptions(argv, env, OPTIONS);
    noPositional(given, 'generate dataplane-token');
    const proxyType = given.text('proxy-type') ?? '';
    if (proxyType !== '' && !PROXY_TYPES.includes(proxyType))
      throw new Error(`--proxy-type ${JSON.stringify(proxyType)}: allowed are dataplane, ingress and egress`);
    return {
      mesh: given.text('mesh') ?? 'default',
      name: given.text('name') ?? '',
      workload: given.text('workload') ?? '',
      proxyType,
      tags: tagsOf(given),
      ...signingOptions(given, 'generate dataplane-token'),
    };
  },
  run: async (parsed, terminal) => (await import('../generate-token.ts')).generateDataplaneTokenCommand(parsed, terminal),
});

function tagsOf(given: ParsedOptions): Readonly<Record<string, readonly string[]>> {
  const tags = given.each('tag').flatMap(pairs);
  for (const [key, values] of tags) {
    if (key === '' || items(values).length === 0)
      throw new Error(`--tag ${JSON.stringify(`${key}=${values}`)}: allowed is KEY=VALUE`);
  }
  return Object.fromEntries(tags.map(([key, values]) => [key, items(values)]));
}
