import type { HealthCheck, HealthProbe, OutlierDetection } from '../../src/model/cluster.ts';
import type { BalancerModel, BreakersModel, ClusterModel, EndpointModel, TlsModel } from './model.ts';
import type { EnvoyNode } from './envoy-node.ts';
import { certificateHashes, keyHash } from './fingerprint.ts';

/** A cluster in Envoy's form, with what only the cluster knows of the routes that lead to it. */
export interface EnvoyCluster {
  readonly model: ClusterModel;
  readonly http: '1' | '2' | null;
  /** True when a rewrite of the Host header has an effect. */
  readonly resolves: boolean;
  /** Empty means no subsets, so metadata of a route chooses nothing. */
  readonly subsetKeys: readonly (readonly string[])[];
}

/** `assignment`: the EDS resource of this cluster. Defaults are Envoy's. */
export function readCluster(cluster: EnvoyNode, assignment: EnvoyNode | undefined): EnvoyCluster {
  cluster.skip('altStatName', 'edsClusterConfig');
  const name = cluster.text('name') ?? '';
  const type = cluster.text('type') ?? 'STATIC';
  if (!TYPES.includes(type)) cluster.report(`type ${type}`);
  const family = cluster.text('dnsLookupFamily') === 'V4_ONLY' ? 'v4' : 'any';
  const inline = cluster.object('loadAssignment');
  const common = cluster.object('commonLbConfig');
  const http = readHttp(cluster);
  const sockets = socketsOf(cluster, http);
  const localities = inline ?? assignment;
  localities?.skip('clusterName');
  const policy = localities?.object('policy');
  const model: ClusterModel = {
    name,
    connectTimeoutMs: cluster.milliseconds('connectTimeout') ?? 5_000,
    balancer: readBalancer(cluster),
    localityWeighting: common?.object('localityWeightedLbConfig') !== undefined,
    overprovisioningFactor: (policy?.number('overprovisioningFactor') ?? 140) / 100,
    panicThresholdPercent: common?.object('healthyPanicThreshold')?.number('value') ?? 50,
    failInPanic: common?.object('zoneAwareLbConfig')?.flag('failTrafficOnPanic') ?? false,
    breakers: readBreakers(cluster),
    outlier: readOutlier(cluster),
    healthChecks: cluster.objects('healthChecks').map(readHealthCheck),
    endpoints: localities === undefined ? [] : readEndpoints(localities, sockets, type === 'STRICT_DNS' ? family : null),
  };
  policy?.done();
  common?.done();
  localities?.done();
  const subsets = cluster.object('lbSubsetConfig');
  const fallback = subsets?.text('fallbackPolicy');
  if (subsets !== undefined && fallback !== 'ANY_ENDPOINT') subsets.report(`fallbackPolicy ${fallback ?? ''}`);
  const subsetKeys = (subsets?.objects('subsetSelectors') ?? []).map((selector) => {
    const own = selector.text('fallbackPolicy');
    if (own !== 'NO_FALLBACK') selector.report(`fallbackPolicy ${own ?? ''}`);
    return selector.texts('keys');
  });
  subsets?.done();
  cluster.done();
  return { model, http, resolves: type === 'STRICT_DNS', subsetKeys };
}

const TYPES: readonly string[] = ['STATIC', 'STRICT_DNS', 'EDS'];

function readHttp(cluster: EnvoyNode): '1' | '2' | null {
  const explicit = cluster
    .object('typedExtensionProtocolOptions')
    ?.object('envoy.extensions.upstreams.http.v3.HttpProtocolOptions')
    ?.object('explicitHttpConfig');
  if (explicit === undefined) return null;
  return explicit.has('http2ProtocolOptions') ? '2' : '1';
}

function readBalancer(cluster: EnvoyNode): BalancerModel {
  const kind = cluster.text('lbPolicy') ?? 'ROUND_ROBIN';
  const least = cluster.object('leastRequestLbConfig');
  const ring = cluster.object('ringHashLbConfig');
  const table = cluster.object('maglevLbConfig');
  switch (kind) {
    case 'LEAST_REQUEST':
      return {
        kind: 'least-request',
        choiceCount: least?.number('choiceCount') ?? 2,
        activeRequestBias: least?.object('activeRequestBias')?.number('defaultValue') ?? 1,
      };
    case 'RING_HASH':
      return {
        kind: 'ring-hash',
        minimumRingSize: ring?.number('minimumRingSize') ?? 1_024,
        maximumRingSize: ring?.number('maximumRingSize') ?? 8_388_608,
        hashFunction: (ring?.text('hashFunction') ?? 'XX_HASH').toLowerCase().replaceAll('_', '-'),
      };
    case 'MAGLEV':
      return { kind: 'maglev', tableSize: table?.number('tableSize') ?? 65_537 };
    default:
      return { kind: kind.toLowerCase().replaceAll('_', '-') };
  }
}

