import type { AdminListener } from '../../model/admin-listener.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { ListenerConfig, Origin } from '../../model/compiled.ts';
import type { ContentHash, MeshName, ServerName } from '../../model/names.ts';
import { meshName } from '../../model/names.ts';
import type { Route } from '../../model/route.ts';
import type { Mesh, Secrets, Snapshot } from '../../model/snapshot.ts';
import { deepFreeze } from '../../resources/deep-freeze.ts';
import { rememberHash, snapshotVersion } from '../../resources/snapshot-version.ts';
import { readAdminListener } from './translate-admin-listener.ts';
import type { AdminRead } from './translate-admin-listener.ts';
import type { AdsState, Held } from '../messages/ads-state.ts';
import type { ChainTls } from './downstream-tls.ts';
import { HARMLESS_LISTENER_FILTERS } from '../messages/extension-names.ts';
import { listenerSocket, placeComplaint } from './listener-place.ts';
import { readMesh, tlsKey } from './mesh-secrets.ts';
import type { MeshRead } from './mesh-secrets.ts';
import type { Cluster as EnvoyCluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import type { FilterChain } from '#envoy/config/listener/v3/listener_components_pb.js';
import { translateChain } from './translate-chain.ts';
import { createClusterTranslator } from './translate-clusters.ts';
import type { TranslateClusters } from './translate-clusters.ts';
import type { TranslatedCluster } from './translate-cluster.ts';
import type { ChainContext, ChainRoutes } from './translate-chain.ts';
import { typeOf } from '../messages/typed-config.ts';

export interface TranslateContext {
  /** Name of the ZoneEgress resource. */
  readonly name: string;
  readonly zone: string;
  readonly adminPort: number;
}

export interface Remark {
  /** `route:<sni>`, `cluster:<name>`, `mesh:<name>`, `listener:<name>`. */
  readonly about: string;
  readonly text: string;
}

export interface Translated {
  readonly snapshot: Snapshot;
  readonly secrets: Secrets;
  /** Null until the control plane has sent a listener for clients. */
  readonly listener: ListenerConfig | null;
  readonly origins: ReadonlyMap<string, Origin>;
  readonly remarks: readonly Remark[];
  readonly admin: AdminListener | null;
}

/** Kuma's own listeners: those of the admin pages and of readiness. */
const OWN = /^(?:kuma:|system_)/;
/** The listener of the zone egress among those of a Dataplane. */
const OF_DATAPLANE = /^self_zoneegress_dp_/;
const ADMIN = new Set(['kuma:envoy:admin', 'system_envoy_admin']);

/**
 * Makes a translator from the state of a control plane to the Snapshot that files would give. It
 * never throws and never fails: a part that is not supported becomes a refusing route, or a mesh
 * without a certificate, and a remark. Parts that did not change between two states keep their
 * identity, and only changed ones are translated.
 */
export function createTranslator(translateClusters: TranslateClusters = createClusterTranslator()): Translate {
  const translator = new Translator(translateClusters);
  const steps: Translate['steps'] = (state, context) => translator.translate(state, context);
  return Object.assign((state: AdsState, context: TranslateContext) => toTheEnd(steps(state, context)), { steps });
}

/** Translates at once, or in steps of about a millisecond. Calls must not overlap. */
export interface Translate {
  (state: AdsState, context: TranslateContext): Translated;
  steps(state: AdsState, context: TranslateContext): Generator<void, Translated>;
}

/** Number of chains and values in one step. */
const STEP = 50;

function toTheEnd<Result>(steps: Generator<void, Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

interface KeyedMesh {
  readonly key: string;
  readonly read: MeshRead;
}

interface Finished {
  readonly subset: string;
  readonly unsupported: string | undefined;
  readonly route: Route;
}

class Translator {
  readonly #translateClusters: TranslateClusters;
  /** Keyed by chain, then by the other inputs. */
  readonly #chains = new WeakMap<FilterChain, Map<string, ChainRoutes>>();
  readonly #finished = new WeakMap<Route, Finished>();
  readonly #origins = new WeakMap<FilterChain, Origin>();
  readonly #admins = new WeakMap<Listener, AdminRead>();
  #meshes: ReadonlyMap<MeshName, KeyedMesh> = new Map();

  constructor(translateClusters: TranslateClusters) {
    this.#translateClusters = translateClusters;
  }

  *translate(state: AdsState, context: TranslateContext): Generator<void, Translated> {
    const building = new Building();
    const made = this.#translateClusters(state);
    const translations: ReadonlyMap<string, TranslatedCluster> =
      made instanceof Map ? made : yield* made as Generator<void, ReadonlyMap<string, TranslatedCluster>>;
    yield;
    for (const [name, { cluster, secrets, remarks, unusable }] of translations) {
      if (OWN.test(name)) continue;
      building.clusters.set(name, cluster);
      building.origins.set(`cluster:${name}`, { file: `cluster ${name}`, line: 0, column: 0 });
      for (const [hash, text] of secrets) building.secrets.set(hash, text);
      building.remark(`cluster:${name}`, unusable === undefined ? remarks : [...remarks, `no route may use it: ${unusable}`]);
    }
    const all = [...state.listeners.values()].map(({ resource }) => resource).filter(({ name }) => !OWN.test(name));
    const egresses = all.filter(({ name }) => OF_DATAPLANE.test(name));
    const [listener, ...rest] = egresses.length === 0 ? all : egresses;
    for (const { name } of rest) building.remark(`listener:${name}`, [`only one listener is served: ${listener?.name ?? ''}`]);
    if (egresses.length > 0) {
      for (const { name } of all)
        if (!OF_DATAPLANE.test(name))
          building.remark(`listener:${name}`, ['it is not served: it is no listener of a zone egress']);
    }
    if (listener !== undefined) yield* this.#addListener(listener, { state, building, translations });
    const { zone } = context;
    const content = { zone, routes: building.routes, clusters: building.clusters, meshes: building.meshes };
    let looked = 0;
    for (const map of [content.routes, content.clusters, content.meshes]) {
      for (const value of map.values()) {
        deepFreeze(value);
        rememberHash(value);
        if (++looked % STEP === 0) yield;
      }
    }
    const version = snapshotVersion(content);
    yield;
    return {
      snapshot: Object.freeze({ version, ...content }),
      secrets: building.secrets,
      listener: listener === undefined ? null : placeOf(listener, context, building),
      origins: building.origins,
      admin: this.#admin(state, building),
      remarks: building.remarks,
    };
  }

  *#addListener(listener: Listener, to: Addition): Generator<void, void> {
    const { state, building, translations } = to;
    const about = `listener:${listener.name}`;
    const chainContext = contextOf(listener);
    if (chainContext.unsupported !== null) building.remark(about, [`no client may use it: ${chainContext.unsupported}`]);
    if (listener.defaultFilterChain !== undefined) building.remark(about, ['its default filter chain is not served']);
    const tlsOf = new Map<MeshName, ChainTls>();
    const meshOf = new Map<string, MeshName>();
    for (const [i, chain] of listener.filterChains.entries()) {
      if (i % STEP === 0) yield;
      const translated = this.#chain(chain, chainContext);
      const { routes, tls, remarks, name } = translated;
      const subject = routes[0] === undefined ? `${about}, chain ${name}` : `route:${routes[0].serverName}`;
      building.remark(subject, remarks);
      let conflict: string | null = null;
      if (tls !== null) {
        const mesh = meshName(tls.mesh);
        const first = tlsOf.get(mesh) ?? tls;
        tlsOf.set(mesh, first);
        if (first !== tls && tlsKey(first) !== tlsKey(tls))
          conflict = `it ends the mTLS of mesh ${mesh} with another certificate or CA than other chains`;
      }
      for (const route of routes) {
        const owner = meshOf.get(route.cluster) ?? route.mesh;
        if (route.unsupported === undefined) meshOf.set(route.cluster, owner);
        if (owner !== route.mesh)
          conflict ??= `its cluster ${route.cluster} serves mesh ${owner}, and it is of mesh ${route.mesh}`;
        const finished = this.#finish(route, {
          chain: translated,
          cluster: state.clusters.get(route.cluster),
          translation: translations.get(route.cluster),
          conflict,
        });
        if (finished.unsupported !== undefined)
          building.remark(`route:${route.serverName}`, [`no client may use it: ${finished.unsupported}`]);
        building.addRoute(finished, this.#origin(listener, chain));
      }
    }
    this.#addMeshes(tlsOf, state, building);
  }

  #chain(chain: FilterChain, context: ChainContext): ChainRoutes {
    const key = `${context.port} ${context.unsupported ?? ''}`;
    const byContext = this.#chains.get(chain) ?? new Map<string, ChainRoutes>();
    this.#chains.set(chain, byContext);
    const known = byContext.get(key) ?? translateChain(chain, context);
    byContext.set(key, known);
    return known;
  }

  /** Completes a route with the state of its cluster and of the other chains. */
  #finish(
    route: Route,
    of: {
      readonly chain: ChainRoutes;
      readonly cluster: Held<EnvoyCluster> | undefined;
      readonly translation: TranslatedCluster | undefined;
      readonly conflict: string | null;
    },
  ): Route {
    const hasSubset = of.cluster !== undefined && hasSelector(of.cluster.resource, of.chain.metadata);
    const tags = hasSubset ? of.chain.metadata : {};
    const own =
      hasSubset && route.kind === 'terminate' ? 'it chooses endpoints by their tags, where its mTLS ends here' : undefined;
    const unsupported = route.unsupported ?? of.conflict ?? own ?? of.translation?.unusable;
    const subset = JSON.stringify(tags);
    const known = this.#finished.get(route);
    if (known !== undefined && known.subset === subset && known.unsupported === unsupported) return known.route;
    const chosen = hasSubset && route.kind === 'passthrough' ? { ...route, subset: tags } : route;
    const finished = unsupported === route.unsupported || unsupported === undefined ? chosen : { ...chosen, unsupported };
    this.#finished.set(route, { subset, unsupported, route: finished });
    return finished;
  }

  #addMeshes(tlsOf: ReadonlyMap<MeshName, ChainTls>, state: AdsState, building: Building): void {
    const meshes = new Map<MeshName, KeyedMesh>();
    for (const [name, tls] of tlsOf) {
      const given = [tls.identity, tls.trust].map((part) =>
        part.kind === 'secret' ? (state.secrets.get(part.name)?.hash ?? '') : '',
      );
      const key = [tlsKey(tls), ...given].join(' ');
      const before = this.#meshes.get(name);
      const read = before?.key === key ? before.read : readMesh(tls, state.secrets);
      meshes.set(name, { key, read });
      if (read.kind === 'unavailable') {
        building.remark(`mesh:${name}`, [`there is no certificate for it: ${read.why}`]);
        continue;
      }
      building.meshes.set(name, read.mesh);
      building.origins.set(`mesh:${name}`, { file: `secrets of mesh ${name}`, line: 0, column: 0 });
      for (const [hash, text] of read.secrets) building.secrets.set(hash, text);
    }
    this.#meshes = meshes;
  }

  #origin({ name }: Listener, chain: FilterChain): Origin {
    const known = this.#origins.get(chain);
    if (known !== undefined) return known;
    const of = chain.name === '' ? (chain.filterChainMatch?.serverNames.join(', ') ?? '') : chain.name;
    const origin = { file: `listener ${name}, filter chain ${of}`, line: 0, column: 0 };
    this.#origins.set(chain, origin);
    return origin;
  }

  #admin(state: AdsState, building: Building): AdminListener | null {
    for (const { name, resource } of state.listeners.values()) {
      if (!ADMIN.has(name)) continue;
      const read = this.#admins.get(resource) ?? readAdminListener(resource);
      this.#admins.set(resource, read);
      for (const [hash, text] of read.secrets) building.secrets.set(hash, text);
      building.remark(`listener:${name}`, read.remarks);
      return read.admin;
    }
    return null;
  }
}

