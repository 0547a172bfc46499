/** What policies can ask for on an egress, as messages name it. */
export type Feature =
  | 'circuit breakers'
  | 'outlier detection'
  | 'TCP health checks'
  | 'HTTP health checks'
  | 'gRPC health checks'
  | 'failTrafficOnPanic'
  | 'connection rate limits'
  | 'HTTP rate limits'
  | 'HTTP faults'
  | 'HTTP hash policies';

/** What needs HTTP: this egress passes HTTP on as bytes. */
export const NEEDS_HTTP: ReadonlySet<Feature> = new Set<Feature>([
  'HTTP health checks',
  'gRPC health checks',
  'HTTP rate limits',
  'HTTP faults',
  'HTTP hash policies',
]);
