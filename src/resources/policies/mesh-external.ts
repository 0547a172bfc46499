/** Applies policies to a MeshExternalService, for a ZoneEgress and a Dataplane alike. */
import type { Cluster } from '../../model/cluster.ts';
import type { HttpRoute } from '../../model/http-route.ts';
import type { CircuitBreakerConf } from '../kinds/mesh-circuit-breaker.ts';
import type { MeshExternalService } from '../kinds/mesh-external-service.ts';
import type { HealthCheckConf } from '../kinds/mesh-health-check.ts';
import type { StrategyConf } from '../kinds/mesh-load-balancing-strategy.ts';
import { breakerFeatures, breakerFields } from './circuit-breaker.ts';
import { healthFeatures, healthFields } from './health-check.ts';
import { balancingFeatures, balancingFields, hashPolicies, inertBalancing } from './load-balancing.ts';
import type { Feature } from './not-yet.ts';
import type { Ruled, ToRules } from './to-rules.ts';

/** Notes which policies made a result, and returns the result. */
export type Note = <Conf>(
  ruled: Ruled<Conf> | null,
  name: string,
  features: (conf: Conf) => readonly Feature[],
  inert?: (conf: Conf) => string,
) => Conf | null;

/** The `to` items about MeshExternalServices. */
export interface ByTo {
  readonly breakers: ToRules<CircuitBreakerConf>;
  readonly checks: ToRules<HealthCheckConf>;
  readonly strategies: ToRules<StrategyConf>;
}

export function meshExternal(
  { meta, protocol }: MeshExternalService,
  cluster: Cluster,
  by: ByTo,
  note: Note,
): { readonly cluster: Cluster; readonly http: Partial<HttpRoute> } {
  const name = meta.displayName;
  const breaker = note(by.breakers.of(meta), name, (conf) => breakerFeatures(conf, protocol));
  const check = note(by.checks.of(meta), name, (conf) => healthFeatures(conf, protocol));
  const strategy = note(by.strategies.of(meta), name, (conf) => balancingFeatures(conf, protocol), inertBalancing);
  return {
    cluster: {
      ...cluster,
      // Follows the order of Kuma's plugins: a later one overwrites an earlier one.
      ...(strategy === null ? {} : balancingFields(strategy)),
      ...(check === null ? {} : healthFields(check, protocol)),
      ...(breaker === null ? {} : breakerFields(breaker)),
    },
    http: strategy === null ? {} : hashPolicies(strategy),
  };
}
