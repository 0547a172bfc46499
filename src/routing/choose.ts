import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import { BALANCING_DEFAULTS } from '../model/cluster.ts';
import type { Balancer, Cluster } from '../model/cluster.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { Route } from '../model/route.ts';
import { drawRest, draws } from './balancers/draws.ts';
import { samePool, weighted } from './balancers/pool.ts';
import type { PickFacts } from './balancers/pool.ts';
import { hashes, order } from './balancers/table.ts';
import { modulo } from './balancers/word-64.ts';
import { candidates, noCandidates } from './candidates.ts';
import type { Level, Target } from './candidates.ts';
import { localities, weightsByLocality } from './localities.ts';
import { levelAt, shares } from './priorities.ts';

export type { Target } from './candidates.ts';

export interface Chosen {
  readonly kind: 'chosen';
  /** In the order to try; at least one. */
  readonly targets: readonly Target[];
  /** The priority of the first target. */
  readonly priority: number;
  /** True when too few endpoints of that priority are healthy, so that health was ignored. */
  readonly panic: boolean;
}

/**
 * Orders the endpoints of a cluster that a route may use now. The first is picked as Envoy would: a
 * priority by its load, and in it an endpoint by the cluster's balancer. The others follow for
 * retries: first those of the same priority, then those of the other priorities, most preferred
 * first. Unhealthy endpoints are left out, unless their priority panics.
 */
export function choose(route: Route, cluster: Cluster, view: EndpointView): Chosen | Refusal {
  if (cluster.broken !== undefined) return refuse('misconfigured', `${route.destination}: ${cluster.broken}`);
  const { levels, refusal } = candidates(route, cluster, view);
  const [only] = levels;
  if (only === undefined) return refusal ?? refuse('no-endpoint', noCandidates(route, cluster));
  if (levels.length === 1 && only.all.length === 1 && only.healthy === only.all) {
    return { kind: 'chosen', targets: only.all, priority: only.priority, panic: false };
  }

  const balancing = balancingOf(cluster, view);
  const list = shares(
    levels.map(({ all, healthy }) => ({ endpoints: all.length, healthy: healthy.length })),
    balancing,
  );
  const picked = levels.length === 1 ? 0 : levelAt(list, percentOf(balancing, view));
  const panic = list[picked]?.panic ?? false;
  if (panic && cluster.failInPanic === true) return refuse('no-endpoint', inPanic(route, levels[picked], balancing));
  const targets: Target[] = [];
  const append = (i: number, by: Balancing): void => {
    const level = levels[i];
    // A priority that refuses in a panic takes no retries either.
    if (list[i]?.panic === true && cluster.failInPanic === true) return;
    if (level !== undefined) targets.push(...ordered(level, list[i]?.panic ?? false, by));
  };
  append(picked, balancing);
  // Skips the table for a priority that only retries reach.
  const others = hashes(balancing.balancer) ? { ...balancing, balancer: BALANCING_DEFAULTS.balancer } : balancing;
  for (const i of levels.keys()) if (i !== picked) append(i, others);
  const [first] = targets;
  if (first === undefined) return refuse('no-endpoint', noneUsable(route, levels));
  return { kind: 'chosen', targets, priority: first.endpoint.priority, panic };
}

/** The settings of the cluster and the facts of this moment. */
interface Balancing {
  readonly cluster: Cluster;
  readonly balancer: Balancer;
  readonly overprovisioningFactor: number;
  readonly panicThresholdPercent: number;
  readonly facts: PickFacts;
}

function balancingOf(cluster: Cluster, view: EndpointView): Balancing {
  const { balancer, overprovisioningFactor, panicThresholdPercent } = BALANCING_DEFAULTS;
  return {
    cluster,
    balancer: cluster.balancer ?? balancer,
    overprovisioningFactor: cluster.overprovisioningFactor ?? overprovisioningFactor,
    panicThresholdPercent: cluster.panicThresholdPercent ?? panicThresholdPercent,
    facts: {
      turn: view.turn,
      hashKey: view.hashKey ?? null,
      active: view.active ?? null,
      next: draws(view.draw ?? view.turn),
    },
  };
}

/** Consistent hashing keeps a client on its priority too, as Envoy's does. */
function percentOf({ balancer, facts }: Balancing, view: EndpointView): number {
  if (hashes(balancer) && facts.hashKey !== null) return modulo(facts.hashKey, 100);
  return Math.floor((view.draw ?? facts.next()) * 100);
}

function ordered(level: Level, panic: boolean, balancing: Balancing): readonly Target[] {
  const { cluster, balancer, overprovisioningFactor, facts } = balancing;
  const usable = panic ? level.all : level.healthy;
  if (cluster.localityWeighting !== true) return byBalancer(usable, weightsOf(usable), balancing);
  if (hashes(balancer)) return byBalancer(usable, weightsByLocality(usable), balancing);
  const found = panic ? [] : localities({ all: level.all, usable }, overprovisioningFactor);
  const weights = found.map(({ effectiveWeight }) => effectiveWeight);
  const picks = drawRest(weighted(weights), weights, facts.next);
  // Envoy ignores localities in a panic, and where no locality has a weight.
  if (picks.length === 0) return byBalancer(usable, weightsOf(usable), balancing);
  return picks.flatMap((i) => {
    const inside = found[i]?.usable ?? [];
    return byBalancer(inside, weightsOf(inside), balancing);
  });
}

function byBalancer(targets: readonly Target[], weights: readonly number[], balancing: Balancing): readonly Target[] {
  const { cluster, balancer, facts } = balancing;
  const pool = hashes(balancer) ? samePool(cluster, { targets, weights }) : { targets, weights };
  return order(pool, facts, balancer).flatMap((i) => targets[i] ?? []);
}

function weightsOf(targets: readonly Target[]): number[] {
  return targets.map(({ endpoint }) => endpoint.weight);
}

function inPanic(route: Route, level: Level | undefined, { panicThresholdPercent }: Balancing): string {
  const [healthy, all] = [level?.healthy.length ?? 0, level?.all.length ?? 0];
  return `${healthy} of ${all} endpoints of ${route.destination} are healthy, below ${panicThresholdPercent} % nothing passes (failTrafficOnPanic)`;
}

function noneUsable(route: Route, levels: readonly Level[]): string {
  const all = levels.flatMap((level) => level.all);
  const healthy = levels.reduce((sum, level) => sum + level.healthy.length, 0);
  if (healthy > 0) return `no locality of ${route.destination} has a weight`;
  return `all ${all.length} endpoints of ${route.destination} are unhealthy`;
}
