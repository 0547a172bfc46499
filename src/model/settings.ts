/**
 * How a data side behaves, the same for every session. Units in the names; the table is made
 * from these defaults.
 */
export interface TrafficSettings {
  /** From accept until bytes flow: hello, handshake, connect. */
  readonly setupTimeoutMs: number;
  readonly maxHelloBytes: number;
  /** No byte in either direction for this long ends the session; 0 never does. */
  readonly idleTimeoutMs: number;
  /** The same once one side has ended its direction; 0 leaves it to the idle timeout. */
  readonly halfClosedTimeoutMs: number;
  /** How long a session may go on after its route is gone or denied. */
  readonly drainTimeMs: number;
  /** Of the whole process. */
  readonly maxSessions: number;
  /** Open files that the process may have; 0 where that is not known. */
  readonly maxDescriptors: number;
  /** TLS handshakes with clients under way at once, of the whole process. */
  readonly maxHandshakes: number;
  /** Sessions of one source address, of the whole process; 0 is no limit. */
  readonly maxSessionsPerSource: number;
  readonly backlog: number;
  /** CIDR blocks that names may resolve to although the address class is refused otherwise. */
  readonly allowedResolved: readonly string[];
  /**
   * Requests of services that speak HTTP are served one by one; otherwise their bytes pass as those
   * of any other service.
   */
  readonly http: boolean;
  /** The public-API relay even where the adopted handle works: for comparison and tests. */
  readonly publicApiRelay: boolean;
  /** Listeners and sockets do not hold the process open: for an egress inside a test. */
  readonly unref: boolean;
}

export const DEFAULT_TRAFFIC_SETTINGS: TrafficSettings = {
  setupTimeoutMs: 15_000,
  maxHelloBytes: 16_384,
  idleTimeoutMs: 3_600_000,
  halfClosedTimeoutMs: 300_000,
  drainTimeMs: 30_000,
  maxSessions: 10_000,
  maxDescriptors: 0,
  maxHandshakes: 512,
  maxSessionsPerSource: 0,
  backlog: 4_096,
  allowedResolved: [],
  http: true,
  publicApiRelay: false,
  unref: false,
};
