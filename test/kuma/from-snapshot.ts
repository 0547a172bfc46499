import type { Cluster, Endpoint, TlsOrigination } from '../../src/model/cluster.ts';
import { BALANCING_DEFAULTS, BREAKER_DEFAULTS } from '../../src/model/cluster.ts';
import { HTTP_TIMEOUT_DEFAULTS } from '../../src/model/http-route.ts';
import type { SenderRule } from '../../src/model/http-route.ts';
import type { Permission, Principal } from '../../src/model/permission.ts';
import type { Route, TerminateRoute } from '../../src/model/route.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../../src/model/settings.ts';
import type { Secrets, Snapshot } from '../../src/model/snapshot.ts';
import { ANYBODY, canonical, NOBODY } from './canonical.ts';
import { sortEndpoints } from './envoy-cluster.ts';
import { and, not, or } from './envoy-rbac.ts';
import { certificateHashes, keyHash } from './fingerprint.ts';
import type { BalancerModel, ClusterModel, EndpointModel, RequestsModel, RouteModel, Routing, TlsModel } from './model.ts';

/** Reads the same from a snapshot. */
export function readSnapshot({ routes, clusters }: Snapshot, secrets: Secrets): Routing {
  const models: Record<string, RouteModel> = {};
  for (const route of routes.values()) {
    const cluster = clusters.get(route.cluster);
    if (cluster === undefined) throw new Error(`${route.serverName} leads to no cluster`);
    const named = cluster.endpoints.some(({ address }) => address.kind === 'name');
    models[route.serverName] = routeModel(route, clusterModel(cluster, secrets), named);
  }
  return { routes: models, unread: [] };
}

function routeModel(route: Route, cluster: ClusterModel, isNamed: boolean): RouteModel {
  const { allowed, shadow } = route.kind === 'terminate' ? deciding(route.permission) : { allowed: ANYBODY, shadow: NOBODY };
  return {
    mode: route.kind,
    clients:
      route.kind === 'passthrough'
        ? null
        : {
            certificateRequired: true,
            uriPrefix: `spiffe://${route.mesh}/`,
            trust: `mesh_ca:secret:${route.mesh}`,
            identity: `identity_cert:secret:${route.mesh}`,
          },
    allowed: canonical(allowed),
    shadowDenied: canonical(shadow),
    subset: route.kind === 'passthrough' ? route.subset : {},
    idleTimeoutMs: route.idleMs ?? DEFAULT_TRAFFIC_SETTINGS.idleTimeoutMs,
    rateLimit: route.kind === 'terminate' ? (route.rateLimit ?? null) : null,
    http: route.kind === 'passthrough' ? null : httpOf(route.protocol),
    requests: requestsModel(route, isNamed),
    filters: [],
    cluster,
  };
}

function requestsModel(route: Route, isNamed: boolean): RequestsModel {
  const http = route.kind === 'terminate' ? route.http : undefined;
  const clients = (rules: readonly SenderRule[] = []): string => {
    const [rule] = rules;
    if (rule === undefined) return '';
    if (rule.kind !== 'tags' || rule.not === true || rules.length > 1) return 'no pattern of tags';
    const patterns = rule.any.map((tags) => {
      const pieces = Object.keys(tags)
        .sort()
        .map((tag) => `&${tag}=[^&]*${tags[tag] ?? ''}[,&].*`);
      return `.*${pieces.join('')}`;
    });
    return patterns.length === 1 ? (patterns[0] ?? '') : `(${patterns.join('|')})`;
  };
  const share = (percent: number): number => Math.round(percent * 100);
  return {
    hostRewrite: http !== undefined && http.autoHostRewrite && isNamed,
    timeoutMs: http?.timeouts?.requestMs ?? 0,
    streamIdleMs: http?.timeouts?.streamIdleMs ?? HTTP_TIMEOUT_DEFAULTS.streamIdleMs,
    limits: (http?.rateLimits ?? []).map((limit) => ({
      clients: clients(limit.clients),
      requests: limit.requests,
      intervalMs: limit.intervalMs,
      status: limit.status ?? 429,
      headers: limit.headers ?? [],
    })),
    faults: (http?.faults ?? []).map(({ clients: of, delay, abort, bandwidth }) => ({
      clients: clients(of),
      delayMs: delay === undefined ? null : [delay.ms, share(delay.percent)],
      abort: abort === undefined ? null : [abort.status, share(abort.percent)],
      kibPerSecond: bandwidth === undefined ? null : [bandwidth.kibPerSecond, share(bandwidth.percent)],
    })),
    hashes: (http?.hashPolicies ?? []).map((policy) => {
      const by = policy.kind === 'source-ip' ? policy.kind : `${policy.kind} ${policy.name}`;
      return policy.terminal === true ? `${by}, terminal` : by;
    }),
  };
}

