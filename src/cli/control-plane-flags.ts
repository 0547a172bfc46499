import type { Env, ParsedOptions, OptionTable } from './options.ts';
import { pairs } from './values.ts';

/** The forms in which an egress joins a control plane; 3.0 knows only the second. */
export const PROXY_TYPES = ['egress', 'dataplane'] as const;
export type ProxyType = (typeof PROXY_TYPES)[number];

/**
 * The options with which `kuma-dp run` finds a control plane and names itself: the same names,
 * variables and defaults.
 */
export const CONTROL_PLANE_OPTIONS: OptionTable = {
  'proxy-type': {
    kind: 'text',
    env: ['KUMA_DATAPLANE_PROXY_TYPE'],
    value: 'TYPE',
    choices: PROXY_TYPES,
    help: 'egress joins as the ZoneEgress of a zone, dataplane as the Dataplane of one mesh; without it egress, or what each of several files says',
  },
  'cp-address': {
    kind: 'text',
    env: ['KUMA_CONTROL_PLANE_URL'],
    value: 'URL',
    help: 'data plane server of the zone control plane; https://localhost:5678 where only --proxy-type=egress is given',
  },
  'ca-cert-file': {
    kind: 'text',
    env: ['KUMA_CONTROL_PLANE_CA_CERT_FILE'],
    value: 'FILE',
    help: 'PEM of the authority of the control plane; without it the authorities of the system are trusted',
  },
  'ca-cert': {
    kind: 'text',
    env: ['KUMA_CONTROL_PLANE_CA_CERT'],
    variableOnly: true,
    help: 'the same as text; wins over the file',
  },
  'skip-verify': {
    kind: 'flag',
    env: ['KUMA_CONTROL_PLANE_TLS_SKIP_VERIFY'],
    help: 'take any certificate of the control plane for the bootstrap; the token goes to any server that answers',
  },
  'dataplane-token-file': {
    kind: 'text',
    env: ['KUMA_DATAPLANE_RUNTIME_TOKEN_PATH'],
    value: 'FILE',
    help: 'zone token, or the token of the Dataplane; read anew for each connection; one for each --dataplane-file, or one for all without a .token',
  },
  'dataplane-token': {
    kind: 'text',
    env: ['KUMA_DATAPLANE_RUNTIME_TOKEN'],
    value: 'TOKEN',
    secret: true,
    help: 'the same as text, which the list of processes shows; wins over the file',
  },
  'dataplane-file': {
    kind: 'text',
    short: 'd',
    env: ['KUMA_DATAPLANE_RUNTIME_RESOURCE_PATH'],
    value: 'FILE',
    help: 'ZoneEgress or Dataplane to register, YAML or JSON, a template; - is standard input; given several times, or a folder (watched), the process joins as each of them, and the token of NAME.yaml is NAME.token beside it',
  },
  dataplane: {
    kind: 'text',
    env: ['KUMA_DATAPLANE_RUNTIME_RESOURCE'],
    value: 'TEXT',
    help: 'the same as text; the file wins over it',
  },
  mesh: {
    kind: 'text',
    env: ['KUMA_DATAPLANE_MESH'],
    value: 'MESH',
    help: 'mesh of a Dataplane that is at the control plane already, with --proxy-type=dataplane and --name; default without it',
  },
  'dataplane-var': {
    kind: 'pairs',
    short: 'v',
    value: 'K=V',
    secret: true,
    help: 'what {{ K }} stands for in the template; repeat or separate by commas',
  },
  'work-dir': {
    kind: 'text',
    env: ['KUMA_DATAPLANE_RUNTIME_SOCKET_DIR', 'KUMA_DATAPLANE_RUNTIME_WORK_DIR'],
    value: 'DIR',
    help: 'sent to the control plane, not used; without it none is sent',
  },
  'config-dir': {
    kind: 'text',
    env: ['KUMA_DATAPLANE_RUNTIME_CONFIG_DIR'],
    value: 'DIR',
    help: 'the older name of --work-dir',
  },
  'retry-backoff': {
    kind: 'duration',
    env: ['KUMA_CONTROL_PLANE_RETRY_BACKOFF'],
    fallback: '3s',
    variableOnly: true,
    help: 'pause between two attempts to get the bootstrap',
  },
  'retry-max-duration': {
    kind: 'duration',
    env: ['KUMA_CONTROL_PLANE_RETRY_MAX_DURATION'],
    fallback: '5m',
    variableOnly: true,
    help: 'how long to try for the bootstrap',
  },
  'system-ca-path': {
    kind: 'text',
    env: ['KUMA_DATAPLANE_RUNTIME_DYNAMIC_SYSTEM_CA_PATH'],
    variableOnly: true,
    help: 'authorities for a MeshExternalService without caCert; without it the bundle of the system',
  },
  ipv6: {
    kind: 'flag',
    env: ['KUMA_DATAPLANE_RUNTIME_IPV6_ENABLED'],
    fallback: 'true',
    variableOnly: true,
    help: 'false says that this machine has no IPv6',
  },
  'xds-transport': {
    kind: 'text',
    env: ['KUMA_DATAPLANE_RUNTIME_ENVOY_XDS_TRANSPORT_PROTOCOL_VARIANT'],
    fallback: 'GRPC',
    choices: ['GRPC', 'DELTA_GRPC'],
    variableOnly: true,
    help: 'DELTA_GRPC offers incremental ADS; the bootstrap says which one is spoken',
  },
  'max-memory-bytes': {
    kind: 'count',
    env: ['KUMA_DATAPLANE_RESOURCES_MAX_MEMORY_BYTES'],
    fallback: '0',
    most: Number.MAX_SAFE_INTEGER,
    variableOnly: true,
    help: 'sent to the control plane, not used',
  },
};

