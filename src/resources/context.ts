import type { Cluster } from '../model/cluster.ts';
import type { Absent, Origin } from '../model/compiled.ts';
import { serverName } from '../model/names.ts';
import type { MeshName, ServerName } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import type { Mesh } from '../model/snapshot.ts';
import { encodeTagSni } from '../wire/sni.ts';
import type { Findings } from './findings.ts';
import type { Loader } from './load.ts';

/** Input that the parts of the compiler share, and the maps that they fill. */
export interface Context {
  readonly findings: Findings;
  readonly loader: Loader;
  readonly zone: string;
  /** Address family for names that are resolved. */
  readonly family: 'v4' | 'any';
  readonly routes: Map<ServerName, Route>;
  readonly clusters: Map<string, Cluster>;
  readonly meshes: Map<MeshName, Mesh>;
  readonly origins: Map<string, Origin>;
  /** Keyed by SNI; an entry that gets a route later is removed. */
  readonly absent: Map<string, Absent>;
}

/** Kuma sets this timeout for every cluster of a zone egress. */
export const CONNECT_TIMEOUT_MS = 5000;

/** Adds a route. The first route of a server name stays: a second one would never be chosen. */
export function addRoute(context: Context, route: Route, at: Origin): void {
  const { routes, origins } = context;
  if (isTaken(context, route.serverName, route.destination, at)) return;
  routes.set(route.serverName, route);
  origins.set(`route:${route.serverName}`, at);
}

/** Tells whether the server name has a route already, and reports it. */
export function isTaken({ routes, findings }: Context, name: ServerName, destination: string, at: Origin): boolean {
  const first = routes.get(name);
  if (first === undefined) return false;
  const taken = `${first.destination} of mesh ${first.mesh}`;
  findings.warn(at, '', `${destination}: the SNI ${JSON.stringify(name)} already leads to ${taken}; this one is not served`);
  return true;
}

/**
 * Adds a cluster; returns false where its name is taken, which is reported. A route to this cluster
 * must then not be served, because it would reach the endpoints of the other. Kuma's names do not
 * distinguish mesh `a_b` with service `c` from mesh `a` with service `b_c`.
 */
export function addCluster({ clusters, origins, findings }: Context, cluster: Cluster, at: Origin): boolean {
  const first = origins.get(`cluster:${cluster.name}`);
  if (first !== undefined) {
    const taken = `${cluster.name} is the name of what is defined at ${first.file}:${first.line} too`;
    findings.warn(at, '', `${taken}; this one is not served`);
    return false;
  }
  clusters.set(cluster.name, cluster);
  origins.set(`cluster:${cluster.name}`, at);
  return true;
}

/** Returns the field of a cluster without endpoints that says what is wrong with its resource. */
export function brokenBy(why: string | null | undefined): { readonly broken?: string } {
  return why === null || why === undefined ? {} : { broken: why };
}

/**
 * Records why a name is not served; the first reason stays. `sni` is given for a name that is not
 * made of a `kuma.io/service`.
 */
export function addAbsent({ absent }: Context, what: Omit<Absent, keyof Origin>, at: Origin, sni?: string): void {
  const { destination, mesh } = what;
  const name = serverName(sni ?? encodeTagSni({ 'kuma.io/service': destination, mesh }));
  if (!absent.has(name)) absent.set(name, { ...what, file: at.file, line: at.line, column: at.column });
}