function httpOf(protocol: TerminateRoute['protocol']): '1' | '2' | null {
  return protocol === 'http' ? '1' : protocol === 'http2' || protocol === 'grpc' ? '2' : null;
}

export function deciding(permission: Permission): { readonly allowed: Principal; readonly shadow: Principal } {
  switch (permission.kind) {
    case 'allow-all':
      return { allowed: ANYBODY, shadow: NOBODY };
    case 'deny-all':
      return { allowed: NOBODY, shadow: NOBODY };
    case 'unsupported':
      return { allowed: { kind: 'uri', match: 'exact', value: `unsupported: ${permission.why}` }, shadow: NOBODY };
    case 'all-of': {
      const parts = permission.all.map(deciding);
      return { allowed: and(parts.map(({ allowed }) => allowed)), shadow: or(parts.map(({ shadow }) => shadow)) };
    }
    case 'rules': {
      const allowed: Principal[] = [];
      const shadow: Principal[] = [];
      const before: Principal[] = [];
      for (const { action, principal } of permission.rules) {
        const first = and([principal, not(or([...before]))]);
        if (action !== 'deny') allowed.push(first);
        if (action === 'shadow-deny') shadow.push(first);
        before.push(principal);
      }
      return { allowed: or(allowed), shadow: or(shadow) };
    }
    default:
      return permission satisfies never;
  }
}

export function clusterModel(cluster: Cluster, secrets: Secrets): ClusterModel {
  return {
    name: cluster.name,
    connectTimeoutMs: cluster.connectTimeoutMs,
    balancer: balancerModel(cluster),
    localityWeighting: cluster.localityWeighting ?? false,
    overprovisioningFactor: cluster.overprovisioningFactor ?? BALANCING_DEFAULTS.overprovisioningFactor,
    panicThresholdPercent: cluster.panicThresholdPercent ?? BALANCING_DEFAULTS.panicThresholdPercent,
    failInPanic: cluster.failInPanic ?? false,
    breakers: {
      maxConnections: cluster.circuitBreaker?.maxConnections ?? BREAKER_DEFAULTS.maxConnections,
      maxPendingRequests: cluster.circuitBreaker?.maxPendingRequests ?? BREAKER_DEFAULTS.maxPendingRequests,
      maxRequests: cluster.circuitBreaker?.maxRequests ?? BREAKER_DEFAULTS.maxRequests,
      maxRetries: cluster.circuitBreaker?.maxRetries ?? BREAKER_DEFAULTS.maxRetries,
    },
    outlier: cluster.outlierDetection ?? null,
    healthChecks: cluster.healthChecks ?? [],
    endpoints: sortEndpoints(cluster.endpoints.map((endpoint) => endpointModel(endpoint, secrets))),
  };
}

function balancerModel({ balancer = BALANCING_DEFAULTS.balancer }: Cluster): BalancerModel {
  return balancer.kind === 'least-request'
    ? { ...balancer, activeRequestBias: balancer.activeRequestBias ?? BALANCING_DEFAULTS.activeRequestBias }
    : balancer;
}

function endpointModel(
  { address, port, weight, priority, zone, localityWeight, tags, tls }: Endpoint,
  secrets: Secrets,
): EndpointModel {
  return {
    address: address.kind === 'ip' ? address.ip : address.name,
    port,
    family: address.kind === 'ip' ? null : address.family,
    weight,
    priority,
    zone,
    localityWeight: localityWeight ?? 0,
    tags,
    tls: tls === null ? null : tlsModel(tls, secrets),
  };
}

function tlsModel(tls: TlsOrigination, secrets: Secrets): TlsModel {
  const secret = (hash: Parameters<Secrets['get']>[0]): string => secrets.get(hash) ?? `no secret ${hash}`;
  const { trust, names, clientCertificate: pair } = tls;
  return {
    serverName: tls.serverName ?? '',
    trust: trust.kind === 'bundle' ? certificateHashes(secret(trust.ca)) : [trust.kind],
    names: (names ?? []).flatMap(({ kind, value }) => ['DNS', 'IP_ADDRESS'].map((of) => `${of} ${kind} ${value}`)).sort(),
    clientCertificate: pair === null ? [] : [...certificateHashes(secret(pair.cert)), keyHash(secret(pair.key))],
    minVersion: tls.minVersion,
    maxVersion: tls.maxVersion,
    alpn: tls.alpn,
    renegotiation: tls.allowRenegotiation,
  };
}