function readBreakers(cluster: EnvoyNode): BreakersModel {
  const breakers = cluster.object('circuitBreakers');
  const [threshold, ...more] = breakers?.objects('thresholds') ?? [];
  for (const other of more) other.report('a second threshold');
  // Concerns how Envoy counts and keeps connections.
  threshold?.skip('maxConnectionPools', 'trackRemaining');
  const model = {
    maxConnections: threshold?.number('maxConnections') ?? 1_024,
    maxPendingRequests: threshold?.number('maxPendingRequests') ?? 1_024,
    maxRequests: threshold?.number('maxRequests') ?? 1_024,
    maxRetries: threshold?.number('maxRetries') ?? 3,
  };
  threshold?.done();
  breakers?.done();
  return model;
}

/** Envoy's defaults of `enforcing…` differ between detectors: some are on, some are off. */
function readOutlier(cluster: EnvoyNode): OutlierDetection | null {
  const outlier = cluster.object('outlierDetection');
  if (outlier === undefined) return null;
  outlier.skip('enforcingSuccessRate', 'enforcingFailurePercentage');
  const splitLocalErrors = outlier.flag('splitExternalLocalOriginErrors');
  const [local, total, gateway] = [
    outlier.number('enforcingConsecutiveLocalOriginFailure') ?? 100,
    outlier.number('enforcingConsecutive5xx') ?? 100,
    outlier.number('enforcingConsecutiveGatewayFailure') ?? 0,
  ];
  const successRate = outlier.number(splitLocalErrors ? 'enforcingLocalOriginSuccessRate' : 'enforcingSuccessRate') ?? 100;
  const failures = outlier.number(splitLocalErrors ? 'enforcingFailurePercentageLocalOrigin' : 'enforcingFailurePercentage') ?? 0;
  outlier.skip('enforcingLocalOriginSuccessRate', 'enforcingFailurePercentageLocalOrigin');
  const model: OutlierDetection = {
    intervalMs: outlier.milliseconds('interval') ?? 10_000,
    baseEjectionMs: outlier.milliseconds('baseEjectionTime') ?? 30_000,
    maxEjectionPercent: outlier.number('maxEjectionPercent') ?? 10,
    splitLocalErrors,
    consecutiveLocalFailures: { threshold: outlier.number('consecutiveLocalOriginFailure') ?? 5, enforcing: local },
    consecutiveTotalFailures: { threshold: outlier.number('consecutive5xx') ?? 5, enforcing: total },
    consecutiveGatewayFailures: { threshold: outlier.number('consecutiveGatewayFailure') ?? 5, enforcing: gateway },
    successRate: {
      threshold: outlier.number('successRateStdevFactor') ?? 1_900,
      minimumHosts: outlier.number('successRateMinimumHosts') ?? 5,
      requestVolume: outlier.number('successRateRequestVolume') ?? 100,
      enforcing: successRate,
    },
    failurePercentage: {
      threshold: outlier.number('failurePercentageThreshold') ?? 85,
      minimumHosts: outlier.number('failurePercentageMinimumHosts') ?? 5,
      requestVolume: outlier.number('failurePercentageRequestVolume') ?? 50,
      enforcing: failures,
    },
  };
  outlier.done();
  return model;
}

function readHealthCheck(check: EnvoyNode): HealthCheck {
  // Concerns Envoy's own log.
  check.skip('eventLogPath', 'alwaysLogHealthCheckFailures', 'eventLogger');
  const model: HealthCheck = {
    probe: readProbe(check),
    timeoutMs: check.milliseconds('timeout') ?? 0,
    intervalMs: check.milliseconds('interval') ?? 0,
    healthyThreshold: check.number('healthyThreshold') ?? 0,
    unhealthyThreshold: check.number('unhealthyThreshold') ?? 0,
    initialJitterMs: check.milliseconds('initialJitter') ?? 0,
    intervalJitterMs: check.milliseconds('intervalJitter') ?? 0,
    intervalJitterPercent: check.number('intervalJitterPercent') ?? 0,
    noTrafficIntervalMs: check.milliseconds('noTrafficInterval') ?? 60_000,
    reuseConnection: check.has('reuseConnection') ? check.flag('reuseConnection') : true,
  };
  check.done();
  return model;
}

function readProbe(check: EnvoyNode): HealthProbe {
  const http = check.object('httpHealthCheck');
  const grpc = check.object('grpcHealthCheck');
  const tcp = check.object('tcpHealthCheck');
  try {
    if (http !== undefined) {
      const statuses = http.objects('expectedStatuses').map((range) => range.number('start') ?? 0);
      return {
        kind: 'http',
        http2: http.text('codecClientType') === 'HTTP2',
        path: http.text('path') ?? '',
        expectedStatuses: statuses.length === 0 ? [200] : statuses,
      };
    }
    if (grpc !== undefined) {
      return { kind: 'grpc', serviceName: grpc.text('serviceName') ?? '', authority: grpc.text('authority') ?? '' };
    }
    const payloads = tcp?.objects('receive') ?? [];
    return {
      kind: 'tcp',
      send: tcp?.object('send')?.text('text') ?? '',
      receive: payloads.map((payload) => payload.text('text') ?? ''),
    };
  } finally {
    for (const node of [http, grpc, tcp]) node?.done();
  }
}

