/**
 * Shows the state that an egress has from its control plane as the sections of
 * `envoy.admin.v3.ConfigDump`, which kuma-cp, its GUI and `kumactl inspect` read. Each resource is
 * made into JSON only when it is written, a listener chain by chain. It contains no private key and
 * no token.
 */
import { create, fromJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import type { LazyJson } from '../../base/lazy-json.ts';
import type { AdsState, Held } from '../messages/ads-state.ts';
import { ANY_TYPES } from '../messages/any-types.ts';
import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import { BootstrapSchema } from '#envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { Bootstrap as EnvoyBootstrap } from '#envoy/config/bootstrap/v3/bootstrap_pb.js';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { FilterChain } from '#envoy/config/listener/v3/listener_components_pb.js';
import { FilterChainSchema } from '#envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import { NodeSchema } from '#envoy/config/core/v3/base_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '#envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { shownAnyJson, shownJson } from './shown-message.ts';
import { unpack } from '../messages/typed-config.ts';

export interface DumpSources {
  /** As the control plane sent it. */
  readonly bootstrap: Pick<Bootstrap, 'node' | 'document'>;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly state: AdsState;
}

/** One message in `configs`. */
export interface DumpSection {
  /** A type of `envoy.admin.v3`. */
  readonly type: string;
  readonly fields: Readonly<Record<string, LazyJson>>;
  /** Its repeated fields, which `resource=` selects from. */
  readonly lists: Readonly<Record<string, readonly DumpItem[]>>;
}

export interface DumpItem {
  readonly name: string;
  /** Type of the elements, nested in that of the section. */
  readonly type: string;
  readonly json: () => { readonly [key: string]: LazyJson | undefined };
}

/** In Envoy's order, without the endpoints. */
export function dumpSections({ bootstrap, startedAt, state }: DumpSources): readonly DumpSection[] {
  const started = timestamp(startedAt);
  const envoy = envoyBootstrap(bootstrap);
  const { clusters = [], secrets = [] } = envoy.staticResources ?? {};
  return [
    bootstrapSection(envoy, started),
    {
      type: 'ClustersConfigDump',
      fields: versionOf(state.versions.cluster),
      lists: {
        static_clusters: clusters.map((cluster) =>
          item(cluster.name, 'StaticCluster', () => ({ cluster: shownAnyJson(ClusterSchema, cluster), last_updated: started })),
        ),
        dynamic_active_clusters: [...state.clusters.values()].map((held) =>
          item(held.name, 'DynamicCluster', () => dynamic(held, { cluster: shownAnyJson(ClusterSchema, held.resource) })),
        ),
      },
    },
    {
      type: 'ListenersConfigDump',
      fields: versionOf(state.versions.listener),
      lists: {
        dynamic_listeners: [...state.listeners.values()].map((held) =>
          item(held.name, 'DynamicListener', () => ({
            name: held.name,
            active_state: dynamic(held, { listener: listenerJson(held.resource) }),
          })),
        ),
      },
    },
    { type: 'ScopedRoutesConfigDump', fields: {}, lists: {} },
    {
      type: 'RoutesConfigDump',
      fields: {},
      lists: { static_route_configs: [...state.listeners.values()].flatMap(inlineRoutes) },
    },
    {
      type: 'SecretsConfigDump',
      fields: {},
      lists: {
        static_secrets: secrets.map((secret) =>
          item(secret.name, 'StaticSecret', () => ({ name: secret.name, secret: shownAnyJson(SecretSchema, secret) })),
        ),
        dynamic_active_secrets: [...state.secrets.values()].map((held) =>
          item(held.name, 'DynamicSecret', () => ({
            name: held.name,
            ...dynamic(held, { secret: shownAnyJson(SecretSchema, held.resource) }),
          })),
        ),
      },
    },
  ];
}

function bootstrapSection(bootstrap: EnvoyBootstrap, started: string): DumpSection {
  return {
    type: 'BootstrapConfigDump',
    fields: { bootstrap: () => shownJson(BootstrapSchema, bootstrap), last_updated: started },
    lists: {},
  };
}

/** Returns the node as it is sent to a control plane, for `/server_info`. */
export function nodeJson({ node }: DumpSources['bootstrap']): LazyJson {
  return shownJson(NodeSchema, node);
}

const bootstraps = new WeakMap<DumpSources['bootstrap'], EnvoyBootstrap>();

/**
 * Shows the node that is really sent. Where the document has fields that the protos here lack, it
 * shows only the node.
 */
function envoyBootstrap(bootstrap: DumpSources['bootstrap']): EnvoyBootstrap {
  const known = bootstraps.get(bootstrap);
  if (known !== undefined) return known;
  let made: EnvoyBootstrap;
  try {
    made = fromJson(BootstrapSchema, bootstrap.document, { registry: ANY_TYPES, ignoreUnknownFields: true });
  } catch {
    made = create(BootstrapSchema);
  }
  made.node = bootstrap.node;
  bootstraps.set(bootstrap, made);
  return made;
}

function item(name: string, type: string, json: DumpItem['json']): DumpItem {
  return { name, type, json };
}

function dynamic(held: Held<unknown>, shown: Readonly<Record<string, LazyJson>>): Record<string, LazyJson> {
  return { ...versionOf(held.version), ...shown, last_updated: timestamp(held.updatedAt) };
}

/** Writes the listener as JSON of an `Any`, chain by chain. */
function listenerJson(listener: Listener): LazyJson {
  const head = shownAnyJson(ListenerSchema, { ...listener, filterChains: [] });
  const { '@type': type, name, address, ...rest } = head;
  const chains = listener.filterChains.map((chain) => () => shownJson(FilterChainSchema, chain));
  return {
    '@type': type,
    ...(name === undefined ? {} : { name }),
    ...(address === undefined ? {} : { address }),
    ...(chains.length === 0 ? {} : { filter_chains: chains }),
    ...rest,
  };
}

function inlineRoutes({ resource, updatedAt }: Held<Listener>): readonly DumpItem[] {
  return resource.filterChains.flatMap((chain) => routesOf(chain, timestamp(updatedAt)));
}

function routesOf({ filters }: FilterChain, lastUpdated: string): readonly DumpItem[] {
  return filters.flatMap(({ configType }) => {
    const manager = configType.case === 'typedConfig' ? unpack(configType.value, HttpConnectionManagerSchema) : undefined;
    if (manager?.routeSpecifier.case !== 'routeConfig') return [];
    const config = manager.routeSpecifier.value;
    const json = (): Record<string, JsonObject | string> => ({
      route_config: shownAnyJson(RouteConfigurationSchema, config),
      last_updated: lastUpdated,
    });
    return [item(config.name, 'StaticRouteConfig', json)];
  });
}

function versionOf(version: string): Record<string, string> {
  return version === '' ? {} : { version_info: version };
}

function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}
