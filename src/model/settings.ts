/**
 * Settings of a data side, the same for every session. Units are in the names; the table is made
 * from these defaults.
 */
export interface TrafficSettings {
  /** From accept until bytes flow: hello, handshake, connect. */
  readonly setupTimeoutMs: number;
  readonly maxHelloBytes: number;
  /** Ends a session after this much time without a byte in either direction; 0 never does. */
  readonly idleTimeoutMs: number;
  /** Does the same once one side has ended its direction; 0 leaves it to the idle timeout. */
  readonly halfClosedTimeoutMs: number;
  /** How long a session may continue after its route is gone or denied. */
  readonly drainTimeMs: number;
  /** For the whole process. */
  readonly maxSessions: number;
  /** The most file descriptors of the process; 0 where that is not known. */
  readonly maxDescriptors: number;
  /** Concurrent TLS handshakes with clients, in the whole process. */
  readonly maxHandshakes: number;
  /** Sessions of one source address, in the whole process; 0 means no limit. */
  readonly maxSessionsPerSource: number;
  readonly backlog: number;
  /**
   * CIDR blocks that names may resolve to although their class of addresses is refused otherwise.
   */
  readonly allowedResolved: readonly string[];
  /**
   * True serves requests of HTTP services one by one; otherwise their bytes pass like those of any
   * other service.
   */
  readonly http: boolean;
  /**
   * True gives clients session tickets, and resumes their sessions; otherwise each connection makes
   * a full handshake.
   */
  readonly resumption: boolean;
  /**
   * True uses the public-API relay even where the adopted handle works, for comparison and tests.
   */
  readonly publicApiRelay: boolean;
  /**
   * True makes listeners and sockets that do not hold the process open, for an egress inside a
   * test.
   */
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
  resumption: true,
  publicApiRelay: false,
  unref: false,
};
