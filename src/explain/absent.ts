import type { Absent } from '../model/compiled.ts';
import { inFile } from './trace.ts';
import type { Advice } from './trace.ts';

/** Says why a written destination is not served. */
export function absentText(absent: Absent): string {
  const { destination, mesh, resource, value } = absent;
  const where = inFile(absent);
  switch (absent.reason) {
    case 'mesh-without-mtls':
      return `${destination} is there, but mesh ${mesh} has no mTLS: nothing of it is served${where}`;
    case 'zone-egress-disabled':
      return `another zone offers ${destination}, but routing.zoneEgress of mesh ${mesh} is not enabled${where}`;
    case 'this-zone-only':
      return `only this zone offers ${destination}: its clients go there without an egress${where}`;
    case 'other-zone':
      return `${destination} is reachable from zone ${value} only${where}`;
    case 'cannot-be-reached':
      return `${resource} offers ${destination}, but its ${value} is not set${where}`;
    case 'no-traffic-route':
      return `no TrafficRoute of mesh ${mesh} leads to ${destination}${where}`;
    case 'incomplete':
      return `${resource} lacks ${value}${where}`;
    case 'invalid':
      return `${resource} has ${destination}, but cannot be used: ${value}${where}`;
    default:
      return absent.reason satisfies never;
  }
}

/** Says what to change to have it served. */
export function absentAdvice(absent: Absent): Advice {
  const { file, line, column, resource } = absent;
  return { text: `${changeOf(absent)}${inFile(absent)}`, resource, place: { file, line, column } };
}

function changeOf({ reason, destination, mesh, resource, value }: Absent): string {
  switch (reason) {
    case 'mesh-without-mtls':
      return `enable mtls in ${resource}`;
    case 'zone-egress-disabled':
      return `set routing.zoneEgress: true in ${resource}`;
    case 'this-zone-only':
      return `call ${destination} directly, or have the ZoneIngress of another zone offer it in mesh ${mesh}`;
    case 'other-zone':
      return `remove the tag kuma.io/zone: ${value} of ${resource}, or have a ZoneIngress of zone ${value} offer ${destination}`;
    case 'cannot-be-reached':
      return `set ${value} in ${resource}`;
    case 'no-traffic-route':
      return `add a TrafficRoute in mesh ${mesh} with the destination kuma.io/service: ${destination}`;
    case 'incomplete':
      return `give ${resource} ${value}`;
    case 'invalid':
      return `mend ${resource}`;
    default:
      return reason satisfies never;
  }
}
