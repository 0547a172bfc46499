import { LOG_FORMATS } from '../observe/log-format.ts';
import type { LogFormat } from '../observe/log-format.ts';
import type { LogLevel } from '../observe/log.ts';
import { CONTROL_PLANE_OPTIONS, PROXY_TYPES, controlPlaneFlags, tellsOfControlPlane } from './control-plane-flags.ts';
import type { ControlPlaneFlags, ProxyType } from './control-plane-flags.ts';
import type { OtlpOptions } from '../observe/otlp/otlp-options.ts';
import { OTLP_OPTIONS, otlpIn } from './otlp-flags.ts';
import { IGNORED_OPTIONS, ignoredIn } from './ignored-options.ts';
import { readConfigFile } from './config-file.ts';
import { strayArgument } from './misplaced.ts';
import { readOptions } from './options.ts';
import type { Env, ParsedOptions, OptionSpec, OptionTable } from './options.ts';
import { levelOrNull } from './values.ts';

export interface RunOptions {
  /** A folder; null where a control plane is the source. Never both. */
  readonly resources: string | null;
  readonly controlPlane: ControlPlaneFlags | null;
  readonly name: string | null;
  readonly zone: string | null;
  readonly strict: boolean;
  readonly identities: string | null;
  readonly bind: string | null;
  readonly adminBind: string;
  readonly adminHosts: readonly string[];
  /** A unix socket for the admin pages and for changes; null for none. */
  readonly adminSocket: string | null;
  /** A file of tokens for changes over TCP; null takes none there. */
  readonly adminTokenFile: string | null;
  /** The files with which the admin listener speaks TLS; null for none. */
  readonly adminTls: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile: string } | null;
  readonly readinessPort: number;
  /** 0 uses the CPUs of the cgroup. */
  readonly concurrency: number;
  readonly drainTimeMs: number;
  /** True where nothing sets it, so that it may follow from the time that a supervisor leaves. */
  readonly drainTimeIsDefault: boolean;
  /** Time between SIGTERM and SIGKILL; null where the operator says nothing of it. */
  readonly graceMs: number | null;
  /** Exit code of a drain that had to cut sessions. */
  readonly drainExitCode: number;
  readonly setupTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly halfClosedTimeoutMs: number;
  readonly maxHelloBytes: number;
  /** 0 derives it from the descriptor limit. */
  readonly maxSessions: number;
  readonly maxHandshakes: number;
  readonly maxSessionsPerSource: number;
  readonly allowedResolved: readonly string[];
  /** True serves requests of HTTP services one by one. */
  readonly http: boolean;
  /** The folder for the last good configuration of a control plane; null keeps none. */
  readonly stateDir: string | null;
  /** True resumes TLS sessions of clients. */
  readonly resumption: boolean;
  /** The file for records of sessions; null records none. */
  readonly record: string | null;
  readonly recordMaxBytes: number;
  /** Meshes whose permissions are only reported. */
  readonly reportOnly: readonly string[];
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** 0 logs no session that ended well. */
  readonly logSample: number;
  /** The most destinations, and the most endpoints, with metrics of their own. */
  readonly metricsTop: number;
  /** True offers OpenMetrics. */
  readonly openMetrics: boolean;
  /** The collector of OpenTelemetry; null sends nothing. */
  readonly otlp: OtlpOptions | null;
  /** Reads the options once more, with the file of `--config` as it is then. Absent means never. */
  readonly again?: () => RunOptions;
  /** Options of kuma-dp that are accepted without an effect; logged once at debug. */
  readonly ignored: readonly string[];
}

/** Options for reading a folder of resources, also for the commands that only inspect it. */
export const SOURCE_OPTIONS: Readonly<Record<'name' | 'zone' | 'strict' | 'identities', OptionSpec>> = {
  name: {
    kind: 'text',
    env: ['KUMA_DATAPLANE_NAME'],
    value: 'NAME',
    help: 'name of the ZoneEgress in the folder, or of the ZoneEgress or Dataplane that is at the control plane already',
  },
  zone: {
    kind: 'text',
    env: ['ZONE_EGRESS_ZONE', 'KUMA_MULTIZONE_ZONE_NAME'],
    value: 'ZONE',
    help: 'name of this zone, where the ZoneEgress has none',
  },
  strict: { kind: 'flag', env: ['ZONE_EGRESS_STRICT'], help: 'report unknown fields and kinds as errors' },
  identities: {
    kind: 'text',
    env: ['ZONE_EGRESS_IDENTITIES'],
    value: 'DIR',
    help: 'folder with a sub-folder per mesh (tls.crt, tls.key, ca.crt) instead of CA keys',
  },
};

