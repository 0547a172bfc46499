import type { Problem } from '../../base/problem.ts';
import type { AdminListener } from '../../model/admin-listener.ts';
import type { Compiled } from '../../model/compiled.ts';
import type { ControlFacts } from '../../admin/envoy/facts.ts';

export type Good = Extract<Compiled, { kind: 'compiled' }>;

/**
 * Where configurations come from. Every source is used through this alone, and test/control holds
 * each to it with one suite: a folder, files in memory, a folder compiled in a thread, a control
 * plane, and one that an embedder hands to `startEgress`. docs/config-sources.md shows how to write
 * one.
 */
export interface ConfigSource {
  /** What the first lines of the log call it. Must hold nothing secret. */
  readonly about?: { readonly mode: string; readonly source: string };
  /** What the operator should read in the log at the start. */
  readonly warnings?: readonly string[];
  /** How the egress treats it. What is absent is false. */
  readonly behaviour?: Partial<SourceBehaviour>;
  /**
   * Called once, before everything else; resolves when there is something to load. Rejects for what
   * waiting does not mend, and with the reason of the signal. Absent: a load is possible at once.
   */
  start?(signal: AbortSignal | undefined): Promise<void>;
  /**
   * Reads and compiles what is there now. One load ends before the next begins. What an operator
   * wrote wrongly comes back as `invalid` with its problems; a rejection keeps what was live too,
   * and is logged as a failure of the source.
   */
  load(): Promise<Compiled>;
  /**
   * Calls `changed` whenever a load may give something else than the last one, also for a change
   * between that load and this call. Gives back how to stop.
   */
  watch(changed: () => void): () => void;
  /** Where the source wants to reach the admin pages, by the last load. Absent or null: nowhere. */
  adminListener?(): AdminListener | null;
  /** What the pages in Envoy's words say of its control plane. Absent or null: it has none. */
  controlFacts?(): ControlFacts | null;
  /**
   * Ends everything that the source holds, whether it was started or not, its watches too. A load
   * that is under way settles. May be called twice.
   */
  close?(): Promise<void>;
}

export interface SourceBehaviour {
  /**
   * A configuration comes in pieces: a route may be there before its cluster. What may still come
   * is then a warning, not a reason to reject the load.
   */
  readonly inPieces: boolean;
  /**
   * The start waits for the first configuration that can be used. Otherwise it fails with the
   * problems of the first one.
   */
  readonly awaitsFirst: boolean;
  /** Changes are followed also without the option `watch`. */
  readonly alwaysWatched: boolean;
  /**
   * The listener for clients opens, moves and closes as each configuration says, and is tried again
   * where it cannot be opened. Otherwise it is opened once; another address needs a restart.
   */
  readonly movesListener: boolean;
  /**
   * Clients hear of the end of this egress from the source, and only after it: a drain accepts
   * connections for the whole of its time. Otherwise it stops when no client comes any more.
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
 * Makes of a compiled configuration the one that is served, or the problems that forbid it. Its
 * snapshot needs another version where its content differs.
 */
export type Rewrite = (compiled: Good) => Promise<Compiled>;

/** A start with a configuration that cannot be used. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(`the configuration has ${problems.length} problem${problems.length === 1 ? '' : 's'}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
