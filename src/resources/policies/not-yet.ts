/** What policies can ask for on an egress, as messages name it. */
export type Feature =
  | 'circuit breakers'
  | 'outlier detection'
  | 'limits of requests, retries and connection pools'
  | 'TCP health checks'
  | 'HTTP health checks'
  | 'gRPC health checks'
  | 'no health check'
  | 'failTrafficOnPanic'
  | 'connection rate limits'
  | 'HTTP rate limits'
  | 'HTTP faults'
  | 'HTTP hash policies'
  | 'loadBalancer of services';

/** What needs HTTP: this egress passes HTTP on as bytes. */
export const NEEDS_HTTP: ReadonlySet<Feature> = new Set<Feature>([
  'limits of requests, retries and connection pools',
  'HTTP health checks',
  'gRPC health checks',
  'HTTP rate limits',
  'HTTP faults',
  'HTTP hash policies',
]);

/** What has no effect in Kuma either, in words that the names of services follow. */
export const NO_EFFECT: ReadonlyMap<Feature, string> = new Map<Feature, string>([
  ['no health check', 'makes no check where none is written for the protocol of the service'],
  ['loadBalancer of services', 'its loadBalancer counts for MeshExternalServices only, on an egress'],
]);
