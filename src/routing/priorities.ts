/**
 * Facts that decide how traffic is spread over the priorities of a cluster. Endpoints that take no
 * traffic are not counted.
 */
export interface Availability {
  readonly endpoints: number;
  readonly healthy: number;
}

export interface Share {
  /** Percent of the traffic, a whole number; the loads of all levels add up to 100. */
  readonly load: number;
  /** True when traffic goes to all endpoints of this priority, healthy or not. */
  readonly panic: boolean;
}

/**
 * Computes Envoy's priority levels, most preferred first. Each takes as much as its availability
 * allows (healthy share times overprovisioning, at most 100 %); the rest spills over to the next. A
 * level below the panic threshold panics only where all levels together do not reach 100 %; where
 * all panic, traffic follows the number of endpoints. Whole percents and their rounding are
 * Envoy's. Empty levels have no effect.
 */
export function shares(
  levels: readonly Availability[],
  settings: { readonly overprovisioningFactor: number; readonly panicThresholdPercent: number },
): Share[] {
  const available = levels.map((level) => availability(level, settings.overprovisioningFactor));
  const total = cappedSum(available);
  const threshold = Math.min(100, Math.round(settings.panicThresholdPercent));
  if (total === 0 && threshold === 0) return levels.map((_, i) => ({ load: i === 0 ? 100 : 0, panic: false }));
  const panics = levels.map(
    ({ endpoints, healthy }) => total < 100 && (endpoints === 0 ? 0 : (100 * healthy) / endpoints) < threshold,
  );
  const loads = loadsOf(levels, available, panics);
  return levels.map((_, i) => ({ load: loads[i] ?? 0, panic: panics[i] ?? false }));
}

function loadsOf(levels: readonly Availability[], available: readonly number[], panics: readonly boolean[]): number[] {
  if (panics.every((panic) => panic)) return percents(levels.map(({ endpoints }) => endpoints));
  if (available.some((each) => each > 0)) return spill(available);
  // With a very low threshold no level panics, and yet so few endpoints are healthy that their
  // share rounds to 0.
  return spill(levels.map(({ healthy }) => Math.min(healthy, 1)));
}

/** Finds the level for a number from 0 to 99. */
export function levelAt(list: readonly Share[], percent: number): number {
  let upTo = 0;
  for (const [i, { load }] of list.entries()) {
    upTo += load;
    if (percent < upTo) return i;
  }
  return 0;
}

function availability({ endpoints, healthy }: Availability, factor: number): number {
  if (endpoints === 0) return 0;
  // Envoy keeps the factor as whole percents, and divides whole numbers.
  return Math.min(100, Math.floor((Math.round(factor * 100) * healthy) / endpoints));
}

/** The first level with any share takes the remainder of rounding. */
function spill(available: readonly number[]): number[] {
  const total = cappedSum(available);
  let left = 100;
  const loads = available.map((each) => {
    const load = Math.min(left, Math.floor((each * 100) / total));
    left -= load;
    return load;
  });
  return withRest(loads, available, left);
}

function cappedSum(available: readonly number[]): number {
  return Math.min(
    100,
    available.reduce((sum, each) => sum + each, 0),
  );
}

function percents(counts: readonly number[]): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const loads = counts.map((count) => (total === 0 ? 0 : Math.floor((100 * count) / total)));
  const left = 100 - loads.reduce((sum, load) => sum + load, 0);
  return withRest(loads, counts, left);
}

function withRest(loads: number[], of: readonly number[], left: number): number[] {
  const first = Math.max(
    0,
    of.findIndex((each) => each > 0),
  );
  return loads.map((load, i) => (i === first ? load + left : load));
}
