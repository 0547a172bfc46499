/**
 * Reads the answer to `POST /bootstrap`: the document that a control plane writes for Envoy. Pure.
 * An egress needs its identity for ADS, the address and the trust of ADS, and the places of the
 * admin pages and the readiness port. The rest stays in `document`, to be shown.
 */
import { Buffer } from 'node:buffer';
import { fromJson } from '@bufbuild/protobuf';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { bootstrapAdsCluster } from './bootstrap-ads-cluster.ts';
import { bundleIn, Unusable } from './bootstrap-trust.ts';
import { listAt, plainYaml, portAt, textAt, valueAt } from '../messages/plain-value.ts';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import type { Node } from '#envoy/config/core/v3/base_pb.js';
import type { AdsProtocol } from '../messages/ads-state.ts';
import type { AdsTarget, AdsTls, KeepAlive } from '../stream/transport.ts';

export interface Bootstrap {
  /** The node of the document, with this egress as the user agent instead of Envoy. */
  readonly node: Node;
  readonly ads: BootstrapAds;
  readonly admin: BootstrapAdmin;
  /** The port that the control plane understood; null where it understood none. */
  readonly readinessPort: number | null;
  /** The whole document; tokens in it are replaced by `[redacted]`. */
  readonly document: JsonObject;
}

export interface BootstrapAds {
  readonly protocol: AdsProtocol;
  readonly target: AdsTarget;
  readonly tls: AdsTls;
  /**
   * The token to send: the one that the control plane was given before, or a file that is read for
   * each stream.
   */
  readonly auth:
    | { readonly kind: 'inline'; readonly token: string }
    | { readonly kind: 'file'; readonly path: string }
    | { readonly kind: 'none' };
  /** Null where the document has none (`envoyGrpc`). */
  readonly keepAlive: KeepAlive | null;
}

/** The place of Envoy's own admin listener, behind the one that comes over ADS. */
export type BootstrapAdmin =
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number }
  | { readonly kind: 'pipe'; readonly path: string }
  | { readonly kind: 'none' };

export type ParsedBootstrap =
  | { readonly kind: 'read'; readonly bootstrap: Bootstrap }
  /** `why` is a sentence for the operator, without secrets. */
  | { readonly kind: 'refused'; readonly why: string };

/** `body` is the JSON answer; `version` is that of this package. */
export function parseBootstrap(body: string, version: string): ParsedBootstrap {
  const document = documentIn(body);
  if (document.kind === 'wrong') return { kind: 'refused', why: document.why };
  try {
    return { kind: 'read', bootstrap: read(document.map, version) };
  } catch (error) {
    if (error instanceof Unusable) return { kind: 'refused', why: `the bootstrap of the control plane: ${error.message}` };
    throw error;
  }
}

function documentIn(body: string): ReturnType<typeof plainYaml> {
  let answer: JsonValue;
  try {
    answer = JSON.parse(body) as JsonValue;
  } catch {
    const why = body.includes('staticResources:')
      ? 'the control plane answered with YAML in place of JSON: something between has changed the header "accept: application/json"'
      : 'the answer to /bootstrap is no JSON: is this the data plane server of a control plane (port 5678)?';
    return { kind: 'wrong', why };
  }
  const encoded = textAt(answer, 'bootstrap');
  if (encoded === null) return { kind: 'wrong', why: 'the answer to /bootstrap has no bootstrap in it' };
  return plainYaml('bootstrap of the control plane', Buffer.from(encoded, 'base64').toString('utf8'));
}

type Service = Omit<BootstrapAds, 'protocol'>;

/** Keyed by Envoy's names of the forms of ADS. */
const PROTOCOLS: Readonly<Record<string, AdsProtocol>> = { GRPC: 'sotw', DELTA_GRPC: 'delta' };

function read(document: JsonObject, version: string): Bootstrap {
  const config = valueAt(document, 'dynamicResources', 'adsConfig');
  const type = textAt(config, 'apiType') ?? 'none';
  const protocol = PROTOCOLS[type];
  if (protocol === undefined)
    throw new Unusable(`dynamicResources.adsConfig.apiType ${type}: allowed are ${Object.keys(PROTOCOLS).join(' and ')}`);
  const [service] = listAt(config, 'grpcServices');
  return {
    node: nodeIn(document, version),
    ads: { protocol, ...adsOf(document, service) },
    admin: adminIn(document),
    readinessPort: portAt(document, 'node', 'metadata', 'dataplane.readinessReporter.port'),
    document: redacted(document),
  };
}

