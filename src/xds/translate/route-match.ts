import type { Route } from '#envoy/config/route/v3/route_components_pb.js';

/**
 * Whether a route asks nothing of a request but its path: not a header, not a certificate, and
 * nothing that is not known here.
 */
export function asksPathOnly(route: Route): boolean {
  return asksNothingElse(route) && route.match?.headers.length === 0;
}

/** Whether it is for any path, and asks for nothing but headers. */
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
