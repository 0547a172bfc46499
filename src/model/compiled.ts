import type { Problem } from '../base/problem.ts';
import type { Secrets, Snapshot } from './snapshot.ts';

/** What a compiler of configuration gives: a snapshot to run on, or only the problems that forbid one. */
export type Compiled =
  | {
      readonly kind: 'compiled';
      readonly snapshot: Snapshot;
      readonly secrets: Secrets;
      readonly listener: ListenerConfig;
      /** Warnings only. */
      readonly problems: readonly Problem[];
      /** Where each thing was written: `route:<sni>`, `cluster:<name>`, `mesh:<name>`, `permission:<by>`. */
      readonly origins: ReadonlyMap<string, Origin>;
    }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

export interface ListenerConfig {
  /** Name of the ZoneEgress resource. */
  readonly name: string;
  /** Empty where the resource names no address: then every address of the machine. */
  readonly address: string;
  readonly port: number;
  readonly adminPort: number;
}

export interface Origin {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}
