import type { EndpointAddress } from '../model/cluster.ts';
import { hostKind } from './hosts.ts';
import { SERVICE_TAG } from './tags.ts';
import type { Tags } from './tags.ts';

/** Null where the host is neither an address nor a name, which its resource has reported. */
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

/** Envoy's `envoy.lb` metadata: what subsets are chosen by. */
export function endpointTags(
  tags: Tags,
  mesh: string,
  more: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  return { ...Object.fromEntries([...tags].filter(([tag]) => tag !== SERVICE_TAG)), ...more, mesh };
}

/**
 * The priority of an endpoint in a mesh that keeps traffic in the zone: without a zone it counts as
 * here.
 */
export function localityPriority(zone: string | undefined, here: string): 0 | 1 {
  return zone === undefined || zone === here ? 0 : 1;
}
