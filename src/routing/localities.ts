import type { Target } from './candidates.ts';

/** The endpoints of one locality within a priority. */
export interface Locality {
  readonly usable: Target[];
  /**
   * The locality's weight, by how much of it is available: times overprovisioned share of usable
   * endpoints, at most 1.
   */
  readonly effectiveWeight: number;
}

/**
 * By the name of the locality, which is the zone where none is given. Empty localities are left
 * out.
 */
export function localities(
  level: { readonly all: readonly Target[]; readonly usable: readonly Target[] },
  overprovisioningFactor: number,
): Locality[] {
  const counts = new Map<string, { all: number; usable: Target[]; weight: number }>();
  for (const { endpoint } of level.all) {
    const found = counts.get(nameOf(endpoint));
    if (found === undefined) counts.set(nameOf(endpoint), { all: 1, usable: [], weight: endpoint.localityWeight ?? 0 });
    else found.all++;
  }
  for (const target of level.usable) counts.get(nameOf(target.endpoint))?.usable.push(target);
  return [...counts.values()]
    .filter(({ usable }) => usable.length > 0)
    .map(({ all, usable, weight }) => ({
      usable,
      effectiveWeight: weight * Math.min(1, (overprovisioningFactor * usable.length) / all),
    }));
}

/**
 * For consistent hashing, which places all localities on one ring: the endpoint's share of its
 * locality's weight. Envoy does not look at availability here.
 */
export function weightsByLocality(usable: readonly Target[]): number[] {
  const sums = new Map<string, number>();
  for (const { endpoint } of usable) sums.set(nameOf(endpoint), (sums.get(nameOf(endpoint)) ?? 0) + endpoint.weight);
  return usable.map(({ endpoint }) => ((endpoint.localityWeight ?? 0) * endpoint.weight) / (sums.get(nameOf(endpoint)) ?? 1));
}

function nameOf({ locality, zone }: Target['endpoint']): string {
  return locality ?? zone;
}
