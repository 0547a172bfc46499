import type { Route } from '#envoy/config/route/v3/route_components_pb.js';

/**
 * Tells whether a route only matches the path: no header, no certificate, and no field that is
 * unknown here.
 */
export function asksPathOnly(route: Route): boolean {
  return asksNothingElse(route) && route.match?.headers.length === 0;
}

/** Tells whether it matches every path, and only headers besides. */
export function asksForHeaders(route: Route): boolean {
  const path = route.match?.pathSpecifier;
  return asksNothingElse(route) && path?.case === 'prefix' && path.value === '/';
}

function asksNothingElse({ match, $unknown = [] }: Route): boolean {
  if (match === undefined || $unknown.length > 0 || (match.$unknown ?? []).length > 0) return false;
  const { queryParameters, dynamicMetadata, runtimeFraction, grpc, tlsContext } = match;
  const others = [runtimeFraction, grpc, tlsContext].filter((each) => each !== undefined);
  return queryParameters.length + dynamicMetadata.length + others.length === 0;
}
