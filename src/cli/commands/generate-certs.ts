import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { onePositional, readOptions } from '../options.ts';
import type { ParsedOptions, OptionTable } from '../options.ts';

export interface GenerateCertsOptions {
  readonly dir: string;
  readonly mesh: string;
  readonly services: readonly string[];
  readonly keyType: 'rsa' | 'ec';
  readonly days: number;
  readonly force: boolean;
}

const OPTIONS: OptionTable = {
  mesh: { kind: 'text', fallback: 'default', value: 'NAME', help: 'mesh that the certificates are for' },
  service: {
    kind: 'list',
    fallback: 'frontend',
    value: 'NAME',
    help: 'client certificate for this kuma.io/service; repeat or separate by commas',
  },
  'key-type': { kind: 'text', fallback: 'ec', value: 'TYPE', choices: ['rsa', 'ec'], help: 'rsa or ec' },
  days: { kind: 'count', fallback: '365', value: 'N', help: 'life of the client certificates' },
  force: { kind: 'flag', help: 'overwrite existing files' },
};

export const generateCertsEntry: CommandEntry = command({
  usage: [
    'zone-egress generate certs DIR [options]',
    'Writes a mesh CA and client certificates with the SANs that Kuma gives. For tests: keys in plain files.',
  ],
  options: OPTIONS,
  parse: (argv, env) => optionsOf(readOptions(argv, env, OPTIONS)),
  run: async (options, terminal) => (await import('../generate-certs.ts')).generateCertsCommand(options, terminal),
});

function optionsOf(given: ParsedOptions): GenerateCertsOptions {
  const keyType = given.text('key-type');
  if (keyType !== 'rsa' && keyType !== 'ec') throw new Error(`--key-type ${keyType ?? ''}: allowed are rsa and ec`);
  const mesh = given.text('mesh') ?? 'default';
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(mesh))
    throw new Error(`--mesh ${mesh}: a mesh name is lower-case letters, digits, '-' and '.'`);
  const services = given.list('service');
  for (const service of services) {
    if (!/^[a-zA-Z0-9._:-]+$/.test(service))
      throw new Error(`--service ${JSON.stringify(service)}: a service name is letters, digits, '.', '-', '_' and ':'`);
    if (service === 'ca') throw new Error('--service ca: its files would have the names of the CA’s');
  }
  return {
    dir: onePositional(given, 'generate certs needs the folder to write'),
    mesh,
    services,
    keyType,
    days: given.count('days'),
    force: given.flag('force'),
  };
}