interface Addition {
  readonly state: AdsState;
  readonly building: Building;
  readonly translations: ReadonlyMap<string, TranslatedCluster>;
}

/** Collects the result of one translation. */
class Building {
  readonly routes = new Map<ServerName, Route>();
  readonly clusters = new Map<string, Cluster>();
  readonly meshes = new Map<MeshName, Mesh>();
  readonly secrets = new Map<ContentHash, string>();
  readonly origins = new Map<string, Origin>();
  readonly remarks: Remark[] = [];

  remark(about: string, texts: readonly string[]): void {
    for (const text of texts) this.remarks.push({ about, text });
  }

  /**
   * Two chains for one name differ in another condition of the connection, which this egress does
   * not evaluate.
   */
  addRoute(route: Route, origin: Origin): void {
    const { serverName } = route;
    const before = this.routes.get(serverName);
    const unsupported = 'several chains have its server name';
    this.routes.set(serverName, before === undefined ? route : { ...before, unsupported });
    if (before !== undefined) this.remark(`route:${serverName}`, [`no client may use it: ${unsupported}`]);
    this.origins.set(`route:${serverName}`, origin);
  }
}

function contextOf({ address, listenerFilters, filterChainMatcher }: Listener): ChainContext {
  const reasons = filterChainMatcher === undefined ? [] : ['its listener chooses chains by a matcher'];
  for (const { name, configType } of listenerFilters) {
    const type = configType.case === 'typedConfig' ? typeOf(configType.value) : '';
    if (!HARMLESS_LISTENER_FILTERS.has(type)) reasons.push(`its listener has the filter ${type === '' ? name : type}`);
  }
  const { port } = listenerSocket(address);
  return { port, unsupported: reasons.length === 0 ? null : reasons.join('; ') };
}

function placeOf(listener: Listener, { name, adminPort }: TranslateContext, building: Building): ListenerConfig | null {
  const why = placeComplaint(listener);
  if (why === null) return { name, ...listenerSocket(listener.address), adminPort };
  building.remark(`listener:${listener.name}`, [`it is not opened: ${why}`]);
  return null;
}

/**
 * Tells whether a selector uses the metadata; otherwise the route chooses among all endpoints.
 * Without subsets metadata is ignored.
 */
function hasSelector({ lbSubsetConfig }: EnvoyCluster, metadata: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(metadata).sort().join();
  if (keys === '' || lbSubsetConfig === undefined) return false;
  return lbSubsetConfig.subsetSelectors.some((selector) => [...selector.keys].sort().join() === keys);
}
