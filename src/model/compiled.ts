import type { Problem } from '../base/problem.ts';
import type { Secrets, Snapshot } from './snapshot.ts';

/**
 * The result of compiling a configuration: a snapshot to run on, or only the problems that forbid
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
       * The places of the written resources, by `route:<sni>`, `cluster:<name>`, `mesh:<name>`,
       * `permission:<by>`.
       */
      readonly origins: ReadonlyMap<string, Origin>;
      /**
       * Destinations that are written but not served, by the SNI that clients would ask for. Absent
       * where none is known.
       */
      readonly absent?: ReadonlyMap<string, Absent>;
    }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

export interface ListenerConfig {
  /** Name of the ZoneEgress resource, or of the first Dataplane. */
  readonly name: string;
  /** Empty where the resource names no address: it then listens on every address of the machine. */
  readonly address: string;
  readonly port: number;
  readonly adminPort: number;
  /** Further places to listen at; each serves every server name. Absent means none. */
  readonly more?: readonly ListenerPlace[];
  /** True where a control plane has sent no listener, so the egress must not listen now. */
  readonly absent?: true;
  /**
   * The ZoneEgress and the Dataplanes that one process serves, where they are several, for the
   * metrics. Absent means one.
   */
  readonly serving?: readonly ServingProxy[];
}

/** One of the proxies of a process. */
export interface ServingProxy {
  /** Name of its resource. */
  readonly name: string;
  /** The key in `meshes` of its identity; empty for a ZoneEgress, which serves the rest. */
  readonly identity: string;
}

export interface ListenerPlace {
  /** `mesh.name` for a Dataplane. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface Origin {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/**
 * A destination that operators wrote and that is not served; it explains why an SNI has no route.
 * `reason` is what keeps it out, `file` and `line` are where that could be changed. Flat, so that
 * it is cheap to compare and to post.
 */
export interface Absent extends Origin {
  readonly reason: AbsentReason;
  /** The resource that keeps it out, e.g. `Mesh default`. */
  readonly resource: string;
  readonly mesh: string;
  readonly destination: string;
  /**
   * For `other-zone`, the zone that the service is reachable from; for `cannot-be-reached`, the
   * missing field; for `invalid`, the fault. Empty otherwise.
   */
  readonly value: string;
}

export type AbsentReason =
  /** The mesh has no mTLS, so there is no SNI to route by. */
  | 'mesh-without-mtls'
  /** Other zones offer it, and the mesh does not use zone egresses. */
  | 'zone-egress-disabled'
  /** Only the ingress of this zone offers it: clients reach it without an egress. */
  | 'this-zone-only'
  /** An external service that is reachable only from another zone. */
  | 'other-zone'
  /** The ingress that offers it lacks a zone, or an address. */
  | 'cannot-be-reached'
  /** No TrafficRoute of the mesh leads to it. */
  | 'no-traffic-route'
  /**
   * A MeshExternalService without endpoints, or with an extension that only a control plane knows.
   */
  | 'incomplete'
  /** Its resource has an error. */
  | 'invalid';

/** A configuration that can go live. */
export type GoodConfig = Extract<Compiled, { kind: 'compiled' }>;
