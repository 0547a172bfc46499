import type { Target } from './candidates.ts';

/** The endpoints of one locality within a priority. */
export interface Locality {
  readonly usable: Target[];
  /**
   * The locality's weight times its availability: the share of usable endpoints times the
   * overprovisioning factor, at most 1.
   */
  readonly effectiveWeight: number;
}

/**
 * Groups targets by the name of their locality, or by their zone where no locality is given. Leaves
 * out empty localities.
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
 * Returns each endpoint's share of its locality's weight, for consistent hashing, which puts all
 * localities on one ring. Envoy ignores availability here.
 */
export function weightsByLocality(usable: readonly Target[]): number[] {
  const sums = new Map<string, number>();
  for (const { endpoint } of usable) sums.set(nameOf(endpoint), (sums.get(nameOf(endpoint)) ?? 0) + endpoint.weight);
  return usable.map(({ endpoint }) => ((endpoint.localityWeight ?? 0) * endpoint.weight) / (sums.get(nameOf(endpoint)) ?? 1));
}

function nameOf({ locality, zone }: Target['endpoint']): string {
  return locality ?? zone;
}
