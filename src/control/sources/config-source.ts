import type { Problem } from '../../base/problem.ts';
import type { Compiled } from '../../model/compiled.ts';

/** Where configuration comes from: a folder of resources, resources in memory, a control plane. */
export interface ConfigSource {
  /**
   * What it gives comes in pieces: a route may be there before its cluster, a cluster before its
   * endpoints. Absent: it is whole.
   */
  readonly inPieces?: true;
  /** Reads and compiles what is there now. Never throws for what an operator wrote. */
  load(): Promise<Compiled>;
  /** Calls `changed` whenever a load may give something else; gives back how to stop. */
  watch(changed: () => void): () => void;
  /** Of what the last load read, for a watch that begins later. */
  fingerprint?(): string | null;
  /** Ends what the source holds. */
  close?(): Promise<void>;
}

/** A start with a configuration that cannot be used. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(`the configuration has ${problems.length} problem${problems.length === 1 ? '' : 's'}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
