import { plural } from '../../base/plural.ts';
import type { Problem } from '../../base/problem.ts';
import type { AdminListener } from '../../model/admin-listener.ts';
import type { Compiled } from '../../model/compiled.ts';
import type { ControlFacts } from '../../admin/envoy/facts.ts';
import type { ProxyState } from '../../admin/proxy-state.ts';
import type { Snapshot } from '../../model/snapshot.ts';

export type Good = Extract<Compiled, { kind: 'compiled' }>;

/**
 * A source of configurations. All code uses a source only through this interface, and test/control
 * runs one suite for each: a folder, files in memory, a folder compiled in a thread, a control
 * plane, and one that an embedder passes to `startEgress`. docs/config-sources.md shows how to
 * write one.
 */
export interface ConfigSource {
  /** Its name in the first lines of the log, without any secret. */
  readonly about?: { readonly mode: string; readonly source: string };
  /** Warnings for the log at the start. */
  readonly warnings?: readonly string[];
  /** How the egress treats it. Absent fields are false. */
  readonly behaviour?: Partial<SourceBehaviour>;
  /**
   * Called once, before everything else; resolves when there is something to load. Rejects for a
   * fault that waiting does not cure, and with the reason of the signal. Absent means that a load
   * is possible at once.
   */
  start?(signal: AbortSignal | undefined): Promise<void>;
  /**
   * Reads and compiles the present state. One load ends before the next begins. Errors of an
   * operator come back as `invalid` with their problems; a rejection also keeps the live
   * configuration, and is logged as a failure of the source.
   */
  load(): Promise<Compiled>;
  /**
   * Calls `changed` whenever a load may have another result than the last one, including a change
   * between that load and this call. Returns the function that stops the watch.
   */
  watch(changed: () => void): () => void;
  /**
   * Returns where the source wants to reach the admin pages, by the last load. Absent or null means
   * nowhere.
   */
  adminListener?(): AdminListener | null;
  /**
   * Returns the facts of its control plane for the pages in Envoy's form. Absent or null means
   * none.
   */
  controlFacts?(): ControlFacts | null;
  /** Called each time that the result of the last load is live everywhere. */
  wentLive?(): void;
  /**
   * Returns when the live configuration was kept, in milliseconds since the Unix epoch, where it is
   * an older one because the origin of the source is away. Absent or null: it is the present one.
   */
  keptSince?(): number | null;
  /** Lists the proxies as which it has joined a control plane. Absent means none. */
  proxies?(): readonly JoinedProxy[];
  /**
   * Called at the start of a drain, and perhaps again: tells the origin of the source that this
   * egress leaves, so that clients are sent elsewhere while it still accepts. Loads go on to
   * return the last state. It is not called where another process takes over the listening socket.
   */
  leave?(): void;
  /**
   * Ends everything that the source holds, started or not, including watches. A running load
   * settles. It may be called twice.
   */
  close?(): Promise<void>;
}

/** A proxy as which a source has joined a control plane, with what the control plane sent it. */
export interface JoinedProxy extends ProxyState {
  /** The routes of this proxy, without those of the other proxies of the process. */
  readonly snapshot: Snapshot;
  /** Where it wants clients to come to; null without a listener. */
  readonly place: { readonly address: string; readonly port: number } | null;
  readonly adminListener: AdminListener | null;
  readonly controlFacts: ControlFacts | null;
  /** Reads its token anew, for its expiry; null where it has none. Absent means none. */
  readonly token?: () => Promise<string | null>;
}

export interface SourceBehaviour {
  /**
   * True when a configuration comes in pieces: a route may come before its cluster. A missing part
   * is then a warning, not a reason to reject the load.
   */
  readonly inPieces: boolean;
  /**
   * True makes the start wait for the first usable configuration. Otherwise it fails with the
   * problems of the first one.
   */
  readonly awaitsFirst: boolean;
  /** True follows changes even without the option `watch`. */
  readonly alwaysWatched: boolean;
  /**
   * True opens, moves and closes the listener for clients with each configuration, and tries again
   * where it cannot be opened. Otherwise it is opened once; another address needs a restart.
   */
  readonly movesListener: boolean;
  /**
   * True when the source announces the end of this egress to clients, and only after it: a drain
   * accepts connections for its whole time. Otherwise a drain stops accepting when no more clients
   * come.
   */
  readonly announcesEnd: boolean;
}

export function behaviourOf({ behaviour = {} }: ConfigSource): SourceBehaviour {
  return {
    inPieces: behaviour.inPieces ?? false,
    awaitsFirst: behaviour.awaitsFirst ?? false,
    alwaysWatched: behaviour.alwaysWatched ?? false,
    movesListener: behaviour.movesListener ?? false,
    announcesEnd: behaviour.announcesEnd ?? false,
  };
}

/**
 * Turns a compiled configuration into the one to serve, or into the problems that forbid it. A
 * snapshot with other content needs another version.
 */
export type Rewrite = (compiled: Good) => Promise<Compiled>;

/** Thrown at a start with a configuration that cannot be used. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(`the configuration has ${plural(problems.length, 'problem')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
