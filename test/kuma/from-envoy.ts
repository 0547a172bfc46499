/**
 * Reads what a control plane sends to its zone egress: the resources of a golden file
 * (`readGolden`) or of a recorded conversation (ads-state.ts). It leaves out listeners of the proxy
 * itself (admin, readiness), and secrets.
 */
import { parse } from 'yaml';
import type { Principal } from '../../src/model/permission.ts';
import { serverName } from '../../src/model/names.ts';
import { canonical } from './canonical.ts';
import { readCluster } from './envoy-cluster.ts';
import type { EnvoyCluster } from './envoy-cluster.ts';
import { EnvoyNode } from './envoy-node.ts';
import { and, or, readRbac } from './envoy-rbac.ts';
import type { ClientsModel, ClusterModel, RequestsModel, RouteModel, Routing } from './model.ts';

export interface EnvoyRouting extends Routing {
  /** All clusters, by the name of the resource: a golden may have some without a chain. */
  readonly clusters: Readonly<Record<string, ClusterModel>>;
}

export interface Named {
  readonly name: string;
  readonly resource: unknown;
}

export function readGolden(text: string): EnvoyRouting {
  return readResources(goldenResources(text));
}

export function goldenResources(text: string): readonly Named[] {
  return (parse(text) as { readonly resources?: readonly Named[] }).resources ?? [];
}

export function readResources(resources: readonly Named[]): EnvoyRouting {
  const unread: string[] = [];
  const nodes = resources.map(({ name, resource }) => ({ name, node: new EnvoyNode(resource, name, unread) }));
  const assignments = new Map<string, EnvoyNode>();
  for (const { node } of nodes) {
    if (node.type === 'envoy.config.endpoint.v3.ClusterLoadAssignment') assignments.set(node.text('clusterName') ?? '', node);
  }
  const clusters = new Map<string, EnvoyCluster>();
  const byResource: Record<string, ClusterModel> = {};
  for (const { name, node } of nodes) {
    if (node.type !== 'envoy.config.cluster.v3.Cluster' || isOwn(name)) continue;
    const cluster = readCluster(node, assignments.get(node.text('name') ?? ''));
    clusters.set(cluster.model.name, cluster);
    byResource[name] = cluster.model;
  }
  const routes: Record<string, RouteModel> = {};
  for (const { name, node } of nodes) {
    if (node.type === 'envoy.config.listener.v3.Listener' && !isOwn(name)) readListener(node, clusters, routes);
  }
  return { routes, clusters: byResource, unread };
}

function isOwn(name: string): boolean {
  return /^(?:kuma:|system_)/.test(name);
}

function readListener(
  listener: EnvoyNode,
  clusters: ReadonlyMap<string, EnvoyCluster>,
  routes: Record<string, RouteModel>,
): void {
  listener.skip('name', 'address', 'trafficDirection', 'enableReusePort', 'statPrefix');
  for (const filter of listener.objects('listenerFilters')) {
    if (filter.text('name') !== 'envoy.filters.listener.tls_inspector') filter.report(filter.text('name') ?? '');
  }
  for (const chain of listener.objects('filterChains')) {
    chain.skip('name');
    const match = chain.object('filterChainMatch');
    if (match?.text('transportProtocol') !== 'tls') chain.report('not for TLS');
    for (const sni of match?.texts('serverNames') ?? []) {
      const key = serverName(sni);
      if (routes[key] !== undefined) chain.report(`a second chain for ${sni}`);
      routes[key] = readChain(chain, sni, clusters);
    }
    match?.done();
    chain.done();
  }
  listener.done();
}

