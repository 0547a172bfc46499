import type { Delta, SnapshotChange } from './changes.ts';
import type { MeshCredentials } from './credentials.ts';
import type { EndpointHealth, Resolution } from './endpoint-view.ts';
import type { ContentHash, MeshName } from './names.ts';
import type { RequestRecord } from './request-record.ts';
import type { SessionRecord } from './session-record.ts';

/**
 * From the control side to a data side. In one thread they are calls, between threads they are
 * posted.
 */
export type ToData =
  /** Secrets come before the snapshot that names them, and go after it. */
  | ({ readonly kind: 'secrets' } & Delta<ContentHash, string>)
  | { readonly kind: 'credentials'; readonly credentials: MeshCredentials }
  | { readonly kind: 'credentials-removed'; readonly mesh: MeshName }
  /** A piece of a snapshot change; the snapshot goes live with the last. */
  | { readonly kind: 'change'; readonly change: SnapshotChange; readonly last: boolean }
  | { readonly kind: 'resolved'; readonly name: string; readonly resolution: Resolution }
  /** What is known of one address of a cluster, by `addressKey`. */
  | { readonly kind: 'health'; readonly cluster: string; readonly key: string; readonly health: EndpointHealth }
  /**
   * Where the counters of clusters and the token buckets of routes are in the shared memory; before
   * the change that brings them, and after the one that takes them away.
   */
  | { readonly kind: 'slots'; readonly clusters: SlotChange; readonly routes: SlotChange }
  /** `inherited` is the descriptor of a socket that listens already, in place of a new one. */
  | {
      readonly kind: 'listen';
      readonly address: string;
      readonly port: number;
      readonly reusePort: boolean;
      readonly inherited?: number;
    }
  /** Where this process listens, for all its listeners: never dialled. */
  | { readonly kind: 'own-listeners'; readonly ownListeners: readonly OwnListener[] }
  /**
   * Go on accepting until nothing came for `quietMs`, at most for `atMostMs`; then no new sessions.
   */
  /** The process is about to end: clients that can be told so are told to go. */
  | { readonly kind: 'drain' }
  | { readonly kind: 'close-listener'; readonly quietMs: number; readonly atMostMs: number }
  /** Ends every session that is left, with the reason `drained`. */
  | { readonly kind: 'end-sessions' }
  /** Asks for `alive`: the thread still takes messages. */
  | { readonly kind: 'ask-alive' }
  /** Ends everything now. */
  | { readonly kind: 'stop' };

/** Slots by name. */
export type SlotChange = Delta<string, number>;

/**
 * How an attempt to connect ended, or a request. TLS that could not be made is a failure of the
 * endpoint too.
 */
export type AttemptOutcome =
  | 'ok'
  | 'connect-failed'
  | 'timeout'
  | 'tls-failed'
  /** A connection for requests was made: what they come to is counted for each by itself. */
  | 'connected'
  /**
   * A request was answered with less than 500; 502, 503 and 504 are those of gateways. One that was
   * reset is a failure to connect.
   */
  | 'answered'
  | 'answered-5xx'
  | 'answered-gateway-error';

export interface EndpointReport {
  readonly cluster: string;
  /** `addressKey`. */
  readonly key: string;
  readonly outcome: AttemptOutcome;
}

export interface OwnListener {
  readonly ip: string;
  readonly port: number;
}

/** From a data side to the control side. */
export type FromData =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'listen-failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'listener-closed' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'alive' }
  /** The snapshot of this version is live. */
  | { readonly kind: 'live'; readonly version: string }
  | { readonly kind: 'records'; readonly records: readonly SessionRecord[] }
  | { readonly kind: 'requests'; readonly records: readonly RequestRecord[] }
  /** A session came for this mesh, and the wall clock is outside of the life of its certificate. */
  | { readonly kind: 'credentials-needed'; readonly mesh: MeshName }
  | { readonly kind: 'resolve'; readonly name: string; readonly family: 'v4' | 'any' }
  /**
   * Of clusters with health checks or outlier detection, in the order in which the attempts ended.
   */
  | { readonly kind: 'endpoint-reports'; readonly reports: readonly EndpointReport[] }
  /** Which relay runs, once at start. */
  | { readonly kind: 'relay'; readonly path: 'adopted-handle' | 'public-api' }
  /** A bug or a broken environment: the stack, already text. */
  | { readonly kind: 'fault'; readonly message: string; readonly stack: string };
