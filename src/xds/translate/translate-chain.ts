import { serverName, meshName } from '../../model/names.ts';
import type { HttpFault, HttpRoute, SenderRule } from '../../model/http-route.ts';
import type { Permission } from '../../model/permission.ts';
import type { Route, TerminateRoute } from '../../model/route.ts';
import { FilterChainMatch_ConnectionSourceType } from '#envoy/config/listener/v3/listener_components_pb.js';
import { sameValue } from '../../model/changes.ts';
import { describeSni } from '../../wire/sni.ts';
import { readChainTls } from './downstream-tls.ts';
import type { ChainTls } from './downstream-tls.ts';
import { filterPermission } from './rbac-permission.ts';
import { NotEvaluable } from './principals.ts';
import type { ChainFacts } from './principals.ts';
import { isNobody, unskipped } from './rbac-matcher.ts';
import type { FilterChain, FilterChainMatch } from '#envoy/config/listener/v3/listener_components_pb.js';
import { logsFor } from './read-access-logs.ts';
import { readFilters } from './read-filters.ts';
import type { ChainFilters } from './read-filters.ts';

/** Facts of a listener that hold for each of its chains. */
export interface ChainContext {
  readonly port: number;
  /** Why no chain of the listener can be used; null where they can. */
  readonly unsupported: string | null;
}

/**
 * One filter chain as routes that all lead to one cluster. The state of the cluster and of the
 * secrets is added later.
 */
export interface ChainRoutes {
  readonly name: string;
  /** One for each server name; none for a chain without server names. */
  readonly routes: readonly Route[];
  /** `envoy.lb` of the endpoints to choose from, where the cluster has such a subset. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Null where the mTLS is not terminated here, or the route cannot be used. */
  readonly tls: ChainTls | null;
  readonly remarks: readonly string[];
}

export function translateChain(chain: FilterChain, context: ChainContext): ChainRoutes {
  const filters = readFilters(chain);
  const remarks = [...filters.remarks];
  const unsupported = [...(context.unsupported === null ? [] : [context.unsupported]), ...filters.unsupported];
  const match = chain.filterChainMatch;
  if (chain.useProxyProto === true) unsupported.push('it expects the PROXY protocol');
  if (chain.onDemandConfiguration !== undefined) unsupported.push('it is made on demand');
  unsupported.push(...matchComplaints(match));
  const tls = chain.transportSocket === undefined ? null : readChainTls(chain.transportSocket);
  if (tls?.kind === 'unsupported') unsupported.push(tls.why);
  if (tls?.kind === 'tls') remarks.push(...tls.remarks);
  const known = tls === null ? null : tls.kind === 'tls' ? tls.tls.mesh : tls.mesh;
  const routes: Route[] = [];
  for (const name of servedNames(match, remarks)) {
    const facts = factsOf(name, { mesh: known ?? '', cluster: filters.cluster, chain: chain.name, port: context.port });
    routes.push(tls === null ? passthrough(facts, filters, unsupported) : terminate(facts, filters, { unsupported, remarks }));
  }
  if (filters.undone.length > 0)
    remarks.push(`of HTTP this egress does not do these, so they have no effect: ${[...new Set(filters.undone)].join(', ')}`);
  const usable = tls?.kind === 'tls' && routes.some((route) => route.unsupported === undefined);
  return {
    name: chain.name,
    routes,
    metadata: filters.metadata,
    tls: usable ? withMesh(tls.tls, routes[0]) : null,
    remarks: [...new Set(remarks)],
  };
}

function withMesh(tls: ChainTls, route: Route | undefined): ChainTls {
  return tls.mesh === '' && route !== undefined ? { ...tls, mesh: route.mesh } : tls;
}

/**
 * Returns the exact server names for TLS. Envoy also knows wildcards, which Kuma does not send to
 * an egress.
 */
function servedNames(match: FilterChainMatch | undefined, remarks: string[]): readonly string[] {
  const names = match?.serverNames ?? [];
  const isTls = match?.transportProtocol === 'tls' || match?.transportProtocol === '';
  if (!isTls || names.length === 0) {
    remarks.push('no server name of a TLS client leads to this chain: it is not served');
    return [];
  }
  const whole = names.filter((name) => !name.startsWith('*'));
  if (whole.length < names.length) remarks.push('a server name with a wildcard is not served');
  return [...new Set(whole)];
}

/**
 * Returns the conditions of a chain beside its server name, none of which this egress evaluates.
 */
export function matchComplaints(match: FilterChainMatch | undefined): readonly string[] {
  if (match === undefined) return [];
  const { prefixRanges, directSourcePrefixRanges, sourcePrefixRanges, sourcePorts, applicationProtocols } = match;
  const lists = { prefixRanges, directSourcePrefixRanges, sourcePrefixRanges, sourcePorts, applicationProtocols };
  const asked = Object.entries(lists).flatMap(([name, list]) => (list.length > 0 ? [name] : []));
  if (match.destinationPort !== undefined) asked.push('destinationPort');
  if (match.sourceType !== FilterChainMatch_ConnectionSourceType.ANY) asked.push('sourceType');
  if (match.addressSuffix !== '') asked.push('addressSuffix');
  if (match.$unknown !== undefined && match.$unknown.length > 0) asked.push('what is not known here');
  return asked.length === 0 ? [] : [`it is for certain connections only (${asked.join(', ')})`];
}

interface Facts extends ChainFacts {
  readonly cluster: string;
}

