import type { Problem } from '../base/problem.ts';
import type { Secrets, Snapshot } from './snapshot.ts';

/**
 * What a compiler of configuration gives: a snapshot to run on, or only the problems that forbid
 * one.
 */
export type Compiled =
  | {
      readonly kind: 'compiled';
      readonly snapshot: Snapshot;
      readonly secrets: Secrets;
      readonly listener: ListenerConfig;
      /** Warnings, and the errors that refuse one destination or one mesh. */
      readonly problems: readonly Problem[];
      /**
       * Where each thing was written: `route:<sni>`, `cluster:<name>`, `mesh:<name>`,
       * `permission:<by>`.
       */
      readonly origins: ReadonlyMap<string, Origin>;
      /**
       * What was written and is not served, by the SNI that clients would ask for. Absent: nothing
       * is known of such.
       */
      readonly absent?: ReadonlyMap<string, Absent>;
    }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

export interface ListenerConfig {
  /** Name of the ZoneEgress resource. */
  readonly name: string;
  /** Empty where the resource names no address: then every address of the machine. */
  readonly address: string;
  readonly port: number;
  readonly adminPort: number;
  /** A control plane has sent no listener: nothing is to listen now. Absent: there is one. */
  readonly absent?: true;
}

export interface Origin {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/**
 * Something that operators wrote and that is not served, for whoever asks why an SNI has no route.
 * `reason` is what keeps it out, `file` and `line` where that could be changed. Flat, so that it is
 * compared and posted cheaply.
 */
export interface Absent extends Origin {
  readonly reason: AbsentReason;
  /** The resource that keeps it out, e.g. `Mesh default`. */
  readonly resource: string;
  readonly mesh: string;
  readonly destination: string;
  /**
   * Of `other-zone`: the zone that the service is reachable from; of `cannot-be-reached`: the field
   * that is missing; of `invalid`: what is wrong. Empty otherwise.
   */
  readonly value: string;
}

export type AbsentReason =
  /** The mesh has no mTLS, so that there is no SNI to go by. */
  | 'mesh-without-mtls'
  /** Other zones offer it, and the mesh does not go through zone egresses. */
  | 'zone-egress-disabled'
  /** Only the ingress of this zone offers it: clients reach it without an egress. */
  | 'this-zone-only'
  /** An external service that is reachable from another zone only. */
  | 'other-zone'
  /** The ingress that offers it lacks a zone, or an address to be reached at. */
  | 'cannot-be-reached'
  /** No TrafficRoute of the mesh leads there. */
  | 'no-traffic-route'
  /**
   * A MeshExternalService without endpoints, or with an extension that only a control plane knows.
   */
  | 'incomplete'
  /** What was written of it has an error. */
  | 'invalid';

/** One that can go live. */
export type GoodConfig = Extract<Compiled, { kind: 'compiled' }>;
