import type { HttpRoute } from './http-route.ts';
import type { Permission } from './permission.ts';
import type { MeshName, ServerName } from './names.ts';

/** What the SNI of a ClientHello selects. A session keeps its route, never the snapshot. */
export type Route = PassthroughRoute | TerminateRoute;

interface RouteBase {
  readonly serverName: ServerName;
  readonly mesh: MeshName;
  /** The name an operator knows: `kuma.io/service`, or the name of the MeshExternalService. */
  readonly destination: string;
  /** Name of a cluster of the same snapshot. */
  readonly cluster: string;
  /**
   * Why nothing may use this route, although it is known: refuses with `unsupported-policy`.
   * Absent: it may be used.
   */
  readonly unsupported?: string;
}

/** A service of another zone: the client's bytes go untouched to that zone's ingress. */
export interface PassthroughRoute extends RouteBase {
  readonly kind: 'passthrough';
  /** Only endpoints that carry all of these tags; empty admits all. */
  readonly subset: Readonly<Record<string, string>>;
}

/** An external service: the mesh mTLS ends here. */
export interface TerminateRoute extends RouteBase {
  readonly kind: 'terminate';
  readonly permission: Permission;
  readonly protocol: 'tcp' | 'http' | 'http2' | 'grpc' | 'kafka';
  /** How its requests are served. Absent: bytes pass as they are. */
  readonly http?: HttpRoute;
  /** Of new connections. Absent: none. */
  readonly rateLimit?: ConnectionRateLimit;
}

/**
 * New connections of one route, of the whole process: so many at once, refilled evenly over the
 * interval.
 */
export interface ConnectionRateLimit {
  readonly connections: number;
  readonly intervalMs: number;
}
