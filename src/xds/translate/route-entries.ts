import type { SenderRule } from '../../model/http-route.ts';
import type { RouteConfiguration } from '#envoy/config/route/v3/route_pb.js';
import type { Route } from '#envoy/config/route/v3/route_components_pb.js';
import { unpack } from '../messages/typed-config.ts';
import { clientsOf } from './filter-state.ts';
import type { FilterState } from './filter-state.ts';
import { NotEvaluable } from './principals.ts';
import type { Notes } from './read-http-policies.ts';
import { matchesAll } from './route-match.ts';
import { senderRules } from './sender-rules.ts';

/** A route that requests can come to, with the conditions on the certificate of its clients. */
export interface RouteEntry {
  readonly route: Route;
  readonly clients: readonly SenderRule[];
}

/**
 * Returns the routes of all hosts that a request can come to: none after one that matches
 * everything, and none that no connection of the chain matches.
 */
export function routeEntries(config: RouteConfiguration, state: FilterState, notes: Notes): readonly RouteEntry[] {
  return config.virtualHosts.flatMap(({ routes }) => {
    const last = routes.findIndex(matchesAll);
    const reached = last < 0 ? routes : routes.slice(0, last + 1);
    return reached.flatMap((route) => {
      const clients = clientsFor(route, state, notes);
      return clients === null ? [] : [{ route, clients }];
    });
  });
}

function clientsFor({ match }: Route, state: FilterState, notes: Notes): readonly SenderRule[] | null {
  const asked = match?.filterState ?? [];
  try {
    const clients = clientsOf(asked, state);
    for (const { key } of asked) {
      if (!state.values.has(key))
        notes.remarks.push(`no filter of it keeps ${key}: the HTTP routes that compare it match no request`);
    }
    return clients;
  } catch (error) {
    if (!(error instanceof NotEvaluable)) throw error;
    const keys = [...new Set(asked.map(({ key }) => key))].join(', ');
    notes.unsupported.push(`its HTTP routes are for certain clients, by a filter state (${keys}) that is not evaluated`);
    return null;
  }
}

/** Returns the conditions on the sender of a request, in the headers and in the certificate. */
export function routeSenders({ route, clients }: RouteEntry, notes: Notes): readonly SenderRule[] {
  return [...senderRules(route.match?.headers ?? [], notes), ...clients];
}

/** Returns the configuration of these routes for a filter; the nearest one counts. */
export function overrideOf<Desc extends Parameters<typeof unpack>[1]>(
  config: RouteConfiguration,
  routes: readonly Route[],
  schema: Desc,
): ReturnType<typeof unpack<Desc>> {
  const scopes = [...routes, ...config.virtualHosts, config].flatMap(({ typedPerFilterConfig }) =>
    Object.values(typedPerFilterConfig),
  );
  for (const each of scopes) {
    const read = unpack(each, schema);
    if (read !== undefined) return read;
  }
  return undefined;
}