function readChain(chain: EnvoyNode, sni: string, clusters: ReadonlyMap<string, EnvoyCluster>): RouteModel {
  const context = chain.object('transportSocket')?.object('typedConfig');
  const found: Found = {
    cluster: '',
    metadata: {},
    idleTimeoutMs: 3_600_000,
    filters: [],
    allowed: [],
    shadow: [],
    rewrites: false,
    rateLimit: null,
    requests: { timeoutMs: 0, streamIdleMs: 300_000, limits: [], faults: [], hashes: [] },
  };
  for (const filter of chain.objects('filters')) readFilter(filter, sni, found);
  const { model, http, resolves, subsetKeys } = clusters.get(found.cluster) ?? NO_CLUSTER;
  if (found.cluster !== '' && model.name === '') chain.report(`no cluster ${found.cluster}`);
  const allowed = and(found.allowed);
  const keys = Object.keys(found.metadata).sort().join();
  return {
    mode: context === undefined ? 'passthrough' : 'terminate',
    clients: context === undefined ? null : readClients(context),
    allowed: canonical(allowed),
    shadowDenied: canonical(and([allowed, or(found.shadow)])),
    // Metadata without a selector falls back to any endpoint.
    subset: subsetKeys.some((selector) => [...selector].sort().join() === keys) ? found.metadata : {},
    idleTimeoutMs: found.idleTimeoutMs,
    rateLimit: found.rateLimit,
    http,
    requests: {
      hostRewrite: found.rewrites && resolves,
      timeoutMs: found.requests.timeoutMs,
      streamIdleMs: found.requests.streamIdleMs,
      limits: found.requests.limits,
      faults: found.requests.faults,
      hashes: found.requests.hashes,
    },
    filters: found.filters,
    cluster: model,
  };
}

const NO_CLUSTER: EnvoyCluster = {
  model: {
    name: '',
    connectTimeoutMs: 0,
    balancer: { kind: '' },
    localityWeighting: false,
    overprovisioningFactor: 0,
    panicThresholdPercent: 0,
    failInPanic: false,
    breakers: { maxConnections: 0, maxPendingRequests: 0, maxRequests: 0, maxRetries: 0 },
    outlier: null,
    healthChecks: [],
    endpoints: [],
  },
  http: null,
  resolves: false,
  subsetKeys: [],
};

function readClients(context: EnvoyNode): ClientsModel {
  const common = context.object('commonTlsContext');
  const combined = common?.object('combinedValidationContext');
  const names = combined?.object('defaultValidationContext')?.objects('matchTypedSubjectAltNames') ?? [];
  for (const name of names) if (name.text('sanType') !== 'URI' || names.length > 1) name.report('not one URI prefix');
  const secrets = common?.objects('tlsCertificateSdsSecretConfigs') ?? [];
  const model = {
    certificateRequired: context.flag('requireClientCertificate'),
    uriPrefix: names[0]?.object('matcher')?.text('prefix') ?? '',
    trust: combined?.object('validationContextSdsSecretConfig')?.text('name') ?? '',
    identity: secrets.map((secret) => secret.text('name') ?? '').join(),
  };
  for (const node of [combined, common, context]) node?.done();
  return model;
}

/** The result of the filters of one chain, filled one by one. */
interface Found {
  cluster: string;
  metadata: Readonly<Record<string, string>>;
  idleTimeoutMs: number;
  rewrites: boolean;
  rateLimit: RouteModel['rateLimit'];
  readonly requests: {
    timeoutMs: number;
    streamIdleMs: number;
    readonly limits: RequestsModel['limits'][number][];
    readonly faults: RequestsModel['faults'][number][];
    readonly hashes: string[];
  };
  readonly filters: string[];
  readonly allowed: Principal[];
  readonly shadow: Principal[];
}

function readFilter(filter: EnvoyNode, sni: string, found: Found): void {
  filter.skip('name');
  const config = filter.object('typedConfig');
  filter.done();
  if (config === undefined) return;
  // Envoy uses the type too; names are arbitrary.
  switch (config.type.replace('envoy.extensions.filters.', '')) {
    case 'network.rbac.v3.RBAC':
    case 'http.rbac.v3.RBAC': {
      const { allowed, shadowDenied } = readRbac(config, sni);
      found.allowed.push(allowed);
      found.shadow.push(shadowDenied);
      return;
    }
    case 'network.tcp_proxy.v3.TcpProxy':
      config.skip('statPrefix', 'accessLog');
      found.cluster = config.text('cluster') ?? '';
      found.metadata = config.object('metadataMatch')?.object('filterMetadata')?.record('envoy.lb') ?? {};
      found.idleTimeoutMs = config.milliseconds('idleTimeout') ?? found.idleTimeoutMs;
      return config.done();
    case 'network.http_connection_manager.v3.HttpConnectionManager':
      config.skip('statPrefix', 'internalAddressConfig', 'accessLog');
      for (const each of config.objects('httpFilters')) readFilter(each, sni, found);
      found.idleTimeoutMs = config.object('commonHttpProtocolOptions')?.milliseconds('idleTimeout') ?? found.idleTimeoutMs;
      readRouteConfig(config.object('routeConfig'), found);
      return config.done();
    case 'network.local_ratelimit.v3.LocalRateLimit': {
      config.skip('statPrefix');
      const bucket = config.object('tokenBucket');
      const connections = bucket?.number('maxTokens') ?? 0;
      if ((bucket?.number('tokensPerFill') ?? 1) !== connections) config.report('a burst that is not the rate');
      found.rateLimit = { connections, intervalMs: bucket?.milliseconds('fillInterval') ?? 0 };
      bucket?.done();
      return config.done();
    }
    case 'http.router.v3.Router':
      return config.done();
    case 'http.fault.v3.HTTPFault':
      found.requests.faults.push(readFault(config));
      return config.done();
    case 'http.local_ratelimit.v3.LocalRateLimit':
      // The buckets belong to the routes.
      config.skip('statPrefix');
      return config.done();
    default:
      // Known and compared by name; its details matter to the reader who implements it.
      found.filters.push(config.type);
  }
}

