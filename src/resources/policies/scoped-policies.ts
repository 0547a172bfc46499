import type { AccessLogTarget } from '../../model/access-log.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { HttpRoute } from '../../model/http-route.ts';
import type { ConnectionRateLimit } from '../../model/route.ts';
import type { KumaValues } from '../kinds/mesh-access-log.ts';
import type { MeshExternalService } from '../kinds/mesh-external-service.ts';
import type { Policy } from '../kinds/policy.ts';
import type { TargetRef } from '../kinds/target-ref.ts';
import type { MeshResources } from '../resource-set.ts';
import { accessLogsOf, logFeatures } from './access-logs.ts';
import { faultsForClients, limitsForClients } from './http-policies.ts';
import { meshExternal } from './mesh-external.ts';
import type { Note } from './mesh-external.ts';
import { connectionLimit, inertLimit, limitFeatures } from './rate-limit.ts';
import { scopedRules } from './scoped-rules.ts';
import { clusterTimeouts, requestTimeouts, saysForClients, sessionIdleMs, timeoutsForClients } from './timeouts.ts';
import { toRules } from './to-rules.ts';
import type { Part } from './to-rules.ts';

export interface ScopedOutcome {
  readonly cluster: Cluster;
  readonly http: Partial<HttpRoute>;
  readonly rateLimit: ConnectionRateLimit | null;
  /** Undefined where no policy sets it. */
  readonly idleMs: number | undefined;
  readonly accessLogs: readonly AccessLogTarget[];
}

type Lists = Pick<
  MeshResources,
  'circuitBreakers' | 'healthChecks' | 'strategies' | 'rateLimits' | 'faultInjections' | 'timeouts' | 'accessLogs'
>;

/** The Dataplanes of a mesh that serve its routes. */
export interface ServingDataplanes {
  /** Tells whether a policy with this target applies to one of them. */
  readonly selects: (targetRef: TargetRef | null) => boolean;
  readonly values: KumaValues;
}

/**
 * Applies the policies that select a Dataplane to a MeshExternalService: `to` items by the service,
 * `rules` by its server name.
 */
export function scopedPolicies(
  lists: Lists,
  { selects, values }: ServingDataplanes,
  note: Note,
): (service: MeshExternalService, sni: string, cluster: Cluster) => ScopedOutcome {
  const selected = <Conf>(policies: readonly Policy<Conf>[]): readonly Policy<Conf>[] =>
    policies.filter(({ targetRef }) => selects(targetRef));
  const to = {
    breakers: toRules(selected(lists.circuitBreakers)),
    checks: toRules(selected(lists.healthChecks)),
    strategies: toRules(selected(lists.strategies)),
  };
  const timeoutsTo = toRules(selected(lists.timeouts));
  const timeouts = scopedRules(selected(lists.timeouts), { fromCounts: true });
  const limits = scopedRules(selected(lists.rateLimits), { fromCounts: true });
  const faults = scopedRules(selected(lists.faultInjections), { fromCounts: false });
  const logs = scopedRules(selected(lists.accessLogs), { fromCounts: true });
  return (service, sni, cluster) => {
    const name = service.meta.displayName;
    const { protocol } = service;
    const speaksHttp = protocol !== 'tcp';
    const { cluster: whole, http } = meshExternal(service, cluster, to, note);
    const ofCluster = note(timeoutsTo.of(service.meta), name, () => ['timeouts']);
    const layers = {
      everywhere: note(timeouts.everywhere, name, () => ['timeouts']),
      ofName: note(timeouts.ofName(sni), name, () => ['timeouts']),
    };
    const limit = note(limits.of(sni), name, (conf) => limitFeatures(conf, speaksHttp), inertLimit(speaksHttp));
    const base = { cluster: { ...whole, ...clusterTimeouts(ofCluster, protocol) }, rateLimit: connectionLimit(limit) };
    const each = logs.each(sni);
    noteEach(note, each, name, logFeatures);
    const accessLogs = accessLogsOf(each, values, speaksHttp);
    if (!speaksHttp) return { ...base, http, idleMs: sessionIdleMs(layers), accessLogs };

    const injected = faults.each(sni);
    noteEach(note, injected, name, ({ faults: own = [] }) => (own.length > 0 ? ['HTTP faults'] : []));
    const limited = limits.forClients(sni, limits.of(sni), (conf) => conf.http !== undefined);
    const timed = timeouts.forClients(sni, null, saysForClients);
    for (const { ruled } of limited) noteEach(note, ruled.parts, name, (conf) => limitFeatures(conf, true));
    for (const { ruled } of timed) noteEach(note, ruled.parts, name, () => ['timeouts']);
    const more = {
      ...requestTimeouts(layers),
      ...timeoutsForClients(timed),
      ...limitsForClients(limited, limit),
      ...faultsForClients(injected),
    };
    return { ...base, http: { ...http, ...more }, idleMs: undefined, accessLogs };
  };
}

/** Notes the use of parts that are not merged. */
function noteEach<Conf>(
  note: Note,
  parts: readonly Part<Conf>[],
  name: string,
  features: Parameters<typeof note<Conf>>[2],
): void {
  for (const { policy, conf } of parts) note({ conf, parts: [{ policy, conf }] }, name, features);
}