/** The options as given; no file is read yet. */
export interface ControlPlaneFlags {
  readonly url: string;
  /**
   * The form in which it joins: as the ZoneEgress of a zone, or as a Dataplane with a ZoneEgress
   * listener.
   */
  readonly proxyType: ProxyType;
  /** Name of an existing resource; empty where the egress brings its resource. */
  readonly name: string;
  /** Mesh of an existing Dataplane; empty otherwise. */
  readonly mesh: string;
  /** PEM. */
  readonly caCert: string | null;
  readonly caCertFile: string | null;
  readonly skipVerify: boolean;
  readonly token: string | null;
  readonly tokenFile: string | null;
  readonly resource: string | null;
  /** `-` is standard input. */
  readonly resourceFile: string | null;
  /** Every `--dataplane-file`; with more than one the process joins as several proxies. */
  readonly resourceFiles: readonly string[];
  /** Every `--dataplane-token-file`. */
  readonly tokenFiles: readonly string[];
  /** A later one wins over an earlier one of the same key. */
  readonly vars: readonly (readonly [key: string, value: string])[];
  readonly workDir: string | null;
  readonly retryBackoffMs: number;
  readonly retryMaxMs: number;
  readonly systemCaPath: string | null;
  readonly ipv6: boolean;
  readonly maxMemoryBytes: number;
  /** True offers incremental ADS. */
  readonly delta: boolean;
  /** Address of the node, as Kubernetes gives it. */
  readonly hostIp: string | null;
  readonly readinessPort: number;
  readonly drainTimeMs: number;
}

/** True where the egress registers its resource, which ends with its stream. */
export function bringsResource(flags: ControlPlaneFlags | null): boolean {
  return flags !== null && (flags.resource !== null || flags.resourceFile !== null);
}

export const DEFAULT_CP_ADDRESS = 'https://localhost:5678';
/** Options that select a control plane, with any other option. */
const TELLING = [
  'cp-address',
  'ca-cert-file',
  'ca-cert',
  'skip-verify',
  'dataplane-token-file',
  'dataplane-token',
  'dataplane-file',
  'dataplane',
  'dataplane-var',
] as const;

/**
 * Returns the first flag or variable that only makes sense with a control plane; null where there
 * is none.
 */
export function tellsOfControlPlane(given: ParsedOptions): string | null {
  for (const name of TELLING) {
    const source = given.source(name);
    if (source !== null) return source;
  }
  return null;
}

