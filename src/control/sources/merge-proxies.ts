import { nextTurn } from '../../base/clock.ts';
import type { Problem } from '../../base/problem.ts';
import { sameValue } from '../../model/changes.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { ListenerConfig, ListenerPlace, Origin } from '../../model/compiled.ts';
import { meshName } from '../../model/names.ts';
import type { ContentHash, MeshName, ServerName } from '../../model/names.ts';
import type { Permission } from '../../model/permission.ts';
import { identityOf } from '../../model/route.ts';
import type { Route } from '../../model/route.ts';
import type { Mesh } from '../../model/snapshot.ts';
import { deepFreeze } from '../../resources/deep-freeze.ts';
import { rememberHash, snapshotVersion } from '../../resources/snapshot-version.ts';
import type { Good } from './config-source.ts';

/** One of the proxies of a process, with the configuration that its control plane sent. */
export interface ProxyConfig {
  readonly id: string;
  /** Empty for a ZoneEgress. */
  readonly mesh: string;
  readonly config: Good;
}

/**
 * Joins what several proxies serve to one configuration. `all` is in the order of precedence. The
 * rules are those for a folder with several Dataplanes (docs/decisions/one-process-for-many.md):
 * routes go by the server name at every place, the Dataplanes of one mesh share its routes, and a
 * Dataplane serves its own mesh only.
 */
export async function mergeProxies(all: readonly ProxyConfig[], { adminPort }: { readonly adminPort: number }): Promise<Good> {
  const merging = new Merging();
  for (const proxy of all) {
    merging.add(proxy);
    await nextTurn();
  }
  const { routes, clusters, meshes, secrets, origins, problems } = merging;
  const zone = all.map(({ config }) => config.snapshot.zone).find((name) => name !== '') ?? '';
  for (const map of [routes, clusters, meshes]) for (const value of map.values()) deepFreeze(value);
  const content = { zone, routes, clusters, meshes };
  const snapshot = Object.freeze({ version: snapshotVersion(content), ...content });
  return { kind: 'compiled', snapshot, secrets, listener: listenerOf(all, adminPort), problems, origins };
}

/** Returns each place once: several proxies may share one. */
function listenerOf(all: readonly ProxyConfig[], adminPort: number): ListenerConfig {
  const wanted = all.flatMap(({ id, config: { listener } }): readonly ListenerPlace[] =>
    listener.absent === true ? [] : [{ name: id, address: listener.address, port: listener.port }],
  );
  const keys = wanted.map(({ address, port }) => `${address} ${port}`);
  const [first, ...more] = wanted.filter((_, i) => keys.indexOf(keys[i] ?? '') === i);
  if (first === undefined) return { name: all[0]?.id ?? '', address: '', port: 0, adminPort, absent: true };
  return { ...first, adminPort, ...(more.length === 0 ? {} : { more }), ...servingOf(all) };
}

function servingOf(all: readonly ProxyConfig[]): Pick<ListenerConfig, 'serving'> {
  if (all.length < 2) return {};
  const serving = all.map(({ id, mesh }) =>
    mesh === ''
      ? { name: id, identity: '' }
      : { name: id.slice(mesh.length + 1), identity: identityKey({ mesh }, meshName(mesh)) },
  );
  // The Dataplanes of one mesh share its routes: the first one shows its identity.
  const identities = serving.map(({ identity }) => identity);
  return { serving: serving.filter(({ identity }, i) => identities.indexOf(identity) === i) };
}

class Merging {
  readonly routes = new Map<ServerName, Route>();
  readonly clusters = new Map<string, Cluster>();
  readonly meshes = new Map<MeshName, Mesh>();
  readonly secrets = new Map<ContentHash, string>();
  readonly origins = new Map<string, Origin>();
  readonly problems: Problem[] = [];
  /** The proxy that gave each cluster. */
  readonly #givers = new Map<string, ProxyConfig>();

  add(proxy: ProxyConfig): void {
    const { id, config } = proxy;
    for (const [hash, text] of config.secrets) this.secrets.set(hash, text);
    for (const problem of config.problems)
      this.problems.push({ ...problem, file: problem.file === SOURCE ? `${SOURCE} (${id})` : problem.file });
    this.#addMeshes(proxy);
    const moved = this.#addClusters(proxy);
    const used = new Set<string>();
    for (const route of config.snapshot.routes.values()) used.add(this.#addRoute(proxy, ownRoute(proxy, route), moved));
    for (const name of moved.values()) if (!used.has(name)) this.clusters.delete(name);
    for (const [about, origin] of config.origins) if (!this.origins.has(about)) this.origins.set(about, origin);
  }

  #addMeshes(proxy: ProxyConfig): void {
    for (const mesh of proxy.config.snapshot.meshes.values()) {
      const key = identityKey(proxy, mesh.name);
      if (!isOwn(proxy, mesh.name) || this.meshes.has(key)) continue;
      this.meshes.set(key, ownMesh(mesh, key));
      const origin = proxy.config.origins.get(`mesh:${mesh.name}`);
      if (key !== mesh.name && origin !== undefined) this.origins.set(`mesh:${key}`, origin);
    }
  }

