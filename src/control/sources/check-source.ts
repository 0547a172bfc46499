/** Checks an embedder's source and its configurations against the interface. */
import type { Problem } from '../../base/problem.ts';
import { amount, anything, byKind, byName, callback, flag, having, listOf, mapOf, name } from '../../base/shape.ts';
import { oneOf, options, port, text, whole } from '../../base/shape.ts';
import type { Check, ShapeChecks } from '../../base/shape.ts';
import type { AccessLogTarget } from '../../model/access-log.ts';
import type { Cluster, Endpoint } from '../../model/cluster.ts';
import type { Absent, Compiled, ListenerConfig, ListenerPlace, Origin, ServingProxy } from '../../model/compiled.ts';
import type { Permission, PermissionRule } from '../../model/permission.ts';
import type { PassthroughRoute, TerminateRoute } from '../../model/route.ts';
import type { Mesh, Snapshot, TrustDomain } from '../../model/snapshot.ts';
import type { ConfigSource, Good, SourceBehaviour } from './config-source.ts';

type Permissions<Kind extends Permission['kind']> = Extract<Permission, { kind: Kind }>;

const count = whole(0, Infinity);
const plain = having('an object');

const OPTIONAL: Readonly<Record<Exclude<keyof ConfigSource, 'load' | 'watch'>, Check>> = {
  about: options<NonNullable<ConfigSource['about']>>({ mode: text, source: text }, ['mode', 'source']),
  warnings: listOf(text),
  behaviour: options<SourceBehaviour>({
    inPieces: flag,
    awaitsFirst: flag,
    alwaysWatched: flag,
    movesListener: flag,
    announcesEnd: flag,
  }),
  start: callback,
  adminListener: callback,
  controlFacts: callback,
  wentLive: callback,
  keptSince: callback,
  proxies: callback,
  leave: callback,
  close: callback,
};

/** The value may be an object of a class, and may have more fields. Throws a TypeError. */
export function checkSource(value: unknown, at: string): void {
  having('a source of configurations with load() and watch()', 'load', 'watch')(value, at);
  const source = value as Readonly<Record<string, unknown>>;
  for (const [key, check] of Object.entries(OPTIONAL)) if (source[key] !== undefined) check(source[key], `${at}.${key}`);
}

const ORIGIN = { file: text, line: count, column: count };

const problems = listOf(
  options<Problem>({ ...ORIGIN, severity: oneOf(['error', 'warning']), field: text, message: name, refuses: name }, [
    'severity',
    'file',
    'line',
    'column',
    'field',
    'message',
  ]),
);

const permission: Check = byKind('a permission', {
  'allow-all': options<Permissions<'allow-all'>>({ kind: text, by: text }, ['by']),
  'deny-all': options<Permissions<'deny-all'>>({ kind: text, by: text }, ['by']),
  rules: options<Permissions<'rules'>>(
    {
      kind: text,
      by: text,
      rules: listOf(options<PermissionRule>({ action: text, by: text, principal }, ['action', 'by', 'principal'])),
    },
    ['by', 'rules'],
  ),
  'all-of': options<Permissions<'all-of'>>({ kind: text, by: text, all: (value, at) => listOf(permission)(value, at) }, [
    'by',
    'all',
  ]),
  unsupported: options<Permissions<'unsupported'>>({ kind: text, by: text, why: text }, ['by', 'why']),
});

/** Checks the shape of a rule's principal; the invariants check its values. */
function principal(value: unknown, at: string): void {
  const matched: Check = options({ kind: text, match: text, value: text }, ['match', 'value']);
  byKind('a principal', {
    any: anything,
    uri: matched,
    'uri-list': matched,
    and: options({ kind: text, all: listOf(principal) }, ['all']),
    or: options({ kind: text, any: listOf(principal) }, ['any']),
    not: options({ kind: text, not: principal }, ['not']),
  })(value, at);
}

const accessLog = options<AccessLogTarget>({ path: name, format: plain, clients: plain, onConnect: flag }, ['path', 'format']);

