import { parseArgs } from 'node:util';
import { isCidr } from '../routing/addresses.ts';

/**
 * argv and environment -> one Command, pure. Where a flag and a variable are both given the variable wins, as in kuma-dp.
 * Unknown flags and values that cannot be are errors that say what is allowed.
 */
export type Command =
  | { readonly kind: 'run'; readonly options: RunOptions }
  | {
      readonly kind: 'validate';
      readonly dir: string;
      readonly strict: boolean;
      readonly name: string | null;
      readonly zone: string | null;
      readonly identities: string | null;
    }
  | {
      readonly kind: 'routes';
      readonly dir: string;
      readonly output: 'table' | 'json' | 'yaml';
      readonly name: string | null;
      readonly zone: string | null;
      readonly identities: string | null;
    }
  | { readonly kind: 'generate-certs'; readonly options: GenerateCertsOptions }
  | { readonly kind: 'generate-zone'; readonly dir: string; readonly force: boolean }
  | { readonly kind: 'demo'; readonly once: boolean; readonly dir: string }
  | { readonly kind: 'version' }
  | { readonly kind: 'help'; readonly topic: string }
  | { readonly kind: 'usage-error'; readonly message: string };

export interface RunOptions {
  readonly resources: string;
  readonly name: string | null;
  readonly zone: string | null;
  readonly strict: boolean;
  readonly identities: string | null;
  readonly bind: string | null;
  readonly adminBind: string;
  readonly adminHosts: readonly string[];
  readonly readinessPort: number;
  /** 0 takes the CPUs of the cgroup. */
  readonly concurrency: number;
  readonly drainTimeMs: number;
  /** Exit code of a drain that had to cut sessions. */
  readonly drainExitCode: number;
  readonly setupTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxHelloBytes: number;
  /** 0 follows from the descriptor limit. */
  readonly maxSessions: number;
  readonly maxHandshakes: number;
  readonly maxSessionsPerSource: number;
  readonly allowedResolved: readonly string[];
  readonly logLevel: LogLevel;
  /** Accepted for the sake of kuma-dp's flags; without a meaning here. Said once at debug. */
  readonly ignored: readonly string[];
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'off';

export interface GenerateCertsOptions {
  readonly dir: string;
  readonly mesh: string;
  readonly services: readonly string[];
  readonly keyType: 'rsa' | 'ec';
  readonly days: number;
  readonly force: boolean;
}

type Kind = 'text' | 'list' | 'cidrs' | 'flag' | 'count' | 'port' | 'duration' | 'level';

interface OptionSpec {
  readonly kind: Kind;
  readonly short?: string;
  readonly env?: readonly string[];
  readonly fallback?: string;
  readonly help: string;
  readonly value?: string;
  /** The largest count. */
  readonly most?: number;
}

/** One table for parsing, the environment and the help text. */
const RUN_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  resources: { kind: 'text', env: ['ZONE_EGRESS_RESOURCES'], value: 'DIR', help: 'folder of Kuma resource files to serve' },
  name: {
    kind: 'text',
    env: ['KUMA_DATAPLANE_NAME'],
    value: 'NAME',
    help: 'which ZoneEgress of the folder, where there are several',
  },
  zone: {
    kind: 'text',
    env: ['ZONE_EGRESS_ZONE', 'KUMA_MULTIZONE_ZONE_NAME'],
    value: 'ZONE',
    help: 'name of this zone, where the ZoneEgress has none',
  },
  strict: { kind: 'flag', env: ['ZONE_EGRESS_STRICT'], help: 'unknown fields and kinds are errors' },
  identities: {
    kind: 'text',
    env: ['ZONE_EGRESS_IDENTITIES'],
    value: 'DIR',
    help: 'folder with a sub-folder per mesh (tls.crt, tls.key, ca.crt) instead of CA keys',
  },
  bind: {
    kind: 'text',
    env: ['ZONE_EGRESS_BIND'],
    value: 'ADDR',
    help: 'address to listen on, where that of the ZoneEgress is not local (NAT, container)',
  },
  'admin-bind': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_BIND'],
    fallback: '127.0.0.1',
    value: 'ADDR',
    help: 'address of the admin listener',
  },
  'admin-host': {
    kind: 'list',
    env: ['ZONE_EGRESS_ADMIN_HOSTS'],
    value: 'NAME',
    help: 'host name that admin requests may use; repeat or separate by commas',
  },
  'readiness-port': {
    kind: 'port',
    env: ['KUMA_READINESS_PORT'],
    fallback: '9902',
    value: 'PORT',
    help: 'port on every address that answers /ready and nothing else; 0 is off',
  },
  concurrency: {
    kind: 'count',
    env: ['KUMA_DATAPLANE_RUNTIME_CONCURRENCY'],
    fallback: '0',
    value: 'N',
    most: 256,
    help: 'worker threads; 0 takes the CPUs of the cgroup',
  },
  'drain-time': {
    kind: 'duration',
    env: ['KUMA_DATAPLANE_DRAIN_TIME'],
    fallback: '30s',
    value: 'DUR',
    help: 'how long sessions may go on after SIGTERM, and after their route is gone',
  },
  'drain-exit-code': {
    kind: 'count',
    env: ['ZONE_EGRESS_DRAIN_EXIT_CODE'],
    fallback: '1',
    value: 'N',
    most: 255,
    help: 'exit code when the drain had to cut sessions (kuma-dp: 0)',
  },
  'setup-timeout': {
    kind: 'duration',
    env: ['ZONE_EGRESS_SETUP_TIMEOUT'],
    fallback: '15s',
    value: 'DUR',
    help: 'from accept until bytes flow',
  },
  'idle-timeout': {
    kind: 'duration',
    env: ['ZONE_EGRESS_IDLE_TIMEOUT'],
    fallback: '1h',
    value: 'DUR',
    help: 'without a byte in either direction; 0s is off',
  },
  'max-hello-bytes': {
    kind: 'count',
    env: ['ZONE_EGRESS_MAX_HELLO_BYTES'],
    fallback: '16384',
    value: 'N',
    help: 'largest ClientHello, up to 65536',
  },
  'max-sessions': {
    kind: 'count',
    env: ['ZONE_EGRESS_MAX_SESSIONS'],
    fallback: '0',
    value: 'N',
    help: 'sessions open at once; 0 follows from the descriptor limit',
  },
  'max-handshakes': {
    kind: 'count',
    env: ['ZONE_EGRESS_MAX_HANDSHAKES'],
    fallback: '512',
    value: 'N',
    help: 'TLS handshakes with clients under way at once',
  },
  'max-sessions-per-source': {
    kind: 'count',
    env: ['ZONE_EGRESS_MAX_SESSIONS_PER_SOURCE'],
    fallback: '0',
    value: 'N',
    help: 'sessions of one client address; 0 is no limit',
  },
  'allow-resolved': {
    kind: 'cidrs',
    env: ['ZONE_EGRESS_ALLOW_RESOLVED'],
    value: 'CIDR',
    help: 'loopback or link-local block that names may resolve to; repeat or separate by commas',
  },
  'log-level': {
    kind: 'level',
    env: ['ZONE_EGRESS_LOG_LEVEL'],
    fallback: 'info',
    value: 'LEVEL',
    help: 'debug, info, warn, error or off',
  },
};

