import { adminAt } from '../admin-at.ts';
import type { AdminAt } from '../admin-at.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { ADMIN_TLS_OPTIONS } from '../find-options.ts';
import { readOptions } from '../options.ts';
import type { OptionTable, ParsedOptions } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';
import { outputForm } from '../values.ts';

export interface MigrateCommand {
  readonly from: MigrateSource;
  readonly name: string | null;
  readonly zone: string | null;
  readonly output: 'text' | 'json';
}

export type MigrateSource =
  | { readonly kind: 'folder'; readonly dir: string }
  /** The admin pages of a running egress, this one or Envoy. */
  | { readonly kind: 'admin'; readonly at: AdminAt }
  | ApiSource;

export interface ApiSource {
  readonly kind: 'api';
  readonly url: URL;
  readonly caCert: string | null;
  readonly caCertFile: string | null;
  readonly clientCertFile: string | null;
  readonly clientKeyFile: string | null;
  readonly skipVerify: boolean;
  readonly tokenFile: string | null;
}

const { name, zone } = SOURCE_OPTIONS;

const OPTIONS = {
  admin: {
    kind: 'text',
    value: 'URL',
    help: 'plan from the ZoneEgress with these admin pages, Envoy’s or this program’s, by /config_dump',
  },
  ...ADMIN_TLS_OPTIONS,
  'cp-api': {
    kind: 'text',
    value: 'URL',
    help: 'plan from the resources of this control plane: the address of its API, e.g. https://cp:5682; it is only read',
  },
  'token-file': {
    kind: 'text',
    value: 'FILE',
    help: 'with --cp-api: token of a user, as `kumactl generate user-token` makes it',
  },
  'ca-cert-file': {
    kind: 'text',
    env: ['KUMA_CONTROL_PLANE_CA_CERT_FILE'],
    value: 'FILE',
    help: 'with --cp-api: PEM of the authority of the control plane',
  },
  'ca-cert': {
    kind: 'text',
    env: ['KUMA_CONTROL_PLANE_CA_CERT'],
    variableOnly: true,
    help: 'the same as text; wins over the file',
  },
  'client-cert-file': { kind: 'text', value: 'FILE', help: 'with --cp-api: PEM of the certificate to show, as for kumactl' },
  'client-key-file': { kind: 'text', value: 'FILE', help: 'with --cp-api: PEM of its key' },
  'skip-verify': { kind: 'flag', help: 'with --cp-api: take any certificate; the token goes to any server that answers' },
  output: {
    kind: 'text',
    short: 'o',
    fallback: 'text',
    value: 'FORM',
    choices: ['text', 'json'],
    help: 'text (YAML to apply, with comments) or json',
  },
  name,
  zone,
} as const satisfies OptionTable;

/** The options that have an effect only with `--cp-api`. */
const OF_API = ['token-file', 'ca-cert-file', 'client-cert-file', 'client-key-file', 'skip-verify'] as const;

export const migrateEntry: CommandEntry = command({
  usage: [
    'zone-egress migrate DIR | --admin URL | --cp-api URL [--token-file FILE] [-o text|json] [--name NAME] [--zone ZONE]',
    'Prints what takes the place of a ZoneEgress in Kuma 3.0, step by step, and who would gain or lose access. Exit 3 where somebody would. It changes nothing.',
  ],
  options: OPTIONS,
  parse(argv, env): MigrateCommand {
    const given = readOptions(argv, env, OPTIONS);
    return {
      from: sourceOf(given),
      name: given.text('name'),
      zone: given.text('zone'),
      output: outputForm(given.text('output') ?? 'text'),
    };
  },
  run: async (parsed, terminal) => (await import('../run-migrate.ts')).migrateCommand(parsed, terminal),
});

function sourceOf(given: ParsedOptions): MigrateSource {
  const [dir, extra] = given.positionals;
  if (extra !== undefined) throw new Error(`migrate takes one folder, got ${JSON.stringify(extra)} too`);
  const [admin, api] = [given.text('admin'), given.text('cp-api')];
  const sources = [dir, admin, api].filter((source) => source !== undefined && source !== null);
  if (sources.length > 1) throw new Error('migrate takes one source: give only one of a folder, --admin and --cp-api');
  const stray =
    api === null ? OF_API.map((option) => given.source(option)).find((source) => source?.startsWith('--')) : undefined;
  if (stray !== undefined && stray !== null) throw new Error(`${stray} goes with --cp-api URL`);
  if (admin !== null) return { kind: 'admin', at: adminAt(given, admin) };
  if (api !== null) return apiIn(given, urlIn('--cp-api', api, ['http:', 'https:']));
  if (dir !== undefined) return { kind: 'folder', dir };
  throw new Error('migrate needs a folder of resources, --admin URL of a running egress, or --cp-api URL of a control plane');
}

function apiIn(given: ParsedOptions, url: URL): ApiSource {
  const [clientCertFile, clientKeyFile] = [given.text('client-cert-file'), given.text('client-key-file')];
  if ((clientCertFile === null) !== (clientKeyFile === null))
    throw new Error('--client-cert-file and --client-key-file go together: one of them is missing');
  const base = new URL(url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return {
    kind: 'api',
    url: base,
    caCert: given.text('ca-cert'),
    caCertFile: given.text('ca-cert-file'),
    clientCertFile,
    clientKeyFile,
    skipVerify: given.flag('skip-verify'),
    tokenFile: given.text('token-file'),
  };
}

function urlIn(flag: string, text: string, protocols: readonly string[]): URL {
  const url = URL.parse(text);
  const isGood = url !== null && protocols.includes(url.protocol) && url.username === '' && url.password === '';
  if (isGood && url.search === '' && url.hash === '') return url;
  const forms = protocols.map((protocol) => `${protocol}//HOST:PORT`).join(' and ');
  // The text before an @ may be a password.
  throw new Error(`${flag} ${JSON.stringify(text.replace(/\/\/.*@/, '//…@'))}: allowed is ${forms}`);
}