/**
 * Reads the parts that Kuma puts into an SNI; where Kuma cut the names, those of the cluster, which
 * are complete.
 */
function factsOf(name: string, of: { mesh: string; cluster: string; chain: string; port: number }): Facts {
  const said = describeSni(name);
  const [, clusterMesh = '', clusterName = ''] =
    /^([^_:]+)(?::|_)(.*?)(?:_[^_]*_[^_]*_(?:ext|m|mz)svc_.*)?$/.exec(of.cluster) ?? [];
  const whole = (text: string, other: string): string => (text.length > 62 && other.startsWith(text.slice(0, 62)) ? other : text);
  const facts = { serverName: serverName(name), cluster: of.cluster, port: of.port };
  switch (said.form) {
    case 'tag':
      return { ...facts, mesh: of.mesh || (said.tags['mesh'] ?? clusterMesh), destination: said.service, isMeshExternal: false };
    case 'hash':
      return {
        ...facts,
        mesh: of.mesh || whole(said.mesh, clusterMesh),
        destination: whole(said.name, clusterName),
        isMeshExternal: said.kind === 'mes',
      };
    case 'kri':
      return { ...facts, mesh: of.mesh || said.mesh, destination: said.name, isMeshExternal: said.kind === 'extsvc' };
    case 'other':
      return { ...facts, mesh: of.mesh || clusterMesh, destination: of.chain || of.cluster || name, isMeshExternal: false };
    default:
      return said satisfies never;
  }
}

function passthrough(facts: Facts, filters: ChainFilters, unsupported: readonly string[]): Route {
  const { protocol, rbac } = filters;
  const reasons = [...unsupported];
  if (protocol === 'http') reasons.push('it speaks HTTP where the mTLS does not end');
  const permissions = rbac.flatMap((filter) => filterPermission(filter, facts).permission ?? []);
  if (permissions.some(({ kind }) => kind !== 'allow-all')) reasons.push('it authorises clients whose mTLS does not end here');
  return { kind: 'passthrough', ...base(facts, filters, reasons), subset: {} };
}

function terminate(
  facts: Facts,
  filters: ChainFilters,
  { unsupported, remarks }: { readonly unsupported: readonly string[]; readonly remarks: string[] },
): TerminateRoute {
  const { protocol, rbac, rateLimit, http, matched } = filters;
  const faults = matchedFaults(matched, facts);
  const all: Permission[] = [];
  for (const filter of rbac) {
    const { permission, remarks: said } = filterPermission(filter, facts);
    remarks.push(...said);
    if (permission === null) continue;
    if (all.some((other) => sameValue(other, permission))) remarks.push('it has the same authorisation filter more than once');
    else all.push(permission);
  }
  const limited = rateLimit === null ? {} : { rateLimit };
  return {
    kind: 'terminate',
    ...base(facts, filters, [...unsupported, ...faults.unsupported]),
    permission: permissionOf(all, facts),
    protocol,
    ...(http === null ? {} : { http: withFaults(http, faults.faults) }),
    ...limited,
  };
}

/** Returns the faults that a client of this server name may meet, each with its clients. */
function matchedFaults(
  matched: ChainFilters['matched'],
  facts: Facts,
): { readonly faults: readonly HttpFault[]; readonly unsupported: readonly string[] } {
  const faults: HttpFault[] = [];
  for (const { fault, matcher } of matched) {
    try {
      const principal = unskipped(matcher, facts);
      if (isNobody(principal)) continue;
      const clients: SenderRule[] = [
        ...(fault.clients ?? []),
        ...(principal.kind === 'any' ? [] : [{ kind: 'client', principal } as const]),
      ];
      faults.push({ ...fault, ...(clients.length === 0 ? {} : { clients }) });
    } catch (error) {
      if (!(error instanceof NotEvaluable)) throw error;
      return { faults: [], unsupported: ['it has a fault for certain clients, by a matcher that is not evaluated'] };
    }
  }
  return { faults, unsupported: [] };
}

function withFaults(http: HttpRoute, more: readonly HttpFault[]): HttpRoute {
  const faults = [...(http.faults ?? []), ...more];
  return faults.length === 0 ? http : { ...http, faults };
}

function permissionOf(all: readonly Permission[], { mesh }: Facts): Permission {
  const [first, ...more] = all;
  // Kuma always sends an authorisation filter. Without one, every client with a certificate of the
  // mesh is allowed, as in Envoy.
  if (first === undefined) return { kind: 'allow-all', by: `no authorisation filter in mesh ${mesh}` };
  return more.length === 0 ? first : { kind: 'all-of', by: [...new Set(all.map(({ by }) => by))].join(' and '), all };
}

function base(
  { serverName: name, mesh, destination }: Facts,
  { cluster, idleMs, accessLogs }: Pick<ChainFilters, 'cluster' | 'idleMs' | 'accessLogs'>,
  reasons: readonly string[],
): Pick<Route, 'serverName' | 'mesh' | 'destination' | 'cluster' | 'idleMs' | 'unsupported' | 'accessLogs'> {
  const logs = logsFor(accessLogs, name);
  const unsupported = reasons.length === 0 ? {} : { unsupported: [...new Set(reasons)].join('; ') };
  return {
    serverName: serverName(name),
    mesh: meshName(mesh),
    destination,
    cluster,
    ...(idleMs === null ? {} : { idleMs }),
    ...(logs.length === 0 ? {} : { accessLogs: logs }),
    ...unsupported,
  };
}
