// Question: what does a control plane with many services cost: decoding and translating a push, and
// one in which a single chain changed? Half of the chains are passed through, half terminate the
// mTLS of one of 50 meshes. `node --expose-gc perf/xds-scale.ts [--chains 1000,5000]`. It uses no
// network, only the bytes of ADS.
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { create, fromBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import { acceptListener } from '../src/xds/accept/accept-listener.ts';
import type { ListenerMemory } from '../src/xds/accept/accept-listener.ts';
import type { AdsState, Held } from '../src/xds/messages/ads-state.ts';
import { Cluster_DiscoveryType, ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { FilterChainSchema } from '#envoy/config/listener/v3/listener_components_pb.js';
import type { FilterChain } from '#envoy/config/listener/v3/listener_components_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { RBACSchema } from '#envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { TcpProxySchema } from '#envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { SubjectAltNameMatcher_SanType } from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { DownstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { createTranslator } from '../src/xds/translate/translate.ts';

const { values } = parseArgs({ options: { chains: { type: 'string', default: '1000,5000' } } });
const MESHES = 50;
const CONTEXT = { name: 'egress', zone: 'zone-1', adminPort: 9901 };
const NO_SECRETS = {
  endpoints: new Map(),
  secrets: new Map(),
  versions: { cluster: '1', endpoint: '1', listener: '1', secret: '1' },
};

console.log(`node --expose-gc perf/xds-scale.ts --chains ${values.chains}   (Node ${process.version})`);
console.log(
  'chains  MiB    bare decode ms  first: accept, translate ms  one changed: accept, translate ms (median)  new routes  KB per chain',
);
for (const chains of values.chains.split(',').map(Number)) measure(chains);

function measure(count: number): void {
  const clusters = new Map(Array.from({ length: count }, (_, i) => clusterOf(i)).map((held) => [held.name, held]));
  const first = listenerOf(count, 0);
  let at = performance.now();
  fromBinary(ListenerSchema, first.value);
  const bareMs = performance.now() - at;
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const memory: ListenerMemory = new Map();
  const translate = createTranslator();
  const push = (any: Any): { acceptMs: number; translateMs: number; snapshot: ReturnType<typeof translate>['snapshot'] } => {
    const startedAt = performance.now();
    const accepted = acceptListener(any, memory);
    if (accepted.kind === 'refused') throw new Error(accepted.why);
    const acceptMs = performance.now() - startedAt;
    const hash = createHash('sha256').update(any.value).digest('hex');
    const held = { name: accepted.name, resource: accepted.resource, hash, version: '1', updatedAt: 0 };
    const state: AdsState = { ...NO_SECRETS, clusters, listeners: new Map([[held.name, held]]) };
    at = performance.now();
    const { snapshot } = translate(state, CONTEXT);
    return { acceptMs, translateMs: performance.now() - at, snapshot };
  };
  let last = push(first);
  const [acceptMs, translateMs] = [last.acceptMs, last.translateMs];
  globalThis.gc?.();
  const perChain = (process.memoryUsage().heapUsed - before) / count / 1024;
  const changes: { readonly acceptMs: number; readonly translateMs: number; readonly routes: number }[] = [];
  for (let i = 1; i <= 5; i++) {
    const next = push(listenerOf(count, i));
    const routes = [...next.snapshot.routes].filter(([sni, route]) => last.snapshot.routes.get(sni) !== route).length;
    changes.push({ ...next, routes });
    last = next;
  }
  const median = (key: 'acceptMs' | 'translateMs'): string =>
    (changes.map((each) => each[key]).toSorted((a, b) => a - b)[2] ?? NaN).toFixed(0);
  const routes = [...new Set(changes.map((change) => change.routes))].join('/');
  console.log(
    [
      String(count).padEnd(7),
      (first.value.length / 1_048_576).toFixed(1).padEnd(6),
      bareMs.toFixed(0).padEnd(15),
      `${acceptMs.toFixed(0)}, ${translateMs.toFixed(0)}`.padEnd(28),
      `${median('acceptMs')}, ${median('translateMs')}`.padEnd(43),
      routes.padEnd(11),
      perChain.toFixed(2),
    ].join(' '),
  );
}

/** `change` makes another first terminated chain. */
function listenerOf(count: number, change: number): Any {
  const filterChains = Array.from({ length: count }, (_, i) => chainOf(i, i === 1 ? change : 0));
  const address = {
    address: {
      case: 'socketAddress' as const,
      value: { address: '127.0.0.1', portSpecifier: { case: 'portValue' as const, value: 10_002 } },
    },
  };
  return anyPack(ListenerSchema, create(ListenerSchema, { name: 'inbound:127.0.0.1:10002', address, filterChains }));
}

function chainOf(i: number, change: number): FilterChain {
  const mesh = `mesh-${i % MESHES}`;
  const tcp = filter(TcpProxySchema, { statPrefix: `es-${i}`, clusterSpecifier: { case: 'cluster', value: `${mesh}:es-${i}` } });
  const filterChainMatch = { serverNames: [`es-${i}{mesh=${mesh}}`], transportProtocol: 'tls' };
  if (i % 2 === 0) return create(FilterChainSchema, { filterChainMatch, filters: [tcp] });
  const name = { matchPattern: { case: 'exact' as const, value: `spiffe://${mesh}/client-${change}` } };
  const rbac = filter(RBACSchema, {
    statPrefix: `es-${i}.`,
    rules: {
      policies: {
        'tp-1': {
          permissions: [{ rule: { case: 'any', value: true } }],
          principals: [{ identifier: { case: 'authenticated', value: { principalName: name } } }],
        },
      },
    },
  });
  const ads = (secret: string): { name: string; sdsConfig: { configSourceSpecifier: { case: 'ads'; value: object } } } => ({
    name: secret,
    sdsConfig: { configSourceSpecifier: { case: 'ads', value: {} } },
  });
  const matcher = { matchPattern: { case: 'prefix' as const, value: `spiffe://${mesh}/` } };
  const context = create(DownstreamTlsContextSchema, {
    requireClientCertificate: true,
    commonTlsContext: {
      tlsCertificateSdsSecretConfigs: [ads(`identity_cert:secret:${mesh}`)],
      validationContextType: {
        case: 'combinedValidationContext',
        value: {
          defaultValidationContext: { matchTypedSubjectAltNames: [{ sanType: SubjectAltNameMatcher_SanType.URI, matcher }] },
          validationContextSdsSecretConfig: ads(`mesh_ca:secret:${mesh}`),
        },
      },
    },
  });
  const transportSocket = {
    name: 'tls',
    configType: { case: 'typedConfig' as const, value: anyPack(DownstreamTlsContextSchema, context) },
  };
  return create(FilterChainSchema, { name: `es-${i}_${mesh}`, filterChainMatch, filters: [rbac, tcp], transportSocket });
}

function filter<Desc extends DescMessage>(
  schema: Desc,
  init: MessageInitShape<Desc>,
): { name: string; configType: { case: 'typedConfig'; value: Any } } {
  return { name: schema.typeName, configType: { case: 'typedConfig', value: anyPack(schema, create(schema, init)) } };
}

function clusterOf(i: number): Held<Cluster> {
  const name = `mesh-${i % MESHES}:es-${i}`;
  const clusterDiscoveryType = { case: 'type' as const, value: Cluster_DiscoveryType.STATIC };
  return { name, resource: create(ClusterSchema, { name, clusterDiscoveryType }), hash: name, version: '1', updatedAt: 0 };
}
