import type { Matcher } from '#envoy/xds/type/matcher/v3/matcher_pb.js';
import type { ClientTimeouts, HashPolicy, HttpRoute, HttpTimeouts } from '../../model/http-route.ts';
import { HTTP_TIMEOUT_DEFAULTS } from '../../model/http-route.ts';
import type { RouteConfiguration } from '#envoy/config/route/v3/route_pb.js';
import type { Route, RouteAction, RouteAction_HashPolicy } from '#envoy/config/route/v3/route_components_pb.js';
import type { HTTPFault } from '#envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { HTTPFaultSchema } from '#envoy/extensions/filters/http/fault/v3/fault_pb.js';
import type { LocalRateLimit } from '#envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import type { HttpConnectionManager } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { sameValue } from '../../model/changes.ts';
import { milliseconds } from '../messages/duration.ts';
import type { FilterState } from './filter-state.ts';
import { readFault } from './read-http-policies.ts';
import type { Notes } from './read-http-policies.ts';
import type { MatchedFault } from './read-filters.ts';
import { readLimits } from './read-request-limits.ts';
import { overrideOf, routeEntries, routeSenders } from './route-entries.ts';
import type { RouteEntry } from './route-entries.ts';
import { asksForSender } from './route-match.ts';
import { unreadOfHttp } from './unread-http.ts';

/**
 * The HTTP filters of a chain that act on requests; a route may have its own configuration for
 * each.
 */
export interface HttpFilterConfigs {
  rateLimit: LocalRateLimit | undefined;
  /** With a matcher, the clients for which it does not skip the fault. */
  readonly faults: { readonly fault: HTTPFault; readonly matcher: Matcher | null }[];
  /** True when the limit comes before the faults. */
  limitsFirst: boolean;
}

/**
 * Reads what the routes of one chain, which all lead to one cluster, and its filters do to
 * requests.
 */
export function readHttpRoutes(
  manager: HttpConnectionManager,
  config: RouteConfiguration,
  { filters, state, notes }: { filters: HttpFilterConfigs; state: FilterState; notes: Notes },
): Omit<HttpRoute, 'answersDenied'> & { readonly matched: readonly MatchedFault[] } {
  const routes = config.virtualHosts.flatMap((host) => host.routes);
  notes.undone.push(...unreadOfHttp(manager, config));
  const entries = routeEntries(config, state, notes);
  const rateLimits = readLimits(entries, { config, filter: filters.rateLimit, notes });
  const overridden = overrideOf(config, routes, HTTPFaultSchema);
  const [action] = routes.map((route) => route.action);
  const to = action?.case === 'route' ? action.value.clusterSpecifier : null;
  const cluster = to?.case === 'cluster' ? to.value : '';
  if (overridden !== undefined && filters.faults.length > 0 && routes.length > 1)
    notes.undone.push('faults that its HTTP routes have each of their own: those of the first are all there is');
  const all = filters.faults.map(({ fault, matcher }) => ({ fault: readFault(overridden ?? fault, cluster, notes), matcher }));
  const faults = all.flatMap(({ fault, matcher }) => (fault === null || matcher !== null ? [] : [fault]));
  const matched = all.flatMap(({ fault, matcher }) => (fault === null || matcher === null ? [] : [{ fault, matcher }]));
  const limitsFirst = filters.limitsFirst && rateLimits.length > 0 && faults.length + matched.length > 0;
  return {
    ...readOwnFields(entries, { manager, isOneHost: config.virtualHosts.length === 1, notes }),
    ...(rateLimits.length === 0 ? {} : { rateLimits }),
    ...(faults.length === 0 ? {} : { faults }),
    ...(limitsFirst ? { limitsFirst: true } : {}),
    matched,
  };
}

type OwnFields = Pick<HttpRoute, 'autoHostRewrite' | 'timeouts' | 'hashPolicies'>;

/**
 * Reads what the last route says, which is for all requests that no other is for. Those before it
 * may have other timeouts for their senders.
 */
function readOwnFields(
  entries: readonly RouteEntry[],
  { manager, isOneHost, notes }: { manager: HttpConnectionManager; isOneHost: boolean; notes: Notes },
): OwnFields & Pick<HttpRoute, 'clientTimeouts'> {
  const own = entries.map(({ route }) => ownFields(manager, route, notes));
  const whole = own.at(-1) ?? { autoHostRewrite: false };
  if (own.every((each) => sameValue(each, whole))) return whole;
  const before = entries.slice(0, -1);
  const isEvaluated =
    isOneHost && before.every(({ route }) => asksForSender(route)) && own.every((each) => sameValue(shared(each), shared(whole)));
  if (!isEvaluated) {
    notes.unsupported.push('its HTTP routes treat requests differently, which is not evaluated');
    return whole;
  }
  const clientTimeouts = before.map((entry, i) => ({
    clients: routeSenders(entry, notes),
    ...differing(own[i]?.timeouts, whole.timeouts),
  }));
  return { ...whole, clientTimeouts };
}