interface Socket {
  readonly match: Readonly<Record<string, string>>;
  readonly tls: TlsModel;
}

/** An endpoint uses the first socket whose match is in its metadata. */
function socketsOf(cluster: EnvoyNode, http: '1' | '2' | null): readonly Socket[] {
  const sockets = cluster.objects('transportSocketMatches').flatMap((item) => {
    item.skip('name');
    const match = item.record('match');
    const context = item.object('transportSocket')?.object('typedConfig');
    item.done();
    return context === undefined ? [] : [{ match, tls: readTls(context, http) }];
  });
  const always = cluster.object('transportSocket')?.object('typedConfig');
  return always === undefined ? sockets : [...sockets, { match: {}, tls: readTls(always, http) }];
}

function readTls(context: EnvoyNode, http: '1' | '2' | null): TlsModel {
  const common = context.object('commonTlsContext');
  const validation = common?.object('validationContext');
  const ca = validation?.object('trustedCa');
  const file = ca?.text('filename');
  const parameters = common?.object('tlsParams');
  const version = (name: string): string => (parameters?.text(name) ?? 'TLSv1_2').replace('_', '.').replace('v1.0', 'v1');
  const model: TlsModel = {
    serverName: context.text('sni') ?? '',
    trust:
      ca === undefined ? ['none'] : file === undefined ? certificateHashes(bytes(ca)) : [SYSTEM.includes(file) ? 'system' : file],
    names: (validation?.objects('matchTypedSubjectAltNames') ?? []).map(readName).sort(),
    clientCertificate: (common?.objects('tlsCertificates') ?? []).flatMap((pair) => {
      const [chain, key] = [pair.object('certificateChain'), pair.object('privateKey')];
      pair.done();
      return chain === undefined || key === undefined ? [] : [...certificateHashes(bytes(chain)), keyHash(bytes(key))];
    }),
    minVersion: version('tlsMinimumProtocolVersion'),
    // Envoy's default for a client.
    maxVersion: version('tlsMaximumProtocolVersion'),
    alpn: http === null ? [] : [http === '1' ? 'http/1.1' : 'h2'],
    renegotiation: context.flag('allowRenegotiation'),
  };
  for (const node of [ca, validation, parameters, common, context]) node?.done();
  return model;
}

/** The places of systems' bundles; a control plane sends the one that the proxy named. */
const SYSTEM: readonly string[] = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

function bytes(source: EnvoyNode): string {
  const text = source.text('inlineBytes') ?? '';
  return source.has('inlineString') ? (source.text('inlineString') ?? '') : Buffer.from(text, 'base64').toString();
}

function readName(item: EnvoyNode): string {
  const matcher = item.object('matcher');
  const [[kind, value] = ['', ''], ...more] = matcher?.entries() ?? [];
  for (const [option] of more) item.report(option);
  const name = `${item.text('sanType') ?? ''} ${kind} ${String(value)}`;
  item.done();
  return name;
}

function readEndpoints(assignment: EnvoyNode, sockets: readonly Socket[], family: 'v4' | 'any' | null): readonly EndpointModel[] {
  const endpoints = assignment.objects('endpoints').flatMap((group) => {
    const locality = group.object('locality');
    // Kuma names the priority here, for its own grouping.
    locality?.skip('subZone');
    const zone = locality?.text('zone') ?? '';
    locality?.done();
    const priority = group.number('priority') ?? 0;
    const localityWeight = group.number('loadBalancingWeight') ?? 0;
    const own = group.objects('lbEndpoints').map((item): EndpointModel => {
      const address = item.object('endpoint')?.object('address')?.object('socketAddress');
      const metadata = item.object('metadata')?.object('filterMetadata');
      const tags = metadata?.record('envoy.lb') ?? {};
      const labels = metadata?.record('envoy.transport_socket_match') ?? {};
      // Kuma gives both the same tags; a subset and a socket with different ones do not exist here.
      if (JSON.stringify(Object.entries(tags).sort()) !== JSON.stringify(Object.entries(labels).sort()))
        metadata?.report('differ');
      const weight = item.number('loadBalancingWeight') ?? 1;
      item.done();
      const host = address?.text('address') ?? '';
      const socket = sockets.find(({ match }) => Object.entries(match).every(([tag, value]) => labels[tag] === value));
      return {
        address: host,
        port: address?.number('portValue') ?? 0,
        family: /^[\d.]+$|:/.test(host) ? null : family,
        weight,
        priority,
        zone,
        localityWeight,
        tags,
        tls: socket?.tls ?? null,
      };
    });
    group.done();
    return own;
  });
  return sortEndpoints(endpoints);
}

/**
 * Sorts by what names an endpoint, so that a change of its weight or priority is a change in one
 * place.
 */
export function sortEndpoints(endpoints: readonly EndpointModel[]): readonly EndpointModel[] {
  const key = ({ address, port, tags }: EndpointModel): string => JSON.stringify([address, port, Object.entries(tags).sort()]);
  return [...endpoints].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
