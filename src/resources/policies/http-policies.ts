import type { HttpFault, HttpRoute, RequestRateLimit, SenderRule } from '../../model/http-route.ts';
import { replyHeaders } from '../http.ts';
import type { LegacyHttpPolicy } from '../kinds/legacy-http-policy.ts';
import type { FaultConf } from '../kinds/mesh-fault-injection.ts';
import type { RateLimitConf } from '../kinds/mesh-rate-limit.ts';
import type { TargetRef } from '../kinds/target-ref.ts';
import { SERVICE_TAG } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { clientRule } from './scoped-rules.ts';
import type { ClientRuled, MatchedPart } from './scoped-rules.ts';
import type { RuledPart } from './to-rules.ts';

/**
 * Makes the request limits of one ExternalService. A MeshRateLimit is for all clients; Kuma lets it
 * replace those of RateLimits.
 */
export function requestLimits(conf: RateLimitConf | null, older: readonly LegacyHttpPolicy[]): readonly RequestRateLimit[] {
  const http = conf?.http;
  if (http?.rate !== undefined && http.disabled !== true) {
    const { num, intervalMs } = http.rate;
    const { status, headers = {} } = http.onRateLimit ?? {};
    const { set = [], add = [] } = headers;
    const flat = replyHeaders([
      // Kuma applies `set` after `add`, and splits the values of `set` at commas.
      ...add.map((header) => ({ ...header, append: true })),
      ...set.flatMap(({ name, value }) => value.split(',').map((part) => ({ name, value: part, append: false }))),
    ]);
    return [
      {
        requests: num,
        intervalMs,
        ...(status === undefined || status === 429 ? {} : { status }),
        ...(flat.length === 0 ? {} : { headers: flat }),
      },
    ];
  }
  // The limit whose source has the most tags is tried first.
  return older
    .flatMap(({ limit, sources, meta }) => (limit === null ? [] : [{ limit, sources, meta }]))
    .toSorted((a, b) => precision(b.sources) - precision(a.sources) || (a.meta.name < b.meta.name ? -1 : 1))
    .map(({ limit, sources }) => ({ ...limit, ...clientsOf(sources) }));
}

/**
 * Makes the request limits of a service of a Dataplane: those of certain clients first, then that
 * of all others.
 */
export function limitsForClients(
  rules: readonly ClientRuled<RateLimitConf>[],
  base: RateLimitConf | null,
): Pick<HttpRoute, 'rateLimits'> {
  const rateLimits: RequestRateLimit[] = [];
  /** Clients that have no limit, which a later one must not give them. */
  const free: SenderRule[] = [];
  for (const { client, ruled } of rules) {
    const rule = clientRule(client);
    const [limit] = requestLimits(ruled.conf, []);
    if (limit === undefined) free.push({ ...rule, not: true });
    else rateLimits.push({ clients: [rule, ...free], ...limit });
  }
  for (const limit of requestLimits(base, []))
    rateLimits.push({ ...(free.length === 0 ? {} : { clients: [...free] }), ...limit });
  return rateLimits.length === 0 ? {} : { rateLimits };
}

/** Makes the faults of a service of a Dataplane: each rule counts on its own. */
export function faultsForClients(parts: readonly MatchedPart<FaultConf>[]): Pick<HttpRoute, 'faults'> {
  const faults = parts.flatMap(({ conf, client }) =>
    (conf.faults ?? []).map((fault): HttpFault => ({ ...fault, ...(client === null ? {} : { clients: [clientRule(client)] }) })),
  );
  return faults.length === 0 ? {} : { faults };
}

export function olderFaults(older: readonly LegacyHttpPolicy[]): readonly HttpFault[] {
  return older.flatMap(({ fault, sources }) => (fault === null ? [] : [{ ...fault, ...clientsOf(sources) }]));
}

/**
 * Makes the faults of a service. The last item with faults that matches a client decides, so each
 * item gets the clients that no later item matches.
 */
export function faultsOf(parts: readonly RuledPart<FaultConf>[]): readonly HttpFault[] {
  const faults: HttpFault[] = [];
  const decided: Readonly<Record<string, string>>[] = [];
  for (const { item, conf } of parts.toReversed()) {
    if (conf.faults === undefined) continue;
    const tags = tagsOf(item);
    const isAll = Object.keys(tags).length === 0;
    const rules: SenderRule[] = [
      ...(isAll ? [] : [{ kind: 'tags', any: [tags] } as const]),
      ...(decided.length === 0 ? [] : [{ kind: 'tags', any: [...decided], not: true } as const]),
    ];
    for (const fault of conf.faults) faults.push({ ...fault, ...(rules.length === 0 ? {} : { clients: rules }) });
    if (isAll) break;
    decided.push(tags);
  }
  return faults;
}

function tagsOf({ kind, name, tags }: TargetRef): Readonly<Record<string, string>> {
  const isService = kind === 'MeshService' || kind === 'MeshServiceSubset';
  return { ...(isService ? { [SERVICE_TAG]: name } : {}), ...Object.fromEntries(tags) };
}

function clientsOf(sources: readonly Tags[]): { readonly clients?: readonly SenderRule[] } {
  const any = sources.map((tags) => Object.fromEntries(tags));
  return any.length === 0 ? {} : { clients: [{ kind: 'tags', any }] };
}

function precision(sources: readonly Tags[]): number {
  return Math.max(...sources.map((tags) => [...tags.values()].reduce((sum, value) => sum + (value === '*' ? 1 : 2), 0)), 0);
}