/** Flags of `kuma-dp run` that the next steps of this project give a meaning; refused until then, never ignored. */
const CONTROL_PLANE_OPTIONS: Readonly<Record<string, string>> = {
  'cp-address': 'KUMA_CONTROL_PLANE_URL',
  'ca-cert-file': 'KUMA_CONTROL_PLANE_CA_CERT_FILE',
  'skip-verify': 'KUMA_CONTROL_PLANE_TLS_SKIP_VERIFY',
  'dataplane-token-file': 'KUMA_DATAPLANE_RUNTIME_TOKEN_PATH',
  'dataplane-token': 'KUMA_DATAPLANE_RUNTIME_TOKEN',
  dataplane: 'KUMA_DATAPLANE_RUNTIME_RESOURCE',
  'dataplane-file': 'KUMA_DATAPLANE_RUNTIME_RESOURCE_PATH',
  'dataplane-var': '',
};

/** Flags of `kuma-dp run` that have no meaning for this egress: taken, and said once at debug. */
const IGNORED_OPTIONS: readonly string[] = [
  'mesh',
  'binary-path',
  'config-dir',
  'work-dir',
  'envoy-log-level',
  'envoy-component-log-level',
  'metrics-cert-path',
  'metrics-key-path',
  'dns-coredns-path',
];

