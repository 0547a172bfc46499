import type { EndReason, RefusalCode, Step } from '../base/refusal.ts';
import type { Absent, Origin } from '../model/compiled.ts';

/** Goes up when a field goes away or means something else; new fields do not count. */
export const TRACE_VERSION = 1;

/**
 * Why a connection passes or does not: six steps, each with what it looked at, and where it ends.
 * Plain data; as JSON it is what `explain -o json` and the admin's `/explain` give
 * (docs/explain.md).
 */
export interface Trace {
  readonly version: typeof TRACE_VERSION;
  /** `allowed`: it gets to its endpoint. One that was cut later was allowed too. */
  readonly outcome: 'allowed' | 'refused';
  /** Why it ended; null where nothing has ended, as no session was recorded. */
  readonly reason: EndReason | null;
  /** Where it ended; null where it passes all steps. */
  readonly endsAt: Step | null;
  /** One sentence; empty where it passes. */
  readonly detail: string;
  /** What to change to make it pass; null where it passes. */
  readonly advice: Advice | null;
  /** What would have matched, the nearest first. */
  readonly nearest: readonly NearMiss[];
  readonly connection: ConnectionView;
  readonly route: RouteView | null;
  /** Always the six, in order. */
  readonly steps: readonly TraceStep[];
  readonly configuration: { readonly version: string; readonly zone: string };
  /** Of a recorded session. */
  readonly record: RecordView | null;
  /**
   * Of a service that speaks HTTP: what is done to the request that was asked about, or to any.
   */
  readonly request?: RequestView;
  /**
   * Of a running egress: the last sessions of this path, the newest first. Absent where it
   * remembers none, and where no egress was asked.
   */
  readonly recent?: readonly RecentView[];
  /**
   * What became of each endpoint that was dialled for this answer, in the order in which a session
   * tries them. Absent where nothing was dialled.
   */
  readonly probes?: readonly ProbeView[];
  /** What else there is to know. */
  readonly notes: readonly string[];
}

export type TraceStepName = Exclude<Step, 'splice'>;

export interface TraceStep {
  readonly step: TraceStepName;
  /** `not-asked`: this connection has nothing to be asked here. `not-reached`: it ended before. */
  readonly outcome: 'passed' | 'refused' | 'not-asked' | 'not-reached';
  readonly text: string;
  /** What was looked at, in the order in which it was: rules, endpoints. */
  readonly candidates: readonly Candidate[];
  /** So many more were rejected. */
  readonly omitted: number;
}

export interface Candidate {
  readonly name: string;
  /** `not-reached`: one before it decided. */
  readonly outcome: 'matched' | 'rejected' | 'not-reached';
  /**
   * By which field it was rejected, what the candidate has there, and what the connection has;
   * empty where it matched.
   */
  readonly field: string;
  readonly wanted: string;
  readonly found: string;
  readonly place: FilePlace | null;
}

export interface NearMiss {
  readonly kind: NearMissKind;
  /** What would have matched: an SNI, or a SPIFFE id. */
  readonly name: string;
  /** How it differs. */
  readonly text: string;
  readonly place: FilePlace | null;
}

export type NearMissKind =
  /** A few edits away. */
  | 'spelling'
  | 'case'
  | 'trailing-dot'
  | 'tag-order'
  /** The same service with other tags. */
  | 'tags'
  /** The same service in another mesh. */
  | 'other-mesh'
  /** The same destination in another of Kuma's forms of SNI, or with another port or hash. */
  | 'sni-form'
  /** The name of an endpoint where the name of the destination belongs. */
  | 'address'
  /** Written, and not served. */
  | 'not-served';

export interface Advice {
  readonly text: string;
  /** What to change, e.g. `Mesh default`; empty where it is no resource. */
  readonly resource: string;
  readonly place: FilePlace | null;
}

/** `column` counts from 1. */
export type FilePlace = Origin;

export interface ConnectionView {
  readonly sni: string | null;
  readonly alpn: readonly string[];
  readonly tlsVersion: string;
  readonly clientAddress: string;
  /** SPIFFE ids and other URI names of the client's certificate. */
  readonly from: readonly string[];
  readonly certificateIssuer: string;
  /** ISO 8601; empty where it is not known. */
  readonly certificateExpiry: string;
}

export interface RouteView {
  readonly sni: string;
  readonly mesh: string;
  readonly destination: string;
  readonly mode: 'passthrough' | 'terminate';
  readonly cluster: string;
  readonly place: FilePlace | null;
}

export interface RecordView {
  readonly id: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly reason: EndReason;
  readonly detail: string;
  /** The configuration that it was judged by. */
  readonly configuration: string;
  /** Another configuration is live now. */
  readonly changed: boolean;
}

export interface RequestView {
  /** Empty where no request was named. */
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** The authority that the service reads: the name of its endpoint, or the client's own. */
  readonly host: string;
  /**
   * The egress answers with this status; 0 closes the connection, null passes on what the service
   * answers.
   */
  readonly status: number | null;
}

export interface RecentView {
  readonly id: string;
  /** ISO 8601. */
  readonly endedAt: string;
  readonly reason: EndReason;
  readonly detail: string;
  /** The last one that was tried; empty where it came to none. */
  readonly endpoint: string;
}

export interface ProbeView {
  /** `address:port`. */
  readonly endpoint: string;
  /**
   * `connected`, TLS included where the endpoint has any, or the code that a session would have
   * ended with.
   */
  readonly outcome: 'connected' | RefusalCode;
  readonly detail: string;
  readonly ms: number;
}

/** What the compiler of the configuration knows beside the snapshot. */
export interface Sources {
  readonly origins: ReadonlyMap<string, Origin>;
  readonly absent: ReadonlyMap<string, Absent>;
}

export const NO_SOURCES: Sources = { origins: new Map(), absent: new Map() };

/** Where something was written, e.g. `route:<sni>`; null where that is not known. */
export function filePlaceOf({ origins }: Sources, key: string): FilePlace | null {
  const found = origins.get(key);
  return found === undefined ? null : { file: found.file, line: found.line, column: found.column };
}

/** ` (file:line)` for the end of a sentence, or nothing. */
export function inFile(place: FilePlace | null): string {
  return place === null ? '' : ` (${place.file}:${place.line})`;
}