/** Throws where kuma-dp would refuse. */
export function controlPlaneFlags(given: ParsedOptions, env: Env, proxyType: ProxyType = 'egress'): ControlPlaneFlags {
  const url = given.text('cp-address') ?? DEFAULT_CP_ADDRESS;
  checkUrl(given.source('cp-address') ?? '--cp-address', url);
  const resource = given.text('dataplane');
  const resourceFile = given.text('dataplane-file');
  const files = given.each('dataplane-file');
  const tokenFiles = given.each('dataplane-token-file');
  checkSeveral(files, tokenFiles, given.source('dataplane'));
  const hasResource = resource !== null || resourceFile !== null;
  if (hasResource && (given.source('name') ?? given.source('mesh')) !== null)
    throw new Error(
      '--name and --mesh cannot be specified when a dataplane definition is provided, mesh and name will be read from the dataplane definition',
    );
  const readinessPort = given.count('readiness-port');
  if (readinessPort === 0)
    throw new Error(
      `${given.source('readiness-port') ?? '--readiness-port'} 0: allowed is 1 to 65535; without it a control plane since 2.12 sends no configuration`,
    );
  for (const name of ['retry-backoff', 'retry-max-duration']) {
    if (given.duration(name) === 0) throw new Error(`${given.source(name) ?? name} 0s: allowed is more than 0`);
  }
  return {
    url,
    proxyType,
    name: hasResource ? '' : nameIn(given, env),
    mesh: hasResource || proxyType === 'egress' ? '' : meshIn(given),
    caCert: given.text('ca-cert'),
    caCertFile: given.text('ca-cert-file'),
    skipVerify: given.flag('skip-verify'),
    token: given.text('dataplane-token'),
    tokenFile: given.text('dataplane-token-file'),
    resource,
    resourceFile,
    resourceFiles: files,
    tokenFiles,
    vars: given.each('dataplane-var').flatMap(pairs),
    workDir: given.text('work-dir') ?? given.text('config-dir'),
    retryBackoffMs: given.duration('retry-backoff'),
    retryMaxMs: given.duration('retry-max-duration'),
    systemCaPath: given.text('system-ca-path'),
    ipv6: given.flag('ipv6'),
    maxMemoryBytes: given.count('max-memory-bytes'),
    delta: deltaIn(given),
    hostIp: textOrNull(env.HOST_IP),
    readinessPort,
    drainTimeMs: given.duration('drain-time'),
  };
}

/** Each of several files needs a token, and standard input is one file only. */
function checkSeveral(files: readonly string[], tokenFiles: readonly string[], text: string | null): void {
  if (files.length > 1 && files.includes('-'))
    throw new Error(`--dataplane-file is given ${files.length} times, once as -: standard input can be the only one`);
  if (files.length > 1 && text !== null)
    throw new Error(`${text} and several --dataplane-file: give the text as a file too, or leave it out`);
  if (tokenFiles.length > 1 && tokenFiles.length !== files.length)
    throw new Error(
      `--dataplane-token-file is given ${tokenFiles.length} times, and --dataplane-file ${files.length} times: allowed is one token for each file in the same order, ` +
        'one for all, or NAME.token beside each NAME.yaml',
    );
}

function checkUrl(source: string, text: string): void {
  const url = URL.parse(text);
  if (url === null) throw new Error(`${source} ${JSON.stringify(text)}: allowed is a URL such as ${DEFAULT_CP_ADDRESS}`);
  if (url.username !== '' || url.password !== '') throw new Error(`${source}: a user or password in the URL is not taken`);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new Error(
      `${source} ${JSON.stringify(text)}: unsupported URL scheme "${url.protocol.slice(0, -1)}", must be http or https`,
    );
}

/** Returns the mesh; `default` without an option, as in kuma-dp. */
function meshIn(given: ParsedOptions): string {
  return given.text('mesh') ?? 'default';
}

/** Matches a variable that a Pod has not expanded: `$(POD_NAME).$(POD_NAMESPACE)`. */
const UNFILLED = /[$(){}]/;

/** Returns `--name`, else the name of the Pod. */
function nameIn(given: ParsedOptions, env: Env): string {
  const name = given.text('name') ?? '';
  if (name !== '' && !UNFILLED.test(name)) return name;
  const { POD_NAME: pod, POD_NAMESPACE: namespace } = env;
  if (pod !== undefined && namespace !== undefined) {
    const made = `${pod}.${namespace}`;
    if (UNFILLED.test(made)) throw new Error(`POD_NAME and POD_NAMESPACE ${JSON.stringify(made)}: contains invalid characters`);
    return made;
  }
  if (name !== '') throw new Error(`${given.source('name') ?? '--name'} ${JSON.stringify(name)}: contains invalid characters`);
  throw new Error(
    'run with a control plane needs --dataplane-file, the ZoneEgress or Dataplane to register, or --name, that of one that is there already',
  );
}

/** Reads kuma-dp's names of the two forms of ADS. */
function deltaIn(given: ParsedOptions): boolean {
  const transport = given.text('xds-transport');
  if (transport === 'DELTA_GRPC' || transport === 'GRPC') return transport === 'DELTA_GRPC';
  throw new Error(`${given.source('xds-transport') ?? ''} ${JSON.stringify(transport)}: allowed are GRPC and DELTA_GRPC`);
}

function textOrNull(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : text;
}
