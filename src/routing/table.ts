import { columns } from '../base/columns.ts';
import type { Cluster, Endpoint, TlsOrigination } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { Permission, PermissionRule, Principal } from '../model/permission.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';

/**
 * The routing of a snapshot as people and their scripts read it. Nothing in it is secret: a
 * snapshot has no secrets.
 */
export interface RoutingTable {
  readonly version: string;
  readonly zone: string;
  /** Keyed by mesh, then by SNI. */
  readonly routes: readonly RouteRow[];
}

export interface RouteRow {
  readonly sni: string;
  readonly mesh: string;
  readonly destination: string;
  readonly mode: Route['kind'];
  /** Endpoints that the route admits. */
  readonly endpoints: readonly EndpointRow[];
  readonly who: string;
  /** The name of what decides; empty where this egress does not decide. */
  readonly by: string;
  readonly tls: string;
}

interface EndpointRow {
  readonly address: string;
  readonly weight: number;
  readonly priority: number;
  readonly zone: string;
}

export function routingTable({ version, zone, routes, clusters }: Snapshot): RoutingTable {
  const rows = [...routes.values()].map((route) => rowOf(route, clusters.get(route.cluster)));
  return { version, zone, routes: rows.sort(byMeshAndSni) };
}

function rowOf(route: Route, cluster: Cluster | undefined): RouteRow {
  const { serverName: sni, mesh, destination, kind: mode } = route;
  const all = cluster?.endpoints ?? [];
  const why = route.unsupported ?? cluster?.broken;
  const refused = why === undefined ? null : `no client: ${why}`;
  if (route.kind === 'passthrough') {
    const subset = Object.entries(route.subset);
    const admitted = all.filter(({ tags }) => subset.every(([tag, value]) => tags[tag] === value));
    const [who, tls] = [refused ?? 'the other zone decides', "the client's own"];
    return { sni, mesh, destination, mode, endpoints: admitted.map(endpointRow), who, by: '', tls };
  }
  const { permission } = route;
  const origination = [...new Set(all.map((endpoint) => tlsText(endpoint.tls)))];
  const tls = origination.length === 0 ? 'none' : origination.join('; ');
  return {
    sni,
    mesh,
    destination,
    mode,
    endpoints: all.map(endpointRow),
    who:
      refused ?? (route.reportOnly === true ? `report-only, every client passes: ${whoText(permission)}` : whoText(permission)),
    by: permission.by,
    tls,
  };
}

function endpointRow({ address, port, weight, priority, zone }: Endpoint): EndpointRow {
  return { address: address.kind === 'ip' ? addressKey(address.ip, port) : `${address.name}:${port}`, weight, priority, zone };
}

function whoText(permission: Permission): string {
  switch (permission.kind) {
    case 'allow-all':
      return 'every client of the mesh';
    case 'deny-all':
      return 'no client';
    case 'unsupported':
      return `no client: ${permission.why}`;
    case 'all-of':
      return permission.all.map((part) => `(${whoText(part)})`).join(' and ');
    case 'rules':
      return permission.rules.length === 0 ? 'no client' : permission.rules.map(ruleText).join('; ');
    default:
      return permission satisfies never;
  }
}

function ruleText({ action, principal }: PermissionRule): string {
  const clients = principalText(principal);
  return action === 'allow' ? clients : action === 'deny' ? `not ${clients}` : `${clients} (shadow deny)`;
}

function principalText(principal: Principal): string {
  switch (principal.kind) {
    case 'any':
      return 'every client';
    case 'uri-list':
      return `only ${principal.value}${principal.match === 'prefix' ? '*' : ''}`;
    case 'uri':
      return principal.match === 'prefix' ? `${principal.value}*` : principal.value;
    case 'and':
      return principal.all.map(principalText).join(' and ');
    case 'or':
      return `(${principal.any.map(principalText).join(' or ')})`;
    case 'not':
      return `not (${principalText(principal.not)})`;
    default:
      return principal satisfies never;
  }
}

export function tlsText(tls: TlsOrigination | null): string {
  if (tls === null) return 'none';
  const name = tls.serverName === null ? 'TLS' : `TLS to ${tls.serverName}`;
  const client = tls.clientCertificate === null ? '' : ', client certificate';
  switch (tls.trust.kind) {
    case 'none':
      return `${name}, not verified${client}`;
    case 'system':
    case 'bundle':
      return `${name}, ${tls.trust.kind === 'system' ? 'system CAs' : 'own CA'}${tls.names === null ? ', any name' : ''}${client}`;
    default:
      return tls.trust satisfies never;
  }
}

function byMeshAndSni(a: RouteRow, b: RouteRow): number {
  if (a.mesh !== b.mesh) return a.mesh < b.mesh ? -1 : 1;
  return a.sni < b.sni ? -1 : a.sni > b.sni ? 1 : 0;
}

const HEAD = ['SNI', 'MESH', 'DESTINATION', 'MODE', 'ENDPOINTS', 'WHO MAY', 'TLS'];
/** The most entries of a list in a cell. */
const NAMED = 3;

/** Writes columns, one route a line. */
export function tableText({ routes }: RoutingTable): string {
  return columns([HEAD, ...routes.map(cells)]);
}

function cells({ sni, mesh, destination, mode, endpoints, who, tls }: RouteRow): readonly string[] {
  const named = endpoints.slice(0, NAMED).map(endpointText);
  const more = endpoints.length > NAMED ? [`${endpoints.length - NAMED} more`] : [];
  const addresses = endpoints.length === 0 ? 'none' : [...named, ...more].join(', ');
  const rules = who.split('; ');
  const some = rules.length > NAMED ? `${rules.slice(0, NAMED).join('; ')}; ${rules.length - NAMED} more` : who;
  return [sni, mesh, destination, mode, addresses, some, tls];
}

function endpointText({ address, weight, priority }: EndpointRow): string {
  return `${address}${weight === 1 ? '' : ` x${weight}`}${priority === 0 ? '' : ` p${priority}`}`;
}
