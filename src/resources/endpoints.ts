import type { EndpointAddress } from '../model/cluster.ts';
import { hostKind } from './hosts.ts';
import { SERVICE_TAG } from './tags.ts';
import type { Tags } from './tags.ts';

/**
 * Returns null where the host is neither an address nor a name; the reader of its resource has
 * reported it.
 */
export function endpointAddress(host: string, family: 'v4' | 'any'): EndpointAddress | null {
  switch (hostKind(host)) {
    case 'ip':
      return { kind: 'ip', ip: host };
    case 'name':
      return { kind: 'name', name: host, family };
    default:
      return null;
  }
}

/** Returns the tags that choose a subset: Envoy's `envoy.lb` metadata. */
export function endpointTags(
  tags: Tags,
  mesh: string,
  more: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  return { ...Object.fromEntries([...tags].filter(([tag]) => tag !== SERVICE_TAG)), ...more, mesh };
}

/**
 * Returns the priority of an endpoint in a mesh that keeps traffic in the zone. An endpoint without
 * a zone counts as local.
 */
export function localityPriority(zone: string | undefined, here: string): 0 | 1 {
  return zone === undefined || zone === here ? 0 : 1;
}
