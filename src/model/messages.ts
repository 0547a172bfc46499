import type { AccessLogLine } from './access-log.ts';
import type { Delta, SnapshotChange } from './changes.ts';
import type { MeshCredentials } from './credentials.ts';
import type { EndpointHealth, Resolution } from './endpoint-view.ts';
import type { ContentHash, MeshName } from './names.ts';
import type { ShownQuery, ShownSession } from './shown-session.ts';
import type { RequestRecord } from './request-record.ts';
import type { SessionRecord } from './session-record.ts';
import type { TicketKeySet } from './ticket-keys.ts';

/**
 * Messages from the control side to a data side. In one thread they are calls, between threads they
 * are posted.
 */
export type ToData =
  /** Secrets are sent before the snapshot that names them, and removed after it. */
  | ({ readonly kind: 'secrets' } & Delta<ContentHash, string>)
  | { readonly kind: 'credentials'; readonly credentials: MeshCredentials }
  | { readonly kind: 'credentials-removed'; readonly mesh: MeshName }
  /** Sent after the credentials that they belong to. Without them no session is resumed. */
  | { readonly kind: 'ticket-keys'; readonly keys: TicketKeySet }
  /** A piece of a snapshot change; the snapshot goes live with the last. */
  | { readonly kind: 'change'; readonly change: SnapshotChange; readonly last: boolean }
  | { readonly kind: 'resolved'; readonly name: string; readonly resolution: Resolution }
  /** The state of one address of a cluster, by `addressKey`. */
  | { readonly kind: 'health'; readonly cluster: string; readonly key: string; readonly health: EndpointHealth }
  /**
   * The slots in the shared memory of the counters of clusters and the token buckets of routes.
   * Sent before the change that adds them, and after the one that removes them.
   */
  | { readonly kind: 'slots'; readonly clusters: SlotChange; readonly routes: SlotChange }
  /** `inherited` is the descriptor of a socket that listens already, instead of a new one. */
  | {
      readonly kind: 'listen';
      /** Names the listener among those of a data side. */
      readonly place: string;
      readonly address: string;
      readonly port: number;
      readonly reusePort: boolean;
      readonly inherited?: number;
      /** True holds its connections until another `listen` takes this place. */
      readonly waits?: true;
      /** The place that holds this address and port; its connections are served from now on. */
      readonly takes?: string;
    }
  /** Addresses of all listeners of this process, which are never dialled. */
  | { readonly kind: 'own-listeners'; readonly ownListeners: readonly OwnListener[] }
  /** The process is about to end: clients whose protocol allows it are asked to leave. */
  | { readonly kind: 'drain' }
  /**
   * Accepts until no connection came for `quietMs`, at most for `atMostMs`; then there are no new
   * sessions at this place. `EVERY_PLACE` closes all of them.
   */
  | { readonly kind: 'close-listener'; readonly place: string; readonly quietMs: number; readonly atMostMs: number }
  /** Ends every remaining session with the reason `drained` and this detail. */
  | { readonly kind: 'end-sessions'; readonly detail: string }
  /**
   * Asks for `shown-sessions`. With `end`, each session that the query finds is ended, with the
   * reason `ended-by-operator` and this detail, and `found` counts those that were ended.
   */
  | { readonly kind: 'ask-sessions'; readonly ask: number; readonly query: ShownQuery; readonly end?: string }
  /** Asks for `alive`: the thread still takes messages. */
  | { readonly kind: 'ask-alive' }
  /** Asks for `open-sessions`. */
  | { readonly kind: 'ask-open-sessions' }
  /** Ends everything now. */
  | { readonly kind: 'stop' };

/** The sessions of a data side that have not ended. */
export interface OpenSessions {
  /** The age of the oldest, in milliseconds; 0 without one. */
  readonly oldestMs: number;
  /** Sessions by `mesh/destination`; those without a route yet are under an empty name. */
  readonly destinations: ReadonlyMap<string, number>;
}

/** Means all listeners of a data side. */
export const EVERY_PLACE = '*';

/** Slots by name. */
export type SlotChange = Delta<string, number>;

/**
 * The outcome of a connection attempt, or of a request. A failed TLS handshake is a failure of the
 * endpoint too.
 */
export type AttemptOutcome =
  | 'ok'
  | 'connect-failed'
  | 'timeout'
  | 'tls-failed'
  /** A connection for requests was made; their outcomes are counted one by one. */
  | 'connected'
  /**
   * A request was answered with a status below 500; 502, 503 and 504 are gateway errors. A reset
   * request counts as a failure to connect.
   */
  | 'answered'
  | 'answered-5xx'
  | 'answered-gateway-error';

export interface EndpointReport {
  readonly cluster: string;
  /** From `addressKey`. */
  readonly key: string;
  readonly outcome: AttemptOutcome;
}

export interface OwnListener {
  readonly ip: string;
  readonly port: number;
}

/** Messages from a data side to the control side. */
export type FromData =
  | { readonly kind: 'listening'; readonly place: string; readonly port: number }
  | { readonly kind: 'listen-failed'; readonly place: string; readonly code: string; readonly message: string }
  /**
   * With `EVERY_PLACE`, all are closed. `turnedAway`: connections that waited for a configuration.
   */
  | { readonly kind: 'listener-closed'; readonly place: string; readonly turnedAway: number }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'alive' }
  | { readonly kind: 'open-sessions'; readonly open: OpenSessions }
  /** The snapshot of this version is live. */
  | { readonly kind: 'live'; readonly version: string }
  /** The change is not live; the snapshot before it is. */
  | { readonly kind: 'change-failed'; readonly message: string }
  | { readonly kind: 'records'; readonly records: readonly SessionRecord[] }
  | { readonly kind: 'requests'; readonly records: readonly RequestRecord[] }
  /** Lines for the access logs of routes, in their order. */
  | { readonly kind: 'access-lines'; readonly lines: readonly AccessLogLine[] }
  /** A session came for this mesh, and its certificate is not valid at this moment. */
  | { readonly kind: 'credentials-needed'; readonly mesh: MeshName }
  | { readonly kind: 'resolve'; readonly name: string; readonly family: 'v4' | 'any' }
  /** Names that traffic uses; each comes again as long as it is in use. */
  | { readonly kind: 'names-in-use'; readonly names: readonly string[] }
  /**
   * Reports on clusters with health checks or outlier detection, in the order in which the attempts
   * ended.
   */
  | { readonly kind: 'endpoint-reports'; readonly reports: readonly EndpointReport[] }
  /** The relay in use; sent once at the start. */
  | { readonly kind: 'relay'; readonly path: 'adopted-handle' | 'public-api' }
  /** A piece of the answer to `ask-sessions` with the same number. */
  | {
      readonly kind: 'shown-sessions';
      readonly ask: number;
      readonly sessions: readonly ShownSession[];
      /** The sessions that the query finds, which may be more than it asks for. */
      readonly found: number;
      readonly last: boolean;
    }
  /** A bug or a broken environment, with its stack as text. */
  | { readonly kind: 'fault'; readonly message: string; readonly stack: string };