const OF_SENDERS: Pick<Required<HttpTimeouts>, 'requestMs' | 'streamIdleMs'> = {
  requestMs: 0,
  streamIdleMs: HTTP_TIMEOUT_DEFAULTS.streamIdleMs,
};

/** Leaves out what may be different for certain senders. */
function shared({ timeouts = {}, ...fields }: OwnFields): OwnFields {
  return { ...fields, timeouts: { ...timeouts, ...OF_SENDERS } };
}

/** The timeouts of certain senders that are not those of all. */
function differing(own: HttpTimeouts = {}, ofAll: HttpTimeouts = {}): Omit<ClientTimeouts, 'clients'> {
  const { requestMs, streamIdleMs } = { ...OF_SENDERS, ...own };
  const theirs = { ...OF_SENDERS, ...ofAll };
  return {
    ...(requestMs === theirs.requestMs ? {} : { requestMs }),
    ...(streamIdleMs === theirs.streamIdleMs ? {} : { streamIdleMs }),
  };
}

function ownFields(manager: HttpConnectionManager, { action }: Route, notes: Notes): OwnFields {
  if (action.case !== 'route') return { autoHostRewrite: false };
  const route = action.value;
  const rewrite = route.hostRewriteSpecifier;
  const timeouts = readTimeouts(manager, route, notes);
  const hashPolicies = route.hashPolicy.flatMap((policy) => readHashPolicy(policy) ?? []);
  return {
    autoHostRewrite: rewrite.case === 'autoHostRewrite' && rewrite.value.value,
    ...(Object.keys(timeouts).length === 0 ? {} : { timeouts }),
    ...(hashPolicies.length === 0 ? {} : { hashPolicies }),
  };
}

/** Envoy's request timeout for a route without its own. */
const REQUEST_MS = 15_000;

/** Leaves out values that equal Envoy's defaults, and timeouts that never fire. */
function readTimeouts(manager: HttpConnectionManager, route: RouteAction, notes: Notes): HttpTimeouts {
  const { commonHttpProtocolOptions: common, streamIdleTimeout, requestTimeout } = manager;
  if ((milliseconds(requestTimeout) ?? 0) > 0) notes.undone.push('timeout of the body of a request');
  const durations = [route.maxStreamDuration?.maxStreamDuration, common?.maxStreamDuration].map(
    (each) => milliseconds(each) ?? 0,
  );
  const maxStreams = durations.filter((ms) => ms > 0);
  const all = {
    requestMs: milliseconds(route.timeout) ?? REQUEST_MS,
    streamIdleMs: milliseconds(route.idleTimeout) ?? milliseconds(streamIdleTimeout),
    maxStreamMs: maxStreams.length === 0 ? 0 : Math.min(...maxStreams),
    idleMs: milliseconds(common?.idleTimeout),
    maxConnectionMs: milliseconds(common?.maxConnectionDuration) ?? 0,
    headersMs: milliseconds(manager.requestHeadersTimeout) ?? 0,
  };
  const defaults: HttpTimeouts = { requestMs: 0, maxStreamMs: 0, maxConnectionMs: 0, headersMs: 0, ...HTTP_TIMEOUT_DEFAULTS };
  const written = Object.entries(all).filter(([name, ms]) => ms !== undefined && ms !== defaults[name as keyof HttpTimeouts]);
  return Object.fromEntries(written);
}

/** Returns null for an input that an egress never has. */
function readHashPolicy({ policySpecifier: by, terminal }: RouteAction_HashPolicy): HashPolicy | null {
  const last = terminal ? { terminal: true } : {};
  switch (by.case) {
    case 'header':
      return { kind: 'header', name: by.value.headerName.toLowerCase(), ...last };
    case 'cookie': {
      const lifetimeMs = milliseconds(by.value.ttl);
      return {
        kind: 'cookie',
        name: by.value.name,
        ...(lifetimeMs === undefined ? {} : { lifetimeMs }),
        ...(by.value.path === '' ? {} : { path: by.value.path }),
        ...last,
      };
    }
    case 'queryParameter':
      return { kind: 'query', name: by.value.name, ...last };
    case 'connectionProperties':
      return by.value.sourceIp ? { kind: 'source-ip', ...last } : null;
    case 'filterState':
    case undefined:
      return null;
    default:
      return by satisfies never;
  }
}
