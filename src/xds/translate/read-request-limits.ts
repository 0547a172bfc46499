import type { RequestRateLimit, SenderRule } from '../../model/http-route.ts';
import type { Principal } from '../../model/permission.ts';
import type { RouteConfiguration } from '#envoy/config/route/v3/route_pb.js';
import type { LocalRateLimit } from '#envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { LocalRateLimitSchema } from '#envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { readRequestLimit } from './read-http-policies.ts';
import type { Notes } from './read-http-policies.ts';
import { overrideOf, routeSenders } from './route-entries.ts';
import type { RouteEntry } from './route-entries.ts';
import { asksForSender } from './route-match.ts';

/**
 * Takes the limit of each route, else that of the filter, which counts only where it is among the
 * filters.
 */
export function readLimits(
  entries: readonly RouteEntry[],
  { config, filter, notes }: { config: RouteConfiguration; filter: LocalRateLimit | undefined; notes: Notes },
): readonly RequestRateLimit[] {
  if (filter === undefined) return [];
  const limits: RequestRateLimit[] = [];
  /** Senders that have no limit, which a later route must not give them. */
  const free: SenderRule[] = [];
  let isOver = false;
  for (const entry of entries) {
    if (!asksForSender(entry.route)) {
      notes.unsupported.push('it limits requests of its HTTP routes by more than their senders, which is not evaluated');
      return [];
    }
    const limit = readRequestLimit(overrideOf(config, [entry.route], LocalRateLimitSchema) ?? filter, notes);
    if (limit === null) {
      const others = othersThan(routeSenders(entry, notes));
      if (others === null) isOver = true;
      else free.push(others);
      continue;
    }
    if (isOver || config.virtualHosts.length > 1) {
      notes.unsupported.push('it limits requests of some of its HTTP routes in a way that is not evaluated');
      return [];
    }
    const clients = [...routeSenders(entry, notes), ...free];
    limits.push({ ...(clients.length === 0 ? {} : { clients }), ...limit });
  }
  return limits;
}

/**
 * Returns the rule for all other clients; null where there are none, and for rules about headers: a
 * request without the header meets neither such a rule nor its opposite.
 */
function othersThan(rules: readonly SenderRule[]): SenderRule | null {
  const principals = rules.map((rule): Principal | null => {
    if (rule.kind !== 'client') return null;
    return rule.not === true ? { kind: 'not', not: rule.principal } : rule.principal;
  });
  const all = principals.filter((each) => each !== null);
  const [first] = all;
  if (first === undefined || all.length < rules.length) return null;
  return { kind: 'client', principal: all.length === 1 ? first : { kind: 'and', all }, not: true };
}
