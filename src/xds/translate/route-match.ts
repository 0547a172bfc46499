import type { Route } from '#envoy/config/route/v3/route_components_pb.js';

/**
 * Tells whether a route only matches the path: no header, no certificate, no filter state, and no
 * field that is unknown here.
 */
export function asksPathOnly(route: Route): boolean {
  const { headers = [], filterState = [] } = route.match ?? {};
  return asksNothingElse(route) && headers.length + filterState.length === 0;
}

/** Tells whether every request that comes to it matches. */
export function matchesAll(route: Route): boolean {
  return asksPathOnly(route) && hasEveryPath(route);
}

/** Tells whether it matches every path, and only the sender besides: headers and filter state. */
export function asksForSender(route: Route): boolean {
  return asksNothingElse(route) && hasEveryPath(route);
}

function hasEveryPath({ match }: Route): boolean {
  const path = match?.pathSpecifier;
  return path?.case === 'prefix' && path.value === '/';
}

function asksNothingElse({ match, $unknown = [] }: Route): boolean {
  if (match === undefined || $unknown.length > 0 || (match.$unknown ?? []).length > 0) return false;
  const { queryParameters, dynamicMetadata, runtimeFraction, grpc, tlsContext } = match;
  const others = [runtimeFraction, grpc, tlsContext].filter((each) => each !== undefined);
  return queryParameters.length + dynamicMetadata.length + others.length === 0;
}