  /** Returns the names of those that get another one, because another proxy has theirs. */
  #addClusters(proxy: ProxyConfig): ReadonlyMap<string, string> {
    const moved = new Map<string, string>();
    for (const [name, cluster] of proxy.config.snapshot.clusters) {
      const other = this.#givers.get(name);
      const isShared = other?.mesh === proxy.mesh && sameValue(this.clusters.get(name), cluster);
      if (isShared) continue;
      const free = other === undefined ? name : `${name} of ${proxy.id}`;
      if (free !== name) moved.set(name, free);
      this.clusters.set(free, free === name ? cluster : { ...cluster, name: free });
      this.#givers.set(free, proxy);
    }
    return moved;
  }

  /** Returns the cluster that the route leads to. */
  #addRoute(proxy: ProxyConfig, route: Route, moved: ReadonlyMap<string, string>): string {
    const { serverName, mesh } = route;
    const before = this.routes.get(serverName);
    const cluster = moved.get(route.cluster);
    const own = cluster === undefined ? route : { ...route, cluster };
    if (isOwn(proxy, mesh)) {
      const served = before === undefined ? own : this.#shared(proxy, before, route);
      this.routes.set(serverName, served);
      return served.cluster;
    }
    const why = `the server name ${serverName} is of mesh ${mesh}, and ${proxy.id} serves its own mesh only: it is not served`;
    this.problems.push(problemOf(proxy, `route:${serverName}`, why));
    return '';
  }

  /** Both Dataplanes have to let a client in, whichever of their ports it came to. */
  #shared(proxy: ProxyConfig, before: Route, route: Route): Route {
    const unsupported = before.unsupported ?? route.unsupported;
    if (before.kind !== route.kind || identityOf(before) !== identityOf(route)) {
      const why = `another proxy of this process serves ${route.serverName} in another way than ${proxy.id}: no client may use it`;
      this.problems.push(problemOf(proxy, `route:${route.serverName}`, why));
      return {
        ...before,
        unsupported: unsupported ?? 'several proxies of this process serve its server name, in different ways',
      };
    }
    const refused = unsupported === before.unsupported || unsupported === undefined ? {} : { unsupported };
    if (before.kind !== 'terminate' || route.kind !== 'terminate') return { ...before, ...refused };
    return { ...before, permission: bothOf(before.permission, route.permission), ...refused };
  }
}

const SOURCE = 'control plane';

function problemOf({ id }: ProxyConfig, field: string, message: string): Problem {
  return { severity: 'warning', file: `${SOURCE} (${id})`, line: 0, column: 0, field, message };
}

function isOwn(proxy: ProxyConfig, mesh: string): boolean {
  return proxy.mesh === '' || proxy.mesh === mesh;
}

/**
 * A mesh that is being migrated has two identities. The name does not depend on what else has
 * joined, so that no session changes its identity when a file comes or goes.
 */
export function identityKey({ mesh }: Pick<ProxyConfig, 'mesh'>, of: MeshName): MeshName {
  return mesh === '' ? of : meshName(`${of} (MeshIdentity)`);
}

const routesOf = new WeakMap<Route, Route>();

/** Values keep their identity from one load to the next: an unchanged route is not read again. */
function ownRoute(proxy: ProxyConfig, route: Route): Route {
  if (proxy.mesh === '' || route.kind === 'passthrough') return route;
  const known = routesOf.get(route);
  if (known !== undefined) return known;
  const own = deepFreeze({ ...route, identity: identityKey(proxy, identityOf(route)) });
  rememberHash(own);
  routesOf.set(route, own);
  return own;
}

const meshesOf = new WeakMap<Mesh, Mesh>();

/** Names the trust domain, which is otherwise the key. */
function ownMesh(mesh: Mesh, key: MeshName): Mesh {
  if (key === mesh.name) return mesh;
  const known = meshesOf.get(mesh);
  if (known !== undefined) return known;
  const { trust, trustDomains = [{ name: mesh.name, trust }] } = mesh;
  const own = deepFreeze({ ...mesh, name: key, trustDomains });
  meshesOf.set(mesh, own);
  return own;
}

function bothOf(one: Permission, other: Permission): Permission {
  const parts = one.kind === 'all-of' ? one.all : [one];
  if (sameValue(one, other) || parts.some((part) => sameValue(part, other))) return one;
  const all = [...parts, other];
  return { kind: 'all-of', by: [...new Set(all.map(({ by }) => by))].join(' and '), all };
}
