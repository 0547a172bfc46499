/** Statistics of HTTP services, by the names of Envoy's HTTP connection manager. */
import type { HttpRoute } from '../../model/http-route.ts';
import { EnvoyHistogram } from '../../observe/envoy-histogram.ts';
import { ofClass } from '../../observe/request-counters.ts';
import type { ClusterCounters } from '../../observe/traffic-counters.ts';
import { COUNT, FAULT_STATS, HTTP_RATE_LIMIT_STATS, HTTP_STATS, judgementsOf, RBAC_STATS } from './stat-tables.ts';
import { scope } from './stat-scope.ts';
import type { Labels, StatScope } from './stat-scope.ts';

/** All chains of one `stat_prefix`. */
export interface HttpChain {
  readonly chains: ClusterCounters[];
  active: number;
  judges: boolean;
  limits: boolean;
  faults: boolean;
}

export function addHttp(
  to: Map<string, HttpChain>,
  name: string,
  { route, counters, active }: { readonly route: HttpRoute; readonly counters: ClusterCounters; readonly active: number },
): void {
  const chain = to.get(name) ?? { chains: [], active: 0, judges: false, limits: false, faults: false };
  to.set(name, chain);
  chain.chains.push(counters);
  chain.active += active;
  chain.judges ||= route.answersDenied;
  chain.limits ||= (route.rateLimits?.length ?? 0) > 0;
  chain.faults ||= (route.faults?.length ?? 0) > 0;
}

const CLASSES = [1, 2, 3, 4, 5] as const;

export function httpScopes(http: ReadonlyMap<string, HttpChain>): readonly StatScope[] {
  const scopes: StatScope[] = [];
  const limited: ClusterCounters[] = [];
  for (const [name, { chains, active, judges, limits, faults }] of http) {
    const labels: Labels = [['envoy_http_conn_manager_prefix', name]];
    const prefix = `http.${name}.`;
    scopes.push(
      scope(prefix, 'http', labels, HTTP_STATS, { chains, active }, [
        { name: 'downstream_rq_time', histogram: EnvoyHistogram.sum(chains.map(({ http: { timeMs } }) => timeMs)) },
      ]),
      ...CLASSES.map((first) => {
        const count = chains.reduce((sum, { http: { answered } }) => sum + ofClass(answered, first), 0);
        return scope(
          `${prefix}downstream_rq_${first}xx`,
          'http_downstream_rq_xx',
          [['envoy_response_code_class', String(first)], ...labels],
          COUNT,
          count,
        );
      }),
    );
    if (judges) {
      const judgements = judgementsOf(chains, 'requests');
      scopes.push(scope(`${prefix}rbac.`, 'rbac', [['listener', `http.${name}`], ...labels], RBAC_STATS, judgements));
    }
    if (faults) scopes.push(scope(`${prefix}fault.`, 'http_fault', labels, FAULT_STATS, chains));
    if (limits) limited.push(...chains);
  }
  if (limited.length > 0) {
    const labels: Labels = [['envoy_local_http_ratelimit_prefix', 'rate_limit']];
    scopes.push(scope('rate_limit.http_local_rate_limit.', 'http_local_rate_limit', labels, HTTP_RATE_LIMIT_STATS, limited));
  }
  return scopes;
}

/**
 * Makes `upstream_rq_200` and `upstream_rq_2xx` for answered statuses; Envoy creates them with the
 * first answer.
 */
export function codeScopes(
  { prefix, family, labels }: { readonly prefix: string; readonly family: string; readonly labels: Labels },
  counts: ReadonlyMap<number, number>,
): readonly StatScope[] {
  const classes = CLASSES.filter((first) => ofClass(counts, first) > 0);
  return [
    ...classes.map((first) =>
      scope(
        `${prefix}${first}xx`,
        `${family}_xx`,
        [['envoy_response_code_class', String(first)], ...labels],
        COUNT,
        ofClass(counts, first),
      ),
    ),
    ...[...counts].map(([status, count]) =>
      scope(`${prefix}${status}`, family, [['envoy_response_code', String(status)], ...labels], COUNT, count),
    ),
  ];
}
