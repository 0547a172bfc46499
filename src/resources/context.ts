import type { Cluster } from '../model/cluster.ts';
import type { Absent, Origin } from '../model/compiled.ts';
import { serverName } from '../model/names.ts';
import type { MeshName, ServerName } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import type { Mesh } from '../model/snapshot.ts';
import { encodeTagSni } from '../wire/sni.ts';
import type { Findings } from './findings.ts';
import type { Loader } from './load.ts';

/** What the parts of the compiler share: what they read, and the maps that they fill. */
export interface Context {
  readonly findings: Findings;
  readonly loader: Loader;
  readonly zone: string;
  /** Of names to resolve. */
  readonly family: 'v4' | 'any';
  readonly routes: Map<ServerName, Route>;
  readonly clusters: Map<string, Cluster>;
  readonly meshes: Map<MeshName, Mesh>;
  readonly origins: Map<string, Origin>;
  /** By SNI; what has a route in the end goes again. */
  readonly absent: Map<string, Absent>;
}

/** As Kuma sets it for every cluster of a zone egress. */
export const CONNECT_TIMEOUT_MS = 5000;

/** The first route of a server name stays: a second one would never be chosen. */
export function addRoute(context: Context, route: Route, at: Origin): void {
  const { routes, origins } = context;
  if (isTaken(context, route.serverName, route.destination, at)) return;
  routes.set(route.serverName, route);
  origins.set(`route:${route.serverName}`, at);
}

/** Whether there is a route of this server name, which is reported then. */
export function isTaken({ routes, findings }: Context, name: ServerName, destination: string, at: Origin): boolean {
  const first = routes.get(name);
  if (first === undefined) return false;
  const taken = `${first.destination} of mesh ${first.mesh}`;
  findings.warn(at, '', `${destination}: the SNI ${JSON.stringify(name)} already leads to ${taken}; this one is not served`);
  return true;
}

/**
 * False where the name is taken, which is reported: what leads to this cluster must not be served
 * then, it would reach the other's endpoints. Kuma's names do not tell mesh `a_b` with service `c`
 * from mesh `a` with service `b_c`.
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

/** For a cluster: what is wrong with the resource that it is made of, where no endpoint is left. */
export function brokenBy(why: string | null | undefined): { readonly broken?: string } {
  return why === null || why === undefined ? {} : { broken: why };
}

/**
 * The first reason of a name stays. `sni` is given where the name is not the one of a
 * `kuma.io/service`.
 */
export function addAbsent({ absent }: Context, what: Omit<Absent, keyof Origin>, at: Origin, sni?: string): void {
  const { destination, mesh } = what;
  const name = serverName(sni ?? encodeTagSni({ 'kuma.io/service': destination, mesh }));
  if (!absent.has(name)) absent.set(name, { ...what, file: at.file, line: at.line, column: at.column });
}
