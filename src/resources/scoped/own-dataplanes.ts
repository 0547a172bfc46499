import { quote } from '../../base/key-material.ts';
import type { ListenerPlace } from '../../model/compiled.ts';
import type { Findings } from '../findings.ts';
import type { DataplaneDefinition } from '../kinds/dataplane.ts';
import type { ResourceSet } from '../resource-set.ts';
import { ZONE_TAG } from '../tags.ts';

/** Returns the Dataplanes with a ZoneEgress listener, by mesh and then by name. */
export function egressDataplanes({ meshes }: ResourceSet, name: string | undefined): readonly DataplaneDefinition[] {
  const all = meshes.flatMap(({ dataplanes }) => dataplanes.filter(({ egresses }) => egresses.length > 0));
  const named = all.filter(({ meta }) => meta.name === name || meta.displayName === name);
  return named.length > 0 ? named : all;
}

/** Returns the zone of their labels, where they agree. */
export function zoneOfDataplanes(dataplanes: readonly DataplaneDefinition[]): string {
  const zones = new Set(dataplanes.flatMap(({ meta }) => meta.labels.get(ZONE_TAG) ?? []));
  const [zone = ''] = zones;
  return zones.size === 1 ? zone : '';
}

/** Leaves out those of other zones, which is reported. */
export function ofZone(
  dataplanes: readonly DataplaneDefinition[],
  zone: string,
  findings: Findings,
): readonly DataplaneDefinition[] {
  return dataplanes.filter(({ meta }) => {
    const own = meta.labels.get(ZONE_TAG) ?? zone;
    if (own !== zone)
      findings.warn(meta.at, `labels["${ZONE_TAG}"]`, `is ${quote(own)}, and this zone is ${quote(zone)}: not served`);
    return own === zone;
  });
}

/**
 * Returns each place once: several Dataplanes may share one, and are distinguished by the SNI of
 * their clients.
 */
export function placesOf(dataplanes: readonly DataplaneDefinition[]): readonly ListenerPlace[] {
  const places = dataplanes.flatMap(({ meta, egresses }) =>
    egresses.map(({ address, port }) => ({ name: `${meta.mesh}.${meta.name}`, address, port })),
  );
  const keys = places.map(({ address, port }) => `${address} ${port}`);
  return places.filter((_, i) => keys.indexOf(keys[i] ?? '') === i);
}
