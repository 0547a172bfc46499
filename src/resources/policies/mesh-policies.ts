import type { Cluster } from '../../model/cluster.ts';
import type { HttpRoute } from '../../model/http-route.ts';
import type { ConnectionRateLimit } from '../../model/route.ts';
import type { Meta } from '../document.ts';
import type { Findings } from '../findings.ts';
import type { ExternalService } from '../kinds/external-service.ts';
import type { MeshExternalService } from '../kinds/mesh-external-service.ts';
import type { FaultConf } from '../kinds/mesh-fault-injection.ts';
import type { RateLimitConf } from '../kinds/mesh-rate-limit.ts';
import type { Policy } from '../kinds/policy.ts';
import type { MeshResources } from '../resource-set.ts';
import { selects } from '../tags.ts';
import { defaultBreaker } from './circuit-breaker.ts';
import { faultsOf, olderFaults, requestLimits } from './http-policies.ts';
import { serviceFeatures, withLocality } from './load-balancing.ts';
import { meshExternal } from './mesh-external.ts';
import type { Note } from './mesh-external.ts';
import { outcomes } from './overridden.ts';
import type { PolicyOutcome } from './overridden.ts';
import { fromRules, meshwideToRules } from './service-rules.ts';
import type { ServiceRules } from './service-rules.ts';
import { connectionLimit, inertLimit, limitFeatures } from './rate-limit.ts';
import { scopedPolicies } from './scoped-policies.ts';
import type { ServingDataplanes, ScopedOutcome } from './scoped-policies.ts';
import { defaultTimeout } from './timeouts.ts';
import { toRules } from './to-rules.ts';
import { createUses } from './uses.ts';

/** The policies of one mesh that Kuma applies on a zone egress. */
export interface MeshPolicies {
  /**
   * Applies policies to the cluster of a `kuma.io/service`, an external one or one of another zone.
   */
  ofService(service: string, cluster: Cluster): Cluster;
  ofMeshExternal(
    service: MeshExternalService,
    cluster: Cluster,
  ): { readonly cluster: Cluster; readonly http: Partial<HttpRoute> };
  /** For an egress of one mesh, applies the policies that select its Dataplane. */
  ofScoped(service: MeshExternalService, sni: string, cluster: Cluster): ScopedOutcome;
  ofExternal(services: readonly ExternalService[]): {
    readonly rateLimit: ConnectionRateLimit | null;
    readonly http: Partial<HttpRoute>;
  };
  /** Reports, after all routes are made, which policies had no effect, and why. */
  tell(findings: Findings): void;
}

/** `scoped`: the Dataplanes of the mesh that are an egress; null without any. */
export function meshPolicies(resources: MeshResources, here: string, scoped: ServingDataplanes | null = null): MeshPolicies {
  const { circuitBreakers, healthChecks, strategies, rateLimits, faultInjections, legacyHttp } = resources;
  const initial = defaultBreaker(resources.mesh, circuitBreakers);
  const timeout = defaultTimeout(resources.mesh, resources.timeouts);
  const uses = createUses((policy) => policy === initial?.meta || policy === timeout?.meta);
  const allBreakers = initial === null ? circuitBreakers : [...circuitBreakers, initial];
  const allTimeouts = timeout === null ? resources.timeouts : [...resources.timeouts, timeout];
  const legacy = { breakers: toRules(allBreakers), checks: toRules(healthChecks), strategies: toRules(strategies) };
  const serviceStrategies = meshwideToRules(strategies);
  const limits = fromRules(rateLimits);
  const faults = fromRules(faultInjections);
  /** Policies for the whole mesh are the same for most services. */
  const merged = new WeakMap<object, readonly PolicyOutcome[]>();
  const note: Note = (ruled, name, features, inert = () => '') => {
    if (ruled === null) return null;
    for (const { policy, conf } of ruled.parts) uses.used(policy.meta, name, features(conf), inert(conf));
    const found = merged.get(ruled) ?? outcomes(ruled);
    merged.set(ruled, found);
    for (const outcome of found) uses.overridden(outcome, name);
    return ruled.conf;
  };
  return {
    ofService(service, cluster) {
      const conf = note(serviceStrategies.of(service), service, serviceFeatures);
      return conf === null ? cluster : withLocality(conf, cluster, here);
    },
    ofMeshExternal: (service, cluster) => meshExternal(service, cluster, legacy, note),
    ofScoped: scopedPolicies({ ...resources, circuitBreakers: allBreakers, timeouts: allTimeouts }, scoped ?? NONE, note),
    ofExternal: (services) => external(services, { limits, faults, legacyHttp, uses, note }),
    tell(findings) {
      const all: readonly Told[] = [
        ...circuitBreakers,
        ...healthChecks,
        ...strategies,
        ...rateLimits,
        ...faultInjections,
        ...resources.timeouts,
        ...resources.accessLogs,
        ...legacyHttp,
      ];
      for (const policy of all) uses.tell(policy.kind, policy.meta, policy.isShadow === true, WHY[policy.kind] ?? '', findings);
    },
  };
}