const GENERATE_CERTS_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  mesh: { kind: 'text', fallback: 'default', value: 'NAME', help: 'mesh that the certificates are for' },
  service: {
    kind: 'list',
    fallback: 'frontend',
    value: 'NAME',
    help: 'client certificate for this kuma.io/service; repeat or separate by commas',
  },
  'key-type': { kind: 'text', fallback: 'ec', value: 'TYPE', help: 'rsa or ec' },
  days: { kind: 'count', fallback: '365', value: 'N', help: 'life of the client certificates' },
  force: { kind: 'flag', help: 'overwrite files that are there' },
};

const OUTPUT: OptionSpec = { kind: 'text', short: 'o', fallback: 'table', help: 'table, json or yaml' };

const USAGE: Readonly<Record<string, readonly string[]>> = {
  run: ['zone-egress run --resources DIR [options]', 'Serves a folder of Kuma resources until SIGTERM.'],
  validate: [
    'zone-egress validate DIR [--strict] [--name NAME] [--zone ZONE] [--identities DIR]',
    'Prints every problem as file:line:col field: message. Exit 0, or 78 when something is wrong.',
  ],
  routes: [
    'zone-egress routes DIR [-o table|json|yaml] [--name NAME] [--zone ZONE] [--identities DIR]',
    'Prints what an egress serves from the folder: SNI, destination, endpoints, who may, TLS. Exit 0, or 78 when something is wrong.',
  ],
  'generate certs': [
    'zone-egress generate certs DIR [options]',
    'Writes a mesh CA and client certificates with the SANs that Kuma gives. For tests: keys in plain files.',
  ],
  'generate zone': [
    'zone-egress generate zone DIR [--force]',
    'Writes a sample zone to start from: resources, certificates, a README.',
  ],
  demo: [
    'zone-egress demo [DIR] [--once]',
    'Runs a sample zone on loopback and sends one session of each kind through it. `npm start` is this.',
  ],
};

type Env = Readonly<Record<string, string | undefined>>;

export function parseCommand(argv: readonly string[], env: Env): Command {
  const [first, ...rest] = argv;
  if (first === undefined || first === 'help' || first === '--help' || first === '-h')
    return { kind: 'help', topic: rest[0] ?? '' };
  if (first === 'version' || first === '--version') return { kind: 'version' };
  if (rest.includes('--help') || rest.includes('-h'))
    return { kind: 'help', topic: first === 'generate' ? `generate ${rest[0] ?? ''}` : first };
  try {
    return command(first, rest, env);
  } catch (error) {
    return { kind: 'usage-error', message: error instanceof Error ? error.message : String(error) };
  }
}

function command(first: string, rest: readonly string[], env: Env): Command {
  switch (first) {
    case 'run':
      return { kind: 'run', options: runOptions(rest, env) };
    case 'validate': {
      const { name, zone, strict, identities } = RUN_OPTIONS;
      const given = read(rest, env, { name, zone, strict, identities } as Record<string, OptionSpec>);
      const dir = onePositional(given, 'validate needs the folder of resources');
      return {
        kind: 'validate',
        dir,
        strict: given.flag('strict'),
        name: given.text('name'),
        zone: given.text('zone'),
        identities: given.text('identities'),
      };
    }
    case 'routes': {
      const { name, zone, identities } = RUN_OPTIONS;
      const given = read(rest, env, { name, zone, identities, output: OUTPUT } as Record<string, OptionSpec>);
      return {
        kind: 'routes',
        dir: onePositional(given, 'routes needs the folder of resources'),
        output: output(given.text('output') ?? 'table'),
        name: given.text('name'),
        zone: given.text('zone'),
        identities: given.text('identities'),
      };
    }
    case 'generate': {
      const [what, ...others] = rest;
      if (what === 'certs') return { kind: 'generate-certs', options: generateCerts(read(others, env, GENERATE_CERTS_OPTIONS)) };
      if (what === 'zone') {
        const given = read(others, env, { force: { kind: 'flag', help: '' } });
        return {
          kind: 'generate-zone',
          dir: onePositional(given, 'generate zone needs the folder to write'),
          force: given.flag('force'),
        };
      }
      throw new Error(`generate ${what ?? ''}: allowed are certs and zone`);
    }
    case 'demo': {
      const given = read(rest, env, { once: { kind: 'flag', help: '' } });
      return { kind: 'demo', once: given.flag('once'), dir: given.positionals[0] ?? '' };
    }
    default:
      throw new Error(
        `unknown command ${JSON.stringify(first)}: allowed are run, validate, routes, generate, demo, version, help`,
      );
  }
}

