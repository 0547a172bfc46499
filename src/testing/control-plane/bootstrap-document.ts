/**
 * Makes the bootstrap document of Kuma's control plane for a zone egress, in the forms of 2.9, 2.12
 * and 2.14.
 */
import { Buffer } from 'node:buffer';
import { isIP } from 'node:net';
import { addressKey } from '../../model/endpoint-view.ts';
import { isLatest } from './fake-node.ts';
import type { KumaVersion } from './fake-node.ts';

/** The request of a data plane proxy, as far as a control plane reads it. */
export interface AskedBootstrap {
  readonly mesh?: string;
  readonly name?: string;
  readonly proxyType?: string;
  readonly dataplaneToken?: string;
  readonly dataplaneTokenPath?: string;
  readonly dataplaneResource?: string;
  readonly version?: unknown;
  readonly caCert?: string;
  readonly dynamicMetadata?: Readonly<Record<string, string>>;
  readonly otelEnv?: { readonly pipeEnabled?: boolean };
  readonly dnsPort?: number;
  readonly readinessPort?: number;
  readonly features?: readonly string[];
  readonly workdir?: string;
  readonly metricsResources?: { readonly certPath?: string; readonly keyPath?: string };
  readonly systemCaPath?: string;
  readonly ipv6Enabled?: boolean;
  readonly spireResources?: { readonly socketPath?: string };
}

export interface BootstrapDocumentFacts {
  readonly version: KumaVersion;
  /** The host that the proxy has to dial for the control plane. */
  readonly xdsHost: string;
  readonly xdsPort: number;
  /** PEM. */
  readonly caCert: string;
  readonly adminPort: number;
  /** True for delta ADS, even for a proxy that did not offer it. */
  readonly delta: boolean;
  /**
   * `enableReloadableTokens`: with a token path the answer has `googleGrpc`, which reads the file
   * by itself.
   */
  readonly reloadableTokens: boolean;
}

const TYPE = 'type.googleapis.com/envoy';
const FILE_CREDENTIALS = 'envoy.grpc_credentials.file_based_metadata';

/**
 * Makes plain data that is the document when written as YAML. Keys are sorted, as in Kuma. Over 60
 * lines: one document, in the order in which Kuma writes it.
 */