const NONE: ServingDataplanes = { selects: () => false, values: { sourceAddress: '', mesh: '', zone: '', workload: '' } };

interface ForExternal extends Pick<MeshResources, 'legacyHttp'> {
  readonly limits: ServiceRules<RateLimitConf>;
  readonly faults: ServiceRules<FaultConf>;
  readonly uses: ReturnType<typeof createUses>;
  readonly note: Note;
}

/** Applies policies to ExternalServices of one name. */
function external(
  services: Parameters<MeshPolicies['ofExternal']>[0],
  { limits, faults, legacyHttp, uses, note }: ForExternal,
): ReturnType<MeshPolicies['ofExternal']> {
  const [first] = services;
  if (first === undefined) return { rateLimit: null, http: {} };
  const { service } = first;
  const speaksHttp = services.some(({ protocol }) => protocol === 'http' || protocol === 'http2' || protocol === 'grpc');
  const limit = note(limits.of(service), service, (conf) => limitFeatures(conf, speaksHttp), inertLimit(speaksHttp));
  const rateLimit = connectionLimit(limit);
  if (!speaksHttp) return { rateLimit, http: {} };
  note(faults.of(service), service, (conf) => ((conf.faults ?? []).length > 0 ? ['HTTP faults'] : []));
  const older = legacyHttp.filter(({ destinations }) =>
    destinations.some((tags) => services.some((each) => selects(tags, each.tags))),
  );
  for (const { meta, kind } of older) uses.used(meta, service, [kind === 'RateLimit' ? 'HTTP rate limits' : 'HTTP faults']);
  const rateLimits = requestLimits(limit, older);
  const injected = [...olderFaults(older), ...faultsOf(faults.partsOf(service))];
  return {
    rateLimit,
    http: {
      ...(rateLimits.length === 0 ? {} : { rateLimits }),
      ...(injected.length === 0 ? {} : { faults: injected }),
    },
  };
}

interface Told {
  readonly kind: Policy<unknown>['kind'];
  readonly meta: Meta;
  readonly isShadow?: boolean;
}

const OF_MES = 'here it is about MeshExternalServices only, by its to items';
const OF_DATAPLANES = 'here it is about an egress of one mesh only, a Dataplane with a ZoneEgress listener, by its rules';
const OF_HTTP = 'here it is about ExternalServices that speak HTTP only';

const WHY: Readonly<Partial<Record<Policy<unknown>['kind'], string>>> = {
  MeshCircuitBreaker: OF_MES,
  MeshHealthCheck: OF_MES,
  MeshLoadBalancingStrategy: 'here it is about services of other zones and external ones, by its to items for the whole mesh',
  MeshTimeout: OF_DATAPLANES,
  MeshAccessLog: OF_DATAPLANES,
  MeshRateLimit: 'here it is about ExternalServices only, by its from items',
  MeshFaultInjection: `${OF_HTTP}, by its from items`,
  RateLimit: OF_HTTP,
  FaultInjection: OF_HTTP,
};
