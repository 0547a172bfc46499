import type { AccessLogTarget } from './access-log.ts';
import type { HttpRoute } from './http-route.ts';
import type { Permission } from './permission.ts';
import type { MeshName, ServerName } from './names.ts';

/** The target of the SNI of a ClientHello. A session keeps its route, never the snapshot. */
export type Route = PassthroughRoute | TerminateRoute;

interface RouteBase {
  readonly serverName: ServerName;
  readonly mesh: MeshName;
  /** The name that operators know: `kuma.io/service`, or the name of the MeshExternalService. */
  readonly destination: string;
  /** Name of a cluster of the same snapshot. */
  readonly cluster: string;
  /**
   * Ends a joined session after so long without a byte in either direction; 0 never ends it. Absent
   * means the idle timeout of the egress.
   */
  readonly idleMs?: number;
  /** Why a known route must not be used: refuses with `unsupported-policy`. */
  readonly unsupported?: string;
  /** Access logs of its sessions, or of its requests where it speaks HTTP. */
  readonly accessLogs?: readonly AccessLogTarget[];
}

/** A service of another zone: the client's bytes go unchanged to that zone's ingress. */
export interface PassthroughRoute extends RouteBase {
  readonly kind: 'passthrough';
  /** Selects the endpoints that carry all of these tags; empty selects all. */
  readonly subset: Readonly<Record<string, string>>;
}

/** An external service: the egress terminates the mesh mTLS. */
export interface TerminateRoute extends RouteBase {
  readonly kind: 'terminate';
  /**
   * The key in `meshes` of the identity that terminates its mTLS, where the mesh has several:
   * during a migration it has one for its ZoneEgress and one for its Dataplane. Absent means the
   * name of the mesh.
   */
  readonly identity?: MeshName;
  readonly permission: Permission;
  /**
   * True lets clients pass that the permission denies, and records them. Only the options of the
   * process set it, never a source of configurations.
   */
  readonly reportOnly?: true;
  readonly protocol: 'tcp' | 'http' | 'http2' | 'grpc' | 'kafka';
  /** How its requests are served. Absent passes bytes unchanged. */
  readonly http?: HttpRoute;
  /** Limits new connections. Absent means no limit. */
  readonly rateLimit?: ConnectionRateLimit;
}

/**
 * Limits new connections of one route, for the whole process: this many at once, refilled evenly
 * over the interval.
 */
export interface ConnectionRateLimit {
  readonly connections: number;
  readonly intervalMs: number;
}

/** Returns the key in `meshes` of the identity that terminates the mTLS of the route. */
export function identityOf(route: Route): MeshName {
  return route.kind === 'terminate' ? (route.identity ?? route.mesh) : route.mesh;
}