function nodeIn(document: JsonObject, version: string): Node {
  if (textAt(document, 'node', 'id') === null) throw new Unusable('node.id: is missing');
  let node: Node;
  try {
    node = fromJson(NodeSchema, valueAt(document, 'node') ?? {}, { ignoreUnknownFields: true });
  } catch (cause) {
    throw new Unusable('node: is not one of Envoy', { cause });
  }
  node.userAgentName = 'zone-egress';
  node.userAgentVersionType = { case: 'userAgentVersion', value: version };
  return node;
}

function adsOf(document: JsonObject, service: JsonValue | undefined): Service {
  const google = valueAt(service, 'googleGrpc');
  if (google !== undefined) return googleGrpc(google, inlineToken(service));
  const name = textAt(service, 'envoyGrpc', 'clusterName');
  if (name === null) throw new Unusable('dynamicResources.adsConfig.grpcServices: has neither envoyGrpc nor googleGrpc');
  const { target, tls } = bootstrapAdsCluster(document, name);
  return { target, tls, auth: inlineToken(service), keepAlive: null };
}

/** Google's gRPC client reads the token itself, from the file that kuma-dp named. */
function googleGrpc(google: JsonValue, inline: BootstrapAds['auth']): Service {
  const uri = textAt(google, 'targetUri') ?? '';
  const [, host = '', port = ''] = /^(?:dns:(?:\/\/\/)?)?(.+):([0-9]{1,5})$/.exec(uri) ?? [];
  const number = portAt(port);
  if (number === null) throw new Unusable(`googleGrpc.targetUri ${JSON.stringify(uri)}: allowed is host:port`);
  const ssl = valueAt(google, 'channelCredentials', 'sslCredentials');
  const [path] = listAt(google, 'callCredentials').flatMap(
    (each) => textAt(each, 'fromPlugin', 'typedConfig', 'secretData', 'filename') ?? [],
  );
  return {
    target: { host: host.replace(/^\[(.*)\]$/, '$1'), port: number },
    tls:
      ssl === undefined
        ? { kind: 'plaintext' }
        : {
            kind: 'tls',
            ca: bundleIn(valueAt(ssl, 'rootCerts'), 'sslCredentials.rootCerts'),
            verify: true,
            serverName: null,
          },
    auth: path === undefined ? inline : { kind: 'file', path },
    keepAlive: keepAliveIn(google),
  };
}

function keepAliveIn(google: JsonValue): KeepAlive | null {
  const argument = (name: string): number => Number(valueAt(google, 'channelArgs', 'args', name, 'intValue') ?? 0);
  const timeMs = argument('grpc.keepalive_time_ms');
  const timeoutMs = argument('grpc.keepalive_timeout_ms');
  return timeMs > 0 && timeoutMs > 0 ? { timeMs, timeoutMs } : null;
}

function inlineToken(service: JsonValue | undefined): BootstrapAds['auth'] {
  const header = listAt(service, 'initialMetadata').find((each) => textAt(each, 'key')?.toLowerCase() === 'authorization');
  const token = textAt(header, 'value');
  return token === null ? { kind: 'none' } : { kind: 'inline', token };
}

function adminIn(document: JsonObject): BootstrapAdmin {
  const address = valueAt(document, 'admin', 'address');
  const path = textAt(address, 'pipe', 'path');
  if (path !== null) return { kind: 'pipe', path };
  const port = portAt(address, 'socketAddress', 'portValue');
  const host = textAt(address, 'socketAddress', 'address');
  return port === null || host === null ? { kind: 'none' } : { kind: 'tcp', address: host, port };
}

function redacted(document: JsonObject): JsonObject {
  return JSON.parse(
    JSON.stringify(document, (key, value: unknown) => {
      if (key !== 'initialMetadata' || !Array.isArray(value)) return value;
      return value.map((header: JsonValue) => ({ key: textAt(header, 'key'), value: '[redacted]' }));
    }),
  ) as JsonObject;
}
