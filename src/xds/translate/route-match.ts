import type { Route } from '#envoy/config/route/v3/route_components_pb.js';

/**
 * Whether a route asks nothing of a request but its path: not a header, not a certificate, and
 * nothing that is not known here.
 */
export function asksPathOnly({ match, $unknown = [] }: Route): boolean {
  if (match === undefined || $unknown.length > 0 || (match.$unknown ?? []).length > 0) return false;
  const { headers, queryParameters, dynamicMetadata, runtimeFraction, grpc, tlsContext } = match;
  const others = [runtimeFraction, grpc, tlsContext].filter((each) => each !== undefined);
  return headers.length + queryParameters.length + dynamicMetadata.length + others.length === 0;
}
