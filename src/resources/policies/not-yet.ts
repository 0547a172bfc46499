/** Features that policies can ask for on an egress, as messages name them. */
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
  | 'loadBalancer of services'
  | 'timeouts'
  | 'access logs'
  | 'access logs of type OpenTelemetry';

/** Features that Kuma has and this egress has not. */
export const NOT_YET: ReadonlySet<Feature> = new Set<Feature>(['access logs of type OpenTelemetry']);

/** Features without an effect in Kuma too; the names of services follow each text. */
export const NO_EFFECT: ReadonlyMap<Feature, string> = new Map<Feature, string>([
  [
    'limits of requests, retries and connection pools',
    'its limits of requests, retries and connection pools are for what speaks HTTP',
  ],
  ['no health check', 'makes no check where none is written for the protocol of the service'],
  ['loadBalancer of services', 'its loadBalancer counts for MeshExternalServices only, on an egress'],
]);