export function bootstrapDocument(request: AskedBootstrap, facts: BootstrapDocumentFacts): unknown {
  const { mesh = '', name = '', workdir = '', features = [] } = request;
  const { version, xdsHost } = facts;
  const inlineBytes = Buffer.from(facts.caCert).toString('base64');
  const google = facts.reloadableTokens && (request.dataplaneTokenPath ?? '') !== '';
  const socketPath = isLatest(version) && workdir !== '' ? `${workdir}/kuma-envoy-admin.sock` : null;
  const pipe = `kuma-al-${name}-${mesh}.sock`;
  const config = { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' };
  return {
    admin: {
      accessLog: [
        {
          name: 'envoy.access_loggers.file',
          typedConfig: { '@type': `${TYPE}.extensions.access_loggers.file.v3.FileAccessLog`, path: '/dev/null' },
        },
      ],
      address:
        socketPath === null
          ? { socketAddress: { address: '127.0.0.1', portValue: facts.adminPort } }
          : { pipe: { mode: 0o600, path: socketPath } },
    },
    defaultRegexEngine: {
      name: 'envoy.regex_engines.google_re2',
      typedConfig: { '@type': `${TYPE}.extensions.regex_engines.v3.GoogleRE2` },
    },
    dynamicResources: {
      adsConfig: {
        apiType:
          facts.delta || version === '3.0' || (version !== '2.9' && features.includes('feature-delta-grpc'))
            ? 'DELTA_GRPC'
            : 'GRPC',
        grpcServices: [google ? googleGrpc(request, facts, inlineBytes) : envoyGrpc(request)],
        setNodeOnFirstMessageOnly: true,
        transportApiVersion: 'V3',
      },
      cdsConfig: config,
      ldsConfig: config,
    },
    layeredRuntime: {
      layers: [
        {
          name: 'kuma',
          staticLayer: { 're2.max_program_size.error_level': 4_294_967_295, 're2.max_program_size.warn_level': 1_000 },
        },
      ],
    },
    node: {
      cluster: request.proxyType === 'dataplane' ? 'unknown' : 'egress',
      id: `${mesh}.${name}`,
      metadata: metadataOf(request, facts, socketPath),
    },
    staticResources: {
      clusters: [
        {
          ...http2Cluster('access_log_sink', { pipe: { path: workdir === '' ? pipe : `${workdir}/${pipe}` } }),
          type: 'STATIC',
        },
        ...(google ? [] : [adsCluster(facts)]),
      ],
      secrets: [
        {
          name: 'cp_validation_ctx',
          validationContext: {
            matchTypedSubjectAltNames: ['DNS', 'IP_ADDRESS'].map((sanType) => ({ matcher: { exact: xdsHost }, sanType })),
            trustedCa: { inlineBytes },
          },
        },
      ],
    },
    statsConfig: {
      statsTags: [
        { regex: '^grpc\\.((.+)\\.)', tagName: 'name' },
        { regex: '^grpc.*streams_closed(_([0-9]+))', tagName: 'status' },
        { regex: '^kafka(\\.(\\S*[0-9]))\\.', tagName: 'kafka_name' },
        { regex: '^kafka\\..*\\.(.*?(?=_duration|$))', tagName: 'kafka_type' },
        { regex: '(worker_([0-9]+)\\.)', tagName: 'worker' },
        { regex: '((.+?)\\.)rbac\\.', tagName: 'listener' },
      ],
    },
  };
}

function metadataOf(request: AskedBootstrap, facts: BootstrapDocumentFacts, socketPath: string | null): Record<string, unknown> {
  const latest = isLatest(facts.version);
  const { dataplaneResource = '', dnsPort = 0, readinessPort = 0, dynamicMetadata = {}, otelEnv } = request;
  return {
    'dataplane.admin.address': '127.0.0.1',
    'dataplane.admin.port': String(facts.adminPort),
    ...(socketPath === null ? {} : { 'dataplane.admin.socketPath': socketPath }),
    ...(dnsPort === 0 ? {} : { 'dataplane.dns.port': String(dnsPort) }),
    'dataplane.proxyType': request.proxyType ?? 'egress',
    ...(readinessPort === 0 ? {} : { 'dataplane.readinessReporter.port': String(readinessPort) }),
    ...(dataplaneResource === '' ? {} : { 'dataplane.resource': dataplaneResource }),
    ...(Object.keys(dynamicMetadata).length === 0 ? {} : { dynamicMetadata }),
    features: request.features ?? [],
    ipv6Enabled: request.ipv6Enabled ?? false,
    metricsCertPath: request.metricsResources?.certPath ?? '',
    metricsKeyPath: request.metricsResources?.keyPath ?? '',
    ...(latest && otelEnv !== undefined
      ? {
          otelEnvInventory: {
            logs: null,
            metrics: null,
            pipeEnabled: otelEnv.pipeEnabled ?? false,
            shared: null,
            traces: null,
            validationErrors: [],
          },
        }
      : {}),
    ...(latest ? { 'spireAgent.socketPath': request.spireResources?.socketPath ?? '' } : {}),
    systemCaPath: request.systemCaPath ?? '',
    version: request.version ?? { envoy: {}, kumaDp: {} },
    workdir: request.workdir ?? '',
  };
}

function envoyGrpc({ dataplaneToken = '' }: AskedBootstrap): unknown {
  return {
    envoyGrpc: { clusterName: 'ads_cluster' },
    ...(dataplaneToken === '' ? {} : { initialMetadata: [{ key: 'authorization', value: dataplaneToken }] }),
  };
}

function googleGrpc(request: AskedBootstrap, facts: BootstrapDocumentFacts, inlineBytes: string): unknown {
  const secretData = { filename: request.dataplaneTokenPath };
  return {
    googleGrpc: {
      callCredentials: [
        {
          fromPlugin: {
            name: FILE_CREDENTIALS,
            typedConfig: { '@type': `${TYPE}.config.grpc_credential.v3.FileBasedMetadataConfig`, secretData },
          },
        },
      ],
      channelArgs: {
        args: {
          'grpc.http2.max_pings_without_data': { intValue: '0' },
          'grpc.keepalive_time_ms': { intValue: '10000' },
          'grpc.keepalive_timeout_ms': { intValue: '30000' },
          'grpc.max_receive_message_length': { intValue: '4194304' },
        },
      },
      channelCredentials: { sslCredentials: { rootCerts: { inlineBytes } } },
      credentialsFactoryName: FILE_CREDENTIALS,
      statPrefix: 'ads',
      targetUri: addressKey(facts.xdsHost, facts.xdsPort),
    },
  };
}

function adsCluster({ xdsHost, xdsPort }: BootstrapDocumentFacts): unknown {
  return {
    ...http2Cluster('ads_cluster', { socketAddress: { address: xdsHost, portValue: xdsPort } }),
    transportSocket: {
      name: 'envoy.transport_sockets.tls',
      typedConfig: {
        '@type': `${TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
        commonTlsContext: {
          tlsParams: { tlsMinimumProtocolVersion: 'TLSv1_2' },
          validationContextSdsSecretConfig: { name: 'cp_validation_ctx' },
        },
        sni: xdsHost,
      },
    },
    type: isIP(xdsHost) === 0 ? 'STRICT_DNS' : 'STATIC',
  };
}

function http2Cluster(name: string, address: unknown): Record<string, unknown> {
  const options = `${TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions`;
  return {
    connectTimeout: '1s',
    loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
    name,
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': options,
        explicitHttpConfig: { http2ProtocolOptions: {} },
      },
    },
    upstreamConnectionOptions: { tcpKeepalive: { keepaliveInterval: 10, keepaliveProbes: 3, keepaliveTime: 10 } },
  };
}