function runOptions(argv: readonly string[], env: Env): RunOptions {
  const kept = dropIgnored(argv);
  const proxyType = env.KUMA_DATAPLANE_PROXY_TYPE ?? kept.proxyType ?? 'egress';
  if (proxyType !== 'egress') throw new Error(`--proxy-type ${proxyType}: this is a zone egress; allowed is egress`);
  for (const [flag, variable] of Object.entries(CONTROL_PLANE_OPTIONS)) {
    const used = kept.argv.find((arg) => arg === `--${flag}` || arg.startsWith(`--${flag}=`));
    if (used !== undefined) throw new Error(`--${flag}: a control plane as the source is not built yet; give --resources DIR`);
    if (variable !== '' && env[variable] !== undefined)
      throw new Error(`${variable}: a control plane as the source is not built yet; unset it and give --resources DIR`);
  }
  const given = read(kept.argv, env, RUN_OPTIONS);
  if (given.positionals.length > 0)
    throw new Error(`run takes no arguments beside its flags, got ${JSON.stringify(given.positionals[0])}`);
  const resources = given.text('resources');
  if (resources === null) throw new Error('run needs --resources DIR, the folder of Kuma resource files to serve');
  const maxHelloBytes = given.count('max-hello-bytes');
  if (maxHelloBytes < 512 || maxHelloBytes > 65_536)
    throw new Error(`--max-hello-bytes ${maxHelloBytes}: allowed is 512 to 65536`);
  if (given.duration('setup-timeout') === 0)
    throw new Error('--setup-timeout 0s: allowed is more than 0; every connection needs a deadline');
  return {
    resources,
    name: given.text('name'),
    zone: given.text('zone'),
    strict: given.flag('strict'),
    identities: given.text('identities'),
    bind: given.text('bind'),
    adminBind: given.text('admin-bind') ?? '127.0.0.1',
    adminHosts: given.list('admin-host'),
    readinessPort: given.count('readiness-port'),
    concurrency: given.count('concurrency'),
    drainTimeMs: given.duration('drain-time'),
    drainExitCode: given.count('drain-exit-code'),
    setupTimeoutMs: given.duration('setup-timeout'),
    idleTimeoutMs: given.duration('idle-timeout'),
    maxHelloBytes,
    maxSessions: given.count('max-sessions'),
    maxHandshakes: given.count('max-handshakes'),
    maxSessionsPerSource: given.count('max-sessions-per-source'),
    allowedResolved: given.list('allow-resolved'),
    logLevel: level(given.text('log-level') ?? 'info'),
    ignored: kept.ignored,
  };
}

function generateCerts(given: Given): GenerateCertsOptions {
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

function dropIgnored(argv: readonly string[]): {
  readonly argv: readonly string[];
  readonly ignored: readonly string[];
  readonly proxyType: string | null;
} {
  const kept: string[] = [];
  const ignored: string[] = [];
  let proxyType: string | null = null;
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i] ?? '';
    const [flag = '', inline] = arg.split(/=(.*)/s);
    const name = flag.replace(/^--/, '');
    if (arg.startsWith('--') && (name === 'proxy-type' || IGNORED_OPTIONS.includes(name))) {
      const value = inline ?? argv[++i] ?? '';
      if (name === 'proxy-type') proxyType = value;
      else ignored.push(flag);
    } else kept.push(arg);
  }
  return { argv: kept, ignored, proxyType };
}

interface Given {
  readonly positionals: readonly string[];
  text(name: string): string | null;
  list(name: string): readonly string[];
  flag(name: string): boolean;
  count(name: string): number;
  duration(name: string): number;
}