const ROUTE = {
  kind: text,
  serverName: name,
  mesh: name,
  destination: text,
  cluster: text,
  idleMs: amount,
  unsupported: text,
  accessLogs: listOf(accessLog),
};
const ROUTE_NEEDS = ['serverName', 'mesh', 'destination', 'cluster'] as const;

/** Takes part in no source: the options of the process alone switch permissions off. */
const byOptionsOnly: Check = (_value, at) => {
  throw new TypeError(`${at}: is set by the option reportOnly of startEgress, and by no source`);
};

const route = byKind('a route', {
  passthrough: options<PassthroughRoute>({ ...ROUTE, subset: byName(text) }, [...ROUTE_NEEDS, 'subset']),
  terminate: options<TerminateRoute>(
    {
      ...ROUTE,
      identity: name,
      permission,
      reportOnly: byOptionsOnly,
      protocol: oneOf(['tcp', 'http', 'http2', 'grpc', 'kafka']),
      http: plain,
      rateLimit: options<NonNullable<TerminateRoute['rateLimit']>>({ connections: count, intervalMs: amount }, [
        'connections',
        'intervalMs',
      ]),
    },
    [...ROUTE_NEEDS, 'permission', 'protocol'],
  ),
});

const endpoint = options<Endpoint>(
  {
    address: byKind('an address', {
      ip: options({ kind: text, ip: text }, ['ip']),
      name: options({ kind: text, name, family: oneOf(['v4', 'any']) }, ['name', 'family']),
    }),
    port,
    weight: amount,
    priority: count,
    zone: text,
    locality: text,
    localityWeight: amount,
    tags: byName(text),
    tls: (value, at) => (value === null ? undefined : plain(value, at)),
  },
  ['address', 'port', 'weight', 'priority', 'zone', 'tags', 'tls'],
);

const CLUSTER: ShapeChecks<Cluster> = {
  name,
  endpoints: listOf(endpoint),
  connectTimeoutMs: amount,
  broken: text,
  http: oneOf(['http1', 'http2']),
  httpPool: plain,
  balancer: plain,
  localityWeighting: flag,
  overprovisioningFactor: amount,
  panicThresholdPercent: amount,
  failInPanic: flag,
  circuitBreaker: plain,
  healthChecks: listOf(plain),
  outlierDetection: plain,
};

const trustDomain = options<TrustDomain>({ name, trust: text }, ['name', 'trust']);

const SNAPSHOT: ShapeChecks<Snapshot> = {
  version: name,
  zone: text,
  routes: mapOf(route),
  clusters: mapOf(options<Cluster>(CLUSTER, ['name', 'endpoints', 'connectTimeoutMs'])),
  meshes: mapOf(
    options<Mesh>({ name, trust: text, trustDomains: listOf(trustDomain), identity: plain }, ['name', 'trust', 'identity']),
  ),
};

const places = listOf(options<ListenerPlace>({ name: text, address: text, port }, ['name', 'address', 'port']));

const serving = listOf(options<ServingProxy>({ name: text, identity: text }, ['name', 'identity']));

const GOOD: ShapeChecks<Good> = {
  kind: text,
  snapshot: options<Snapshot>(SNAPSHOT, ['version', 'zone', 'routes', 'clusters', 'meshes']),
  secrets: mapOf(text),
  listener: options<ListenerConfig>({ name: text, address: text, port, adminPort: port, more: places, absent: flag, serving }, [
    'name',
    'address',
    'port',
    'adminPort',
  ]),
  problems,
  origins: mapOf(options<Origin>(ORIGIN, ['file', 'line', 'column'])),
  absent: mapOf(
    options<Absent>({ ...ORIGIN, reason: text, resource: text, mesh: text, destination: text, value: text }, ['reason']),
  ),
};

/**
 * Throws a TypeError that names the place. It does not check policies of requests, balancers,
 * health checks and the TLS of endpoints: `compileResources` makes them.
 */
export const checkCompiled: Check = byKind('a configuration, as compileResources gives it,', {
  compiled: options<Good>(GOOD, ['snapshot', 'secrets', 'listener', 'problems', 'origins']),
  invalid: options<Extract<Compiled, { kind: 'invalid' }>>({ kind: text, problems }, ['problems']),
});
