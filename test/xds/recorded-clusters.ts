import type { JsonValue, Registry } from '@bufbuild/protobuf';
import { fromJson } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { adsResources } from '../kuma/ads-state.ts';
import type { Named } from '../kuma/from-envoy.ts';
import { TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import { acceptAssignment, acceptCluster } from '../../src/xds/accept/accept-cluster.ts';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';

export interface AcceptedCluster {
  readonly cluster: Cluster;
  readonly assignment: ClusterLoadAssignment | undefined;
  readonly remarks: readonly string[];
}

/**
 * Returns clusters as they were sent, except those of the proxy itself, by the name of the
 * resource; a refused one is an error.
 */
export function acceptedClusters(resources: readonly Named[], registry: Registry): ReadonlyMap<string, AcceptedCluster> {
  const anys = resources.map(({ name, resource }) => ({ name, any: fromJson(AnySchema, resource as JsonValue, { registry }) }));
  const ofType = (type: 'cluster' | 'endpoint'): readonly { readonly name: string; readonly any: Any }[] =>
    anys.filter(({ any }) => any.typeUrl === TYPE_URLS[type]);
  const assignments = new Map<string, ClusterLoadAssignment>();
  for (const { any } of ofType('endpoint')) {
    const accepted = acceptAssignment(any);
    if (accepted.kind === 'refused') throw new Error(`${accepted.name}: ${accepted.why}`);
    assignments.set(accepted.name, accepted.resource);
  }
  const clusters = new Map<string, AcceptedCluster>();
  for (const { name, any } of ofType('cluster')) {
    const accepted = acceptCluster(any);
    if (accepted.kind === 'refused') throw new Error(`${accepted.name}: ${accepted.why}`);
    if (/^(?:kuma:|system_)/.test(accepted.name)) continue;
    clusters.set(name, { cluster: accepted.resource, assignment: assignments.get(accepted.name), remarks: accepted.remarks });
  }
  return clusters;
}

/** Returns what an egress has after the message with this number. */
export function clustersAfter(folder: URL, until: number, registry: Registry): ReadonlyMap<string, AcceptedCluster> {
  return acceptedClusters(adsResources(folder, until), registry);
}
