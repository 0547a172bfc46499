import type { JsonObject } from '@bufbuild/protobuf';
import { sameValue } from '../../model/changes.ts';
import type { Endpoint, EndpointAddress, TlsOrigination } from '../../model/cluster.ts';
import { hostKind } from '../../resources/hosts.ts';
import type { Address } from '#envoy/config/core/v3/address_pb.js';
import type { Locality, Metadata } from '#envoy/config/core/v3/base_pb.js';
import { HealthStatus } from '#envoy/config/core/v3/health_check_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { LbEndpoint, LocalityLbEndpoints } from '#envoy/config/endpoint/v3/endpoint_components_pb.js';

/** How the connection to an endpoint is made. */
export type Socket =
  | { readonly kind: 'plain' }
  | { readonly kind: 'tls'; readonly tls: TlsOrigination }
  | { readonly kind: 'unusable'; readonly why: string };

/** The sockets of a cluster; an endpoint uses the first whose match is part of its metadata. */
export interface SocketMatches {
  readonly matches: readonly { readonly match: JsonObject; readonly socket: () => Socket }[];
  readonly otherwise: () => Socket;
}

export interface EndpointsRead {
  readonly endpoints: readonly Endpoint[];
  readonly remarks: readonly string[];
  /** Why all of the matches cannot be used; null where one can, or there are none. */
  readonly unusable: string | null;
}

/** `family`: the address family for names; null where an assignment has only addresses. */
export function readEndpoints(
  assignment: ClusterLoadAssignment | undefined,
  sockets: SocketMatches,
  family: 'v4' | 'any' | null,
): EndpointsRead {
  const endpoints: Endpoint[] = [];
  const remarks = new Set<string>();
  const unusable = new Set<string>();
  const groups = assignment?.endpoints ?? [];
  const names = localityNames(groups);
  for (const [i, group] of groups.entries()) {
    if (group.lbConfig.case !== undefined) remarks.add('endpoints that are sent apart from their assignment are not asked for');
    for (const item of group.lbEndpoints) {
      const found = read(item, group, { sockets, family, locality: names[i] });
      if (found.kind === 'endpoint') endpoints.push(found.endpoint);
      else if (found.kind === 'unusable') unusable.add(found.why);
      else remarks.add(found.why);
    }
  }
  if ((assignment?.policy?.dropOverloads.length ?? 0) > 0) remarks.add('its share of connections to drop is not dropped');
  const why = [...unusable].join('; ');
  // Endpoints that were left out for their TLS are never used in another way; the others are not
  // affected.
  if (why !== '' && endpoints.length > 0) remarks.add(`endpoints that cannot be spoken to are left out: ${why}`);
  return { endpoints, remarks: [...remarks], unusable: why !== '' && endpoints.length === 0 ? why : null };
}

type Found =
  | { readonly kind: 'endpoint'; readonly endpoint: Endpoint }
  | { readonly kind: 'unusable'; readonly why: string }
  | { readonly kind: 'left-out'; readonly why: string };

interface Surroundings {
  readonly sockets: SocketMatches;
  readonly family: 'v4' | 'any' | null;
  readonly locality: string | undefined;
}

function read(item: LbEndpoint, group: LocalityLbEndpoints, { sockets, family, locality }: Surroundings): Found {
  const { hostIdentifier, healthStatus, metadata, loadBalancingWeight } = item;
  if (hostIdentifier.case !== 'endpoint') return leftOut('an endpoint has no address');
  const place = placeOf(hostIdentifier.value.address, family);
  if (typeof place === 'string') return leftOut(place);
  if (UNHEALTHY.has(healthStatus))
    return leftOut(
      `endpoints that the control plane knows to be ${(HealthStatus[healthStatus] ?? '').toLowerCase()} are left out`,
    );
  const socket = socketOf(sockets, metadata, group.metadata);
  if (socket.kind === 'unusable') return socket;
  const weight = group.loadBalancingWeight;
  return {
    kind: 'endpoint',
    endpoint: {
      ...place,
      weight: loadBalancingWeight ?? 1,
      priority: group.priority,
      zone: group.locality?.zone ?? '',
      ...(locality === undefined ? {} : { locality }),
      ...(weight === undefined ? {} : { localityWeight: weight }),
      tags: tagsOf(metadata),
      tls: socket.kind === 'tls' ? socket.tls : null,
    },
  };
}

function leftOut(why: string): Found {
  return { kind: 'left-out', why };
}

const UNHEALTHY: ReadonlySet<HealthStatus> = new Set([HealthStatus.UNHEALTHY, HealthStatus.DRAINING, HealthStatus.TIMEOUT]);

/** Returns the address, or the reason why it cannot be connected to. */
function placeOf(
  address: Address | undefined,
  family: 'v4' | 'any' | null,
): { readonly address: EndpointAddress; readonly port: number } | string {
  const socket = address?.address;
  if (socket?.case !== 'socketAddress') return `an endpoint is a ${socket?.case ?? 'place without an address'}`;
  const { address: host, portSpecifier, resolverName } = socket.value;
  if (resolverName !== '') return `an endpoint has a resolver of its own: ${resolverName}`;
  if (portSpecifier.case !== 'portValue') return `the port of ${host} is ${portSpecifier.value ?? 'not sent'}`;
  const port = portSpecifier.value;
  if (port === 0) return `the port of ${host} is 0`;
  switch (hostKind(host)) {
    case 'ip':
      return { address: { kind: 'ip', ip: host }, port };
    case 'name':
      return family === null ? `${host} is no address` : { address: { kind: 'name', name: host, family }, port };
    case null:
      return `${JSON.stringify(host)} is neither an address nor a name`;
  }
}

/**
 * Returns names of the localities where the zone alone does not distinguish those of one priority;
 * otherwise undefined, and the zone is the name.
 */
function localityNames(groups: readonly LocalityLbEndpoints[]): readonly (string | undefined)[] {
  const whole = groups.map(({ locality, priority }) => ({ zone: `${priority} ${locality?.zone ?? ''}`, name: nameOf(locality) }));
  return whole.map(({ zone, name }) => (whole.some((other) => other.zone === zone && other.name !== name) ? name : undefined));
}

function nameOf(locality: Locality | undefined): string {
  return [locality?.region ?? '', locality?.zone ?? '', locality?.subZone ?? ''].join('/');
}

/** Kuma's values are texts; any other value is compared in its written form. */
function tagsOf(metadata: Metadata | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(metadata?.filterMetadata['envoy.lb'] ?? {}).map(([tag, value]) => [
      tag,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
}

const SOCKET_MATCH = 'envoy.transport_socket_match';

/** Matches the endpoint's own metadata, then that of its locality. */
function socketOf({ matches, otherwise }: SocketMatches, own: Metadata | undefined, locality: Metadata | undefined): Socket {
  for (const metadata of [own, locality]) {
    const labels = metadata?.filterMetadata[SOCKET_MATCH] ?? {};
    const found = matches.find(({ match }) =>
      Object.entries(match).every(([label, value]) => label in labels && sameValue(labels[label], value)),
    );
    if (found !== undefined) return found.socket();
  }
  return otherwise();
}
