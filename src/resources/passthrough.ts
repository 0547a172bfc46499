import type { Endpoint } from '../model/cluster.ts';
import type { AbsentReason, Origin } from '../model/compiled.ts';
import { meshName, serverName } from '../model/names.ts';
import { encodeTagSni } from '../wire/sni.ts';
import { addAbsent, addCluster, addRoute, CONNECT_TIMEOUT_MS } from './context.ts';
import type { Context } from './context.ts';
import type { Destinations } from './destinations.ts';
import { endpointAddress, endpointTags, localityPriority } from './endpoints.ts';
import type { AvailableService, ZoneIngress } from './kinds/zone-ingress.ts';
import type { MeshPolicies } from './policies/mesh-policies.ts';
import type { MeshResources } from './resource-set.ts';
import { MATCH_ALL, SERVICE_TAG, ZONE_TAG } from './tags.ts';

/** A service that the ingresses of other zones offer. */
export interface RemoteService {
  readonly offers: readonly Offer[];
  readonly at: Origin;
}

interface Offer {
  readonly ingress: ZoneIngress;
  readonly service: AvailableService;
}

/** Mesh -> service -> its offers. */
export type ServicesByMesh = ReadonlyMap<string, ReadonlyMap<string, RemoteService>>;

/**
 * Lists what the ingresses of other zones offer. The ingresses come sorted by name. Of several with
 * one address the first that has services counts, because an ingress that just started has none
 * yet.
 */
export function servicesByMesh(ingresses: readonly ZoneIngress[], context: Context): ServicesByMesh {
  const { zone, findings } = context;
  const byMesh = new Map<string, Map<string, { offers: Offer[]; at: Origin }>>();
  const seen = new Set<string>();
  for (const ingress of ingresses) {
    const { meta, advertisedAddress, advertisedPort, services } = ingress;
    const broken = ingress.findings.broken();
    if (broken !== null) {
      tellAbsent(context, ingress, 'invalid', broken);
      continue;
    }
    if (ingress.zone === '') {
      findings.warn(meta.at, 'zone', 'is not set: this ingress is not known to be in another zone, so nothing is sent to it');
      tellAbsent(context, ingress, 'cannot-be-reached', 'zone');
      continue;
    }
    if (ingress.zone === zone) {
      tellAbsent(context, ingress, 'this-zone-only', '');
      continue;
    }
    if (advertisedAddress === '' || advertisedPort === 0) {
      tellAbsent(context, ingress, 'cannot-be-reached', 'networking.advertisedAddress');
      findings.warn(meta.at, 'networking.advertisedAddress', 'is not set: this ingress cannot be reached from other zones');
      continue;
    }
    if (services.length === 0) {
      findings.warn(meta.at, 'availableServices', 'is empty: nothing is sent to this ingress');
      continue;
    }
    const address = `${advertisedAddress}:${advertisedPort}`;
    if (seen.has(address)) continue;
    seen.add(address);
    for (const service of services) {
      const name = service.tags.get(SERVICE_TAG) ?? '';
      if (service.mesh === '') {
        findings.warn(service.at, `${service.path}.mesh`, 'is not set: no mesh has this service');
        continue;
      }
      if (service.instances === 0) findings.warn(service.at, `${service.path}.instances`, 'is not set: taken for 1');
      const ofMesh = byMesh.get(service.mesh) ?? new Map<string, { offers: Offer[]; at: Origin }>();
      byMesh.set(service.mesh, ofMesh);
      const known = ofMesh.get(name);
      if (known === undefined) ofMesh.set(name, { offers: [{ ingress, service }], at: service.at });
      else known.offers.push({ ingress, service });
    }
  }
  return byMesh;
}

function tellAbsent(context: Context, { meta, services }: ZoneIngress, reason: AbsentReason, value: string): void {
  for (const { tags, mesh, at } of services) {
    const destination = tags.get(SERVICE_TAG) ?? '';
    if (mesh !== '') addAbsent(context, { reason, resource: `ZoneIngress ${meta.name}`, mesh, destination, value }, at);
  }
}

/**
 * Adds the routes of one remote service: one for each tag set that clients may ask for, all to one
 * cluster.
 */
export function addPassthrough(
  context: Context,
  { mesh }: MeshResources,
  service: string,
  { offers, at }: RemoteService,
  destinations: Destinations,
  policies: MeshPolicies,
): void {
  const sets = destinations.of(service);
  const name = meshName(mesh.meta.name);
  if (sets.length === 0) {
    const resource = `ZoneIngress ${offers[0]?.ingress.meta.name ?? ''}`;
    addAbsent(context, { reason: 'no-traffic-route', resource, mesh: name, destination: service, value: '' }, at);
    return;
  }
  const cluster = `${name}:${service}`;
  const endpoints = offers.flatMap((offer) => endpointOf(context, offer, mesh.meta.name, mesh.localityAware) ?? []);
  const made = { name: cluster, endpoints, connectTimeoutMs: CONNECT_TIMEOUT_MS };
  if (!addCluster(context, policies.ofService(service, made), at)) return;
  const relevant = relevanceOf(offers);
  for (const tags of sets) {
    const sni = encodeTagSni({ ...Object.fromEntries(tags), [SERVICE_TAG]: service, mesh: name });
    const subset = Object.fromEntries([...tags].filter(([tag, value]) => tag !== 'mesh' && relevant(tag, value)));
    addRoute(
      context,
      { kind: 'passthrough', serverName: serverName(sni), mesh: name, destination: service, cluster, subset },
      at,
    );
  }
}

function endpointOf(context: Context, { ingress, service }: Offer, mesh: string, localityAware: boolean): Endpoint | null {
  const address = endpointAddress(ingress.advertisedAddress, context.family);
  if (address === null) return null;
  const zone = service.tags.get(ZONE_TAG);
  return {
    address,
    port: ingress.advertisedPort,
    weight: Math.max(1, service.instances),
    // Kuma uses only the tag here.
    priority: localityAware ? localityPriority(zone, context.zone) : 0,
    zone: zone ?? ingress.zone,
    tags: endpointTags(service.tags, mesh),
    tls: null,
  };
}

/**
 * Makes a test whether a tag changes the set of addresses. Two versions behind one ingress do not,
 * and splitting on them here would only keep an address from being used. The SNI keeps all tags;
 * the ingress chooses by them.
 */
function relevanceOf(offers: readonly Offer[]): (tag: string, value: string) => boolean {
  const all = new Set<string>();
  const byTag = new Map<string, Set<string>>();
  for (const { ingress, service } of offers) {
    const address = `${ingress.advertisedAddress}:${ingress.advertisedPort}`;
    all.add(address);
    for (const [tag, value] of service.tags) {
      const key = JSON.stringify([tag, value]);
      const addresses = byTag.get(key) ?? new Set<string>();
      byTag.set(key, addresses.add(address));
    }
  }
  return (tag, value) => value !== MATCH_ALL && (byTag.get(JSON.stringify([tag, value]))?.size ?? 0) < all.size;
}
