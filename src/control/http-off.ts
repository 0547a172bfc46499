import type { Problem } from '../base/problem.ts';
import type { Compiled } from '../model/compiled.ts';
import type { HttpRoute } from '../model/http-route.ts';

/**
 * Lists, for each HTTP service, what is lost because the egress passes its bytes unchanged; once
 * for each service, however many names lead to it.
 */
export function lostWithoutHttp({ snapshot, origins }: Extract<Compiled, { kind: 'compiled' }>): readonly Problem[] {
  const said = new Map<string, Problem>();
  for (const route of snapshot.routes.values()) {
    if (route.kind !== 'terminate' || route.http === undefined || said.has(route.cluster)) continue;
    const { file = '', line = 0, column = 0 } = origins.get(`route:${route.serverName}`) ?? {};
    said.set(route.cluster, {
      severity: 'warning',
      file: file === '' ? `${route.destination} of mesh ${route.mesh}` : file,
      line,
      column,
      field: '',
      message: `${route.destination}: http is off, so this egress does not do these: ${lostOf(route.http).join(', ')}`,
    });
  }
  return [...said.values()];
}

function lostOf(http: HttpRoute): readonly string[] {
  const lost = [
    [http.autoHostRewrite, 'the name of the endpoint in Host'],
    [http.answersDenied, 'the answer 403 to a client that is denied (its connection is closed)'],
    [(http.rateLimits ?? []).length > 0, 'rate limits of requests'],
    [(http.faults ?? []).length > 0, 'faults'],
    [http.timeouts !== undefined || http.clientTimeouts !== undefined, 'timeouts of requests'],
    [(http.hashPolicies ?? []).length > 0, 'hash policies'],
    [true, 'statistics and log lines of requests'],
  ] as const;
  return lost.filter(([is]) => is).map(([, what]) => what);
}