function readLimit(limit: EnvoyNode): RequestsModel['limits'][number] {
  limit.skip('statPrefix');
  const isWhole = ['filterEnabled', 'filterEnforced'].every((name) => {
    const share = limit.object(name);
    share?.skip('runtimeKey');
    const numerator = share?.object('defaultValue')?.number('numerator');
    share?.done();
    return numerator === 100;
  });
  if (!isWhole) limit.report('a share of requests');
  const bucket = limit.object('tokenBucket');
  const requests = bucket?.number('maxTokens') ?? 0;
  if ((bucket?.number('tokensPerFill') ?? 1) !== requests) limit.report('a burst that is not the rate');
  const intervalMs = bucket?.milliseconds('fillInterval') ?? 0;
  bucket?.done();
  const code = limit.object('status')?.text('code') ?? 'TooManyRequests';
  if (code !== 'TooManyRequests') limit.report(`status ${code}`);
  limit.done();
  return { clients: '', requests, intervalMs, status: 429, headers: [] };
}

function readFault(fault: EnvoyNode): RequestsModel['faults'][number] {
  const share = (node: EnvoyNode | undefined): number => {
    const percentage = node?.object('percentage');
    const denominator = percentage?.text('denominator') ?? 'HUNDRED';
    return (percentage?.number('numerator') ?? 0) * (denominator === 'TEN_THOUSAND' ? 1 : 100);
  };
  const [delay, abort, bandwidth] = [fault.object('delay'), fault.object('abort'), fault.object('responseRateLimit')];
  const [header] = fault.objects('headers');
  const model = {
    clients: header?.object('stringMatch')?.object('safeRegex')?.text('regex') ?? '',
    delayMs: delay === undefined ? null : ([delay.milliseconds('fixedDelay') ?? 0, share(delay)] as const),
    abort: abort === undefined ? null : ([abort.number('httpStatus') ?? 0, share(abort)] as const),
    kibPerSecond:
      bandwidth === undefined
        ? null
        : ([Number(bandwidth.object('fixedLimit')?.text('limitKbps') ?? 0), share(bandwidth)] as const),
  };
  if (header !== undefined && header.text('name') !== 'x-kuma-tags') header.report('another header');
  for (const node of [delay, abort, bandwidth, header]) node?.done();
  return model;
}

function readRouteConfig(config: EnvoyNode | undefined, found: Found): void {
  // Headers between sidecars.
  config?.skip('name', 'validateClusters', 'requestHeadersToAdd', 'requestHeadersToRemove');
  for (const host of config?.objects('virtualHosts') ?? []) {
    host.skip('name');
    if (host.texts('domains').join() !== '*') host.report('domains');
    for (const route of host.objects('routes')) {
      route.skip('name');
      if (route.object('match')?.text('prefix') !== '/') route.report('not the prefix /');
      const limit = route.object('typedPerFilterConfig')?.object('envoy.filters.http.local_ratelimit');
      if (limit !== undefined) found.requests.limits.push(readLimit(limit));
      const action = route.object('route');
      found.cluster = action?.text('cluster') ?? found.cluster;
      found.rewrites = action?.flag('autoHostRewrite') ?? false;
      found.requests.timeoutMs = action?.milliseconds('timeout') ?? 15_000;
      found.requests.streamIdleMs = action?.milliseconds('idleTimeout') ?? 300_000;
      for (const policy of action?.objects('hashPolicy') ?? []) {
        found.requests.hashes.push(`header ${(policy.object('header')?.text('headerName') ?? '').toLowerCase()}`);
        policy.done();
      }
      action?.done();
      route.done();
    }
    host.done();
  }
  config?.done();
}