export const RUN_OPTIONS: OptionTable = {
  resources: { kind: 'text', env: ['ZONE_EGRESS_RESOURCES'], value: 'DIR', help: 'folder of Kuma resource files to serve' },
  ...SOURCE_OPTIONS,
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
  'admin-socket': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_SOCKET'],
    value: 'PATH',
    help: 'unix socket (mode 0600) with the admin pages, on which changes are taken: ending sessions, log level, drain',
  },
  'admin-token-file': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_TOKEN_FILE'],
    value: 'FILE',
    help: 'file of tokens, one a line, with which changes are taken over TCP too; without it none are',
  },
  'admin-tls-cert-file': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_TLS_CERT_FILE'],
    value: 'FILE',
    help: 'certificate of the admin listener (PEM, with its chain): it then speaks TLS only, 1.2 or later',
  },
  'admin-tls-key-file': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_TLS_KEY_FILE'],
    value: 'FILE',
    help: 'private key of --admin-tls-cert-file',
  },
  'admin-client-ca-file': {
    kind: 'text',
    env: ['ZONE_EGRESS_ADMIN_CLIENT_CA_FILE'],
    value: 'FILE',
    help: 'CA whose client certificates (clientAuth) may make changes; goes with --admin-tls-cert-file and --admin-tls-key-file',
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
  'grace-period': {
    kind: 'duration',
    env: ['ZONE_EGRESS_GRACE_PERIOD'],
    value: 'DUR',
    help: 'time that the supervisor leaves between SIGTERM and SIGKILL; the default drain time is made to fit it, and a longer one is warned of',
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
    help: 'time from accept until bytes flow',
  },
  'idle-timeout': {
    kind: 'duration',
    env: ['ZONE_EGRESS_IDLE_TIMEOUT'],
    fallback: '1h',
    value: 'DUR',
    help: 'time without a byte in either direction; 0s is off',
  },
  'half-closed-timeout': {
    kind: 'duration',
    env: ['ZONE_EGRESS_HALF_CLOSED_TIMEOUT'],
    fallback: '5m',
    value: 'DUR',
    help: 'time without a byte in either direction after one side has ended; 0s is off',
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
  http: {
    kind: 'text',
    env: ['ZONE_EGRESS_HTTP'],
    fallback: 'on',
    value: 'WHETHER',
    choices: ['on', 'off'],
    help: 'on or off; off passes the bytes of services that speak HTTP untouched, as those of any other',
  },
  'state-dir': {
    kind: 'text',
    env: ['ZONE_EGRESS_STATE_DIR'],
    value: 'DIR',
    help: 'keep the last good configuration of the control plane here, with its keys (mode 0600), to start on while it is away',
  },
  resumption: {
    kind: 'text',
    env: ['ZONE_EGRESS_RESUMPTION'],
    fallback: 'on',
    value: 'WHETHER',
    choices: ['on', 'off'],
    help: 'on or off; off gives clients no session tickets, and each connection makes a full TLS handshake',
  },
  record: {
    kind: 'text',
    env: ['ZONE_EGRESS_RECORD'],
    value: 'FILE',
    help: 'write the facts of each session to this file, never payload, for simulate',
  },
  'record-max-size': {
    kind: 'bytes',
    env: ['ZONE_EGRESS_RECORD_MAX_SIZE'],
    fallback: '100MB',
    value: 'SIZE',
    help: 'size at which the next recording file begins; FILE.1 to FILE.5 are kept',
  },
  'report-only': {
    kind: 'list',
    value: 'MESH',
    help: 'let through, and report loudly, what the permissions of this mesh would refuse; repeat or separate by commas. No variable sets it',
  },
  'log-level': {
    kind: 'level',
    env: ['ZONE_EGRESS_LOG_LEVEL'],
    fallback: 'info',
    value: 'LEVEL',
    help: 'debug, info, warn, error or off',
  },
  'log-format': {
    kind: 'text',
    env: ['ZONE_EGRESS_LOG_FORMAT'],
    fallback: 'json',
    value: 'FORM',
    choices: LOG_FORMATS,
    help: 'json, text for people, logfmt, or ecs (Elastic Common Schema)',
  },
  'log-sample': {
    kind: 'count',
    env: ['ZONE_EGRESS_LOG_SAMPLE'],
    fallback: '1',
    value: 'N',
    help: 'log one of N sessions that ended well, 0 none of them; refused ones are always logged',
  },
  'metrics-top': {
    kind: 'count',
    env: ['ZONE_EGRESS_METRICS_TOP'],
    fallback: '200',
    value: 'N',
    most: 10_000,
    help: 'the N busiest destinations and the N busiest endpoints have metrics of their own, and the rest is counted as other',
  },
  openmetrics: {
    kind: 'text',
    env: ['ZONE_EGRESS_OPENMETRICS'],
    fallback: 'off',
    value: 'WHETHER',
    choices: ['on', 'off'],
    help: 'on or off; on offers the metrics as OpenMetrics to readers that accept it, with the id of a session as an example of each bucket',
  },
  ...OTLP_OPTIONS,
};

/** The file itself cannot name another. */
export const CONFIG_OPTION: OptionTable = {
  config: {
    kind: 'text',
    env: ['ZONE_EGRESS_CONFIG'],
    value: 'FILE',
    help: 'YAML file with these options by name; flags win over it, and variables over flags',
  },
};

/** Everything that `--config` may set, beside the flags of kuma-dp that have no effect. */
export const FILE_OPTIONS: OptionTable = { ...RUN_OPTIONS, ...CONTROL_PLANE_OPTIONS };

/** Returns the options as given by flags, variables, and the file that one of them names. */
export function givenToRun(argv: readonly string[], env: Env, more: OptionTable = {}): ParsedOptions {
  const table = { ...CONFIG_OPTION, ...FILE_OPTIONS, ...IGNORED_OPTIONS, ...more };
  const path = readOptions(argv, env, table).text('config');
  return path === null ? readOptions(argv, env, table) : readOptions(argv, env, table, readConfigFile(path, FILE_OPTIONS));
}

export function runOptions(argv: readonly string[], env: Env): RunOptions {
  return { ...checkedRunOptions(givenToRun(argv, env), env), again: () => runOptions(argv, env) };
}

export function checkedRunOptions(given: ParsedOptions, env: Env): RunOptions {
  if (given.positionals.length > 0) throw strayArgument('run', given.positionals[0]);
  const proxyType = proxyTypeIn(given);
  const maxHelloBytes = given.count('max-hello-bytes');
  if (maxHelloBytes < 512 || maxHelloBytes > 65_536)
    throw new Error(`${given.source('max-hello-bytes') ?? ''} ${maxHelloBytes}: allowed is 512 to 65536`);
  if (given.duration('setup-timeout') === 0)
    throw new Error(`${given.source('setup-timeout') ?? ''} 0s: allowed is more than 0; every connection needs a deadline`);
  return {
    ...sourceIn(given, env, proxyType),
    name: given.text('name'),
    zone: given.text('zone'),
    strict: given.flag('strict'),
    identities: given.text('identities'),
    bind: given.text('bind'),
    adminBind: given.text('admin-bind') ?? '127.0.0.1',
    adminHosts: given.list('admin-host'),
    adminSocket: given.text('admin-socket'),
    adminTokenFile: given.text('admin-token-file'),
    adminTls: adminTlsIn(given),
    readinessPort: given.count('readiness-port'),
    concurrency: given.count('concurrency'),
    drainTimeMs: given.duration('drain-time'),
    drainTimeIsDefault: given.source('drain-time') === null,
    graceMs: given.source('grace-period') === null ? null : given.duration('grace-period'),
    drainExitCode: given.count('drain-exit-code'),
    setupTimeoutMs: given.duration('setup-timeout'),
    idleTimeoutMs: given.duration('idle-timeout'),
    halfClosedTimeoutMs: given.duration('half-closed-timeout'),
    maxHelloBytes,
    maxSessions: given.count('max-sessions'),
    maxHandshakes: given.count('max-handshakes'),
    maxSessionsPerSource: given.count('max-sessions-per-source'),
    allowedResolved: given.list('allow-resolved'),
    http: isOn(given, 'http'),
    resumption: isOn(given, 'resumption'),
    stateDir: given.text('state-dir'),
    record: given.text('record'),
    recordMaxBytes: given.bytes('record-max-size'),
    reportOnly: reportOnlyIn(given),
    logLevel: levelOrNull(given.text('log-level') ?? '') ?? 'info',
    logFormat: logFormatIn(given),
    logSample: given.count('log-sample'),
    metricsTop: given.count('metrics-top'),
    openMetrics: isOn(given, 'openmetrics'),
    otlp: otlpIn(given),
    // For a Dataplane the mesh has an effect.
    ignored: ignoredIn(given, proxyType === 'dataplane' ? ['mesh'] : []),
  };
}

function logFormatIn(given: ParsedOptions): LogFormat {
  const text = given.text('log-format') ?? 'json';
  const found = LOG_FORMATS.find((each) => each === text);
  if (found !== undefined) return found;
  throw new Error(
    `${given.source('log-format') ?? '--log-format'} ${JSON.stringify(text)}: allowed are json, text, logfmt and ecs`,
  );
}

function reportOnlyIn(given: ParsedOptions): readonly string[] {
  const source = given.source('report-only');
  const meshes = [...new Set(given.list('report-only'))];
  if (source !== null && meshes.length === 0) throw new Error(`${source}: allowed is the name of a mesh`);
  const wild = meshes.find((mesh) => mesh.includes('*'));
  if (wild !== undefined)
    throw new Error(`${source ?? ''} ${JSON.stringify(wild)}: name each mesh; there is no report-only for all meshes`);
  return meshes;
}

function isOn(given: ParsedOptions, option: 'http' | 'resumption' | 'openmetrics'): boolean {
  const text = given.text(option) ?? 'on';
  if (text !== 'on' && text !== 'off')
    throw new Error(`${given.source(option) ?? `--${option}`} ${JSON.stringify(text)}: allowed is on or off`);
  return text === 'on';
}

/**
 * Chooses a folder or a control plane, never both. With nothing but the type of the proxy it is a
 * control plane.
 */
function sourceIn(given: ParsedOptions, env: Env, proxyType: ProxyType): Pick<RunOptions, 'resources' | 'controlPlane'> {
  const resources = given.text('resources');
  const telling = tellsOfControlPlane(given);
  if (resources !== null) {
    if (telling !== null)
      throw new Error(
        `${given.source('resources') ?? ''} and ${telling}: a folder or a control plane is the source, not both; leave one of them out`,
      );
    const keeping = given.source('state-dir');
    if (keeping !== null)
      throw new Error(`${keeping}: is for a control plane; a folder of resources is the source here, and is read at each start`);
    return { resources, controlPlane: null };
  }
  if (telling === null && given.source('proxy-type') === null)
    throw new Error(
      'run needs --resources DIR, the folder of Kuma resource files to serve, or --cp-address URL, the control plane to join',
    );
  for (const name of ['strict', 'identities']) {
    const source = given.source(name);
    if (source !== null) throw new Error(`${source}: is for a folder of resources; a control plane is the source here`);
  }
  return { resources: null, controlPlane: controlPlaneFlags(given, env, proxyType) };
}

function proxyTypeIn(given: ParsedOptions): ProxyType {
  const text = given.text('proxy-type') ?? 'egress';
  const known = PROXY_TYPES.find((each) => each === text);
  const source = given.source('proxy-type') ?? '';
  if (known === undefined) throw new Error(`${source} ${text}: this is a zone egress; allowed are ${PROXY_TYPES.join(' and ')}`);
  if (known === 'dataplane' && given.text('resources') !== null)
    throw new Error(`${source} dataplane: is for a control plane; with ${given.source('resources') ?? ''} it cannot be given`);
  return known;
}

const ADMIN_TLS = ['admin-tls-cert-file', 'admin-tls-key-file', 'admin-client-ca-file'] as const;

function adminTlsIn(given: ParsedOptions): RunOptions['adminTls'] {
  const [certFile, keyFile, clientCaFile] = ADMIN_TLS.map((name) => given.text(name));
  if (typeof certFile === 'string' && typeof keyFile === 'string' && typeof clientCaFile === 'string')
    return { certFile, keyFile, clientCaFile };
  const there = ADMIN_TLS.find((name) => given.text(name) !== null);
  if (there === undefined) return null;
  const missing = ADMIN_TLS.filter((name) => given.text(name) === null).map((name) => `--${name}`);
  throw new Error(
    `${given.source(there) ?? ''} needs ${missing.join(' and ')} too: the admin listener speaks TLS with all three of them`,
  );
}
