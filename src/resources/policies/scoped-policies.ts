import type { Cluster } from '../../model/cluster.ts';
import type { HttpRoute } from '../../model/http-route.ts';
import type { ConnectionRateLimit } from '../../model/route.ts';
import type { MeshExternalService } from '../kinds/mesh-external-service.ts';
import type { Policy } from '../kinds/policy.ts';
import type { TargetRef } from '../kinds/target-ref.ts';
import type { MeshResources } from '../resource-set.ts';
import { requestLimits } from './http-policies.ts';
import { meshExternal } from './mesh-external.ts';
import type { Note } from './mesh-external.ts';
import { connectionLimit, inertLimit, limitFeatures } from './rate-limit.ts';
import { scopedRules } from './scoped-rules.ts';
import { toRules } from './to-rules.ts';
import type { Uses } from './uses.ts';

export interface ScopedOutcome {
  readonly cluster: Cluster;
  readonly http: Partial<HttpRoute>;
  readonly rateLimit: ConnectionRateLimit | null;
}

type Lists = Pick<MeshResources, 'circuitBreakers' | 'healthChecks' | 'strategies' | 'rateLimits' | 'faultInjections'>;

/**
 * Applies the policies that select a Dataplane to a MeshExternalService: `to` items by the service,
 * `rules` by its server name.
 */
export function scopedPolicies(
  { circuitBreakers, healthChecks, strategies, rateLimits, faultInjections }: Lists,
  of: { readonly selects: (targetRef: TargetRef | null) => boolean; readonly uses: Uses; readonly note: Note },
): (service: MeshExternalService, sni: string, cluster: Cluster) => ScopedOutcome {
  const { selects, uses, note } = of;
  const selected = <Conf>(policies: readonly Policy<Conf>[]): readonly Policy<Conf>[] =>
    policies.filter(({ targetRef }) => selects(targetRef));
  const to = {
    breakers: toRules(selected(circuitBreakers)),
    checks: toRules(selected(healthChecks)),
    strategies: toRules(selected(strategies)),
  };
  const limits = scopedRules(selected(rateLimits));
  const faults = scopedRules(selected(faultInjections));
  return (service, sni, cluster) => {
    const name = service.meta.displayName;
    const { cluster: whole, http } = meshExternal(service, cluster, to, note);
    const speaksHttp = service.protocol !== 'tcp';
    const limit = note(limits.of(sni), name, (conf) => limitFeatures(conf, speaksHttp), inertLimit(speaksHttp));
    const fault = note(speaksHttp ? faults.of(sni) : null, name, ({ faults: own = [] }) =>
      own.length > 0 ? ['HTTP faults'] : [],
    );
    for (const { policy } of [...limits.forClients(sni), ...faults.forClients(sni)])
      uses.used(policy.meta, name, ['rules for certain clients']);
    const rateLimits = speaksHttp ? requestLimits(limit, []) : [];
    const injected = fault?.faults ?? [];
    const more = { ...(rateLimits.length === 0 ? {} : { rateLimits }), ...(injected.length === 0 ? {} : { faults: injected }) };
    return { cluster: whole, http: { ...http, ...more }, rateLimit: connectionLimit(limit) };
  };
}
