import { adminAt } from '../admin-at.ts';
import type { AdminAt } from '../admin-at.ts';
import { strayArgument } from '../misplaced.ts';
import { command } from '../command-spec.ts';
import type { CommandEntry } from '../command-spec.ts';
import { ADMIN_TLS_OPTIONS } from '../find-options.ts';
import { readOptions } from '../options.ts';
import type { ParsedOptions, OptionTable } from '../options.ts';
import { SOURCE_OPTIONS } from '../run-options.ts';
import { outputForm } from '../values.ts';

export interface ExplainCommand {
  /**
   * The source of the answer: a folder of resources, or a running egress by the address of its
   * admin pages.
   */
  readonly against:
    | {
        readonly kind: 'folder';
        readonly dir: string;
        readonly name: string | null;
        readonly zone: string | null;
        readonly identities: string | null;
      }
    | { readonly kind: 'admin'; readonly at: AdminAt };
  readonly about:
    | {
        readonly kind: 'connection';
        readonly sni: string;
        readonly from: readonly string[];
        readonly cert: string | null;
        readonly method?: string;
        readonly path?: string;
        readonly headers?: readonly string[];
      }
    | { readonly kind: 'record'; readonly id: string };
  /** True makes the running egress dial the endpoint for the answer. */
  readonly probe: boolean;
  readonly output: 'text' | 'json';
}

const { name, zone, identities } = SOURCE_OPTIONS;

const OPTIONS: OptionTable = {
  sni: { kind: 'text', value: 'NAME', help: 'the SNI that the client sends, e.g. backend{mesh=default}' },
  from: {
    kind: 'list',
    value: 'URI',
    help: 'SPIFFE id of the client, spiffe://mesh/service, and other URI names of its certificate; repeat or separate by commas',
  },
  cert: { kind: 'text', value: 'FILE', help: 'the certificate of the client (PEM, the leaf first), instead of --from' },
  method: { kind: 'text', value: 'METHOD', help: 'method of the request to an HTTP service, e.g. GET' },
  path: { kind: 'text', value: 'PATH', help: 'path of the request; default /' },
  header: { kind: 'text', value: 'NAME:VALUE', help: 'header of the request, also host; repeat for more' },
  id: {
    kind: 'text',
    value: 'ID',
    help: 'a session that ended or a request that was refused: the id of its log line or of /decisions; with --admin',
  },
  resources: { kind: 'text', env: ['ZONE_EGRESS_RESOURCES'], value: 'DIR', help: 'answer from this folder of resources' },
  admin: { kind: 'text', value: 'URL', help: 'answer from the egress with these admin pages, e.g. http://127.0.0.1:9901' },
  ...ADMIN_TLS_OPTIONS,
  probe: {
    kind: 'flag',
    help: 'with --admin and --sni: the egress dials the endpoint now, makes the handshake where it has TLS, and reports the result; it sends no data',
  },
  output: { kind: 'text', short: 'o', fallback: 'text', value: 'FORM', choices: ['text', 'json'], help: 'text or json' },
  name,
  zone,
  identities,
};

export const explainEntry: CommandEntry = command({
  usage: [
    'zone-egress explain --sni NAME [--from spiffe://mesh/service | --cert FILE] [--method GET --path /x --header NAME:VALUE] --resources DIR | --admin URL [--probe] [-o text|json]',
    'Says why a connection passes or not, step by step, and what to change. --id ID --admin URL asks about a session that ended. Exit 0 allowed, 3 refused.',
  ],
  options: OPTIONS,
  parse(argv, env): ExplainCommand {
    const given = readOptions(argv, env, OPTIONS);
    const [extra] = given.positionals;
    if (extra !== undefined) throw strayArgument('explain', extra);
    const about = aboutOf(given);
    const against = againstOf(given, about);
    const probe = given.flag('probe');
    if (probe && (against.kind === 'folder' || about.kind === 'record'))
      throw new Error('--probe needs --admin URL and --sni NAME: a running egress dials what a new session would dial');
    return { about, against, probe, output: outputForm(given.text('output') ?? 'text') };
  },
  run: async (parsed, terminal) => (await import('../run-explain.ts')).explainCommand(parsed, terminal),
});

function aboutOf(given: ParsedOptions): ExplainCommand['about'] {
  const [method, path, headers] = [given.text('method'), given.text('path'), given.each('header')];
  const [id, sni, cert, from] = [given.text('id'), given.text('sni'), given.text('cert'), given.list('from')];
  if (id !== null) {
    if (sni !== null || cert !== null || from.length > 0 || method !== null || path !== null || headers.length > 0)
      throw new Error('--id goes without --sni, --from, --cert and the request: the record has them');
    return { kind: 'record', id };
  }
  if (sni === null) throw new Error('explain needs --sni NAME, or --id ID of a session that ended');
  if (cert !== null && from.length > 0) throw new Error('--from and --cert both name the client: give only one of them');
  return {
    kind: 'connection',
    sni,
    from,
    cert,
    ...(method === null ? {} : { method }),
    ...(path === null ? {} : { path }),
    ...(headers.length === 0 ? {} : { headers }),
  };
}

function againstOf(given: ParsedOptions, about: ExplainCommand['about']): ExplainCommand['against'] {
  const url = given.text('admin');
  const dir = url !== null && given.source('resources') !== '--resources' ? null : given.text('resources');
  if (url !== null && dir !== null) throw new Error('give only one of --resources and --admin');
  if (url !== null) return { kind: 'admin', at: adminAt(given, url) };
  if (about.kind === 'record') throw new Error('--id needs --admin URL: the egress remembers its sessions, a folder does not');
  if (dir === null) throw new Error('explain needs --resources DIR or --admin URL');
  return { kind: 'folder', dir, name: given.text('name'), zone: given.text('zone'), identities: given.text('identities') };
}