function read(argv: readonly string[], env: Env, table: Readonly<Record<string, OptionSpec>>): Given {
  const options: Record<string, { type: 'boolean' | 'string'; multiple: boolean; short?: string }> = {};
  for (const [name, { kind, short }] of Object.entries(table))
    options[name] = {
      type: kind === 'flag' ? 'boolean' : 'string',
      multiple: kind === 'list' || kind === 'cidrs',
      ...(short === undefined ? {} : { short }),
    };
  const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  const all = new Map<string, string>();
  for (const [name, spec] of Object.entries(table)) {
    const variable = spec.env?.find((key) => (env[key] ?? '') !== '');
    const flag = values[name];
    const text =
      variable === undefined
        ? Array.isArray(flag)
          ? flag.join(',')
          : flag === undefined
            ? spec.fallback
            : String(flag)
        : env[variable];
    if (text === undefined) continue;
    check(variable ?? `--${name}`, spec, text);
    all.set(name, text);
  }
  return {
    positionals,
    text: (name) => all.get(name) ?? null,
    list: (name) => items(all.get(name) ?? ''),
    flag: (name) => all.get(name) === 'true',
    count: (name) => Number(all.get(name) ?? 0),
    duration: (name) => durationMs(all.get(name) ?? '') ?? 0,
  };
}

function items(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function check(source: string, { kind, most = Infinity }: OptionSpec, text: string): void {
  const wrong = (allowed: string, given = text): Error => new Error(`${source} ${JSON.stringify(given)}: allowed is ${allowed}`);
  if (kind === 'flag' && text !== 'true' && text !== 'false') throw wrong('true or false');
  if ((kind === 'count' || kind === 'port') && !/^\d{1,9}$/.test(text)) throw wrong('a whole number from 0');
  if (kind === 'count' && Number(text) > most) throw wrong(`0 to ${most}`);
  const noCidr = kind === 'cidrs' ? items(text).find((item) => !isCidr(item)) : undefined;
  if (noCidr !== undefined) throw wrong('a CIDR block such as 127.0.0.0/8 or fe80::/10', noCidr);
  if (kind === 'port' && Number(text) > 65_535) throw wrong('a port from 0 to 65535');
  if (kind === 'duration' && durationMs(text) === null) throw wrong('a duration such as 500ms, 30s, 5m, 1h or 1m30s');
  if (kind === 'level') level(text);
  if (kind === 'text' && text === '') throw wrong('a text that is not empty');
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Go's durations, as kuma-dp takes them: `1m30s`, `500ms`. Null where the text is none. */
export function durationMs(text: string): number | null {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return null;
  let total = 0;
  for (const [, number, , unit] of text.matchAll(/(\d+(\.\d+)?)(ms|s|m|h)/g)) total += Number(number) * (UNITS[unit ?? ''] ?? 0);
  return total;
}

function level(text: string): LogLevel {
  if (text === 'debug' || text === 'info' || text === 'warn' || text === 'error' || text === 'off') return text;
  throw new Error(`--log-level ${JSON.stringify(text)}: allowed are debug, info, warn, error and off`);
}

function output(text: string): 'table' | 'json' | 'yaml' {
  if (text === 'table' || text === 'json' || text === 'yaml') return text;
  throw new Error(`--output ${JSON.stringify(text)}: allowed are table, json and yaml`);
}

function onePositional(given: Given, missing: string): string {
  const [one, second] = given.positionals;
  if (one === undefined) throw new Error(missing);
  if (second !== undefined) throw new Error(`one folder only, got ${JSON.stringify(second)} too`);
  return one;
}

export function helpText(topic: string): string {
  const usage = USAGE[topic.trim()];
  if (usage === undefined) {
    const lines = Object.values(USAGE).map(([line, what]) => `  ${line}\n      ${what}`);
    return `zone-egress: a zone egress for Kuma and Kong Mesh\n\n${lines.join('\n')}\n  zone-egress version\n\nzone-egress help COMMAND lists the options of one.\n`;
  }
  const table = topic === 'run' ? RUN_OPTIONS : topic === 'generate certs' ? GENERATE_CERTS_OPTIONS : {};
  const rows = Object.entries(table).map(([name, { value, help, fallback, env }]) => {
    const left = `--${name}${value === undefined ? '' : ` ${value}`}`;
    const notes = [fallback === undefined ? '' : `default ${fallback}`, env === undefined ? '' : env.join(', ')].filter(
      (note) => note !== '',
    );
    return `  ${left.padEnd(30)} ${help}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
  });
  const body = rows.length === 0 ? '' : `\n${rows.join('\n')}\n`;
  return `${usage.join('\n')}\n${body}`;
}
