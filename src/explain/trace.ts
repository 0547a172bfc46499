import type { EndReason, RefusalCode, Step } from '../base/refusal.ts';
import type { Absent, Origin } from '../model/compiled.ts';

/** Increases when a field is removed or changes its meaning, not for new fields. */
export const TRACE_VERSION = 1;

/**
 * Why a connection passes or does not: six steps with their candidates, and where it ends. Plain
 * data; as JSON it is the output of `explain -o json` and of the admin's `/explain`
 * (docs/explain.md).
 */
export interface Trace {
  readonly version: typeof TRACE_VERSION;
  /** `allowed`: it reaches its endpoint. A session that was cut later counts as allowed. */
  readonly outcome: 'allowed' | 'refused';
  /** Why it ended; null where no session was recorded. */
  readonly reason: EndReason | null;
  /** The step where it ended; null where it passes all steps. */
  readonly endsAt: Step | null;
  /** One sentence; empty where it passes. */
  readonly detail: string;
  /** The change with which it would pass; null where it passes. */
  readonly advice: Advice | null;
  /** Names that would have matched, nearest first. */
  readonly nearest: readonly NearMiss[];
  readonly connection: ConnectionView;
  readonly route: RouteView | null;
  /** Always the six, in order. */
  readonly steps: readonly TraceStep[];
  readonly configuration: { readonly version: string; readonly zone: string };
  /** The record of a recorded session. */
  readonly record: RecordView | null;
  /** For an HTTP service, what is done to the request in question, or to any request. */
  readonly request?: RequestView;
  /**
   * From a running egress, the last sessions of this path, newest first. Absent where it remembers
   * none, and without a running egress.
   */
  readonly recent?: readonly RecentView[];
  /**
   * The result of each endpoint that was dialled for this answer, in the order in which a session
   * tries them. Absent where none was dialled.
   */
  readonly probes?: readonly ProbeView[];
  /** Further facts. */
  readonly notes: readonly string[];
}

export type TraceStepName = Exclude<Step, 'splice'>;

export interface TraceStep {
  readonly step: TraceStepName;
  /** `not-asked`: the step does not apply to this connection. `not-reached`: it ended before. */
  readonly outcome: 'passed' | 'refused' | 'not-asked' | 'not-reached';
  readonly text: string;
  /** The tested rules or endpoints, in order. */
  readonly candidates: readonly Candidate[];
  /** Number of further rejected candidates. */
  readonly omitted: number;
}

export interface Candidate {
  readonly name: string;
  /** `not-reached`: an earlier one decided. */
  readonly outcome: 'matched' | 'rejected' | 'not-reached';
  /**
   * The field that rejected it, its value in the candidate and in the connection; empty where it
   * matched.
   */
  readonly field: string;
  readonly wanted: string;
  readonly found: string;
  readonly place: FilePlace | null;
}

export interface NearMiss {
  readonly kind: NearMissKind;
  /** A name that would have matched: an SNI, or a SPIFFE id. */
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
  /** Written, but not served. */
  | 'not-served';

export interface Advice {
  readonly text: string;
  /** The resource to change, e.g. `Mesh default`; empty where it is no resource. */
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
  /** Version of the configuration that judged it. */
  readonly configuration: string;
  /** True when another configuration is live now. */
  readonly changed: boolean;
}

export interface RequestView {
  /** Empty where the question has no request. */
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** The authority that the service reads: the name of its endpoint, or the client's own. */
  readonly host: string;
  /**
   * The status with which the egress answers; 0 closes the connection, null passes on the service's
   * answer.
   */
  readonly status: number | null;
}

export interface RecentView {
  readonly id: string;
  /** ISO 8601. */
  readonly endedAt: string;
  readonly reason: EndReason;
  readonly detail: string;
  /** The last endpoint that was tried; empty without one. */
  readonly endpoint: string;
}

export interface ProbeView {
  /** `address:port`. */
  readonly endpoint: string;
  /**
   * `connected`, including TLS where the endpoint has it, or the code with which a session would
   * have ended.
   */
  readonly outcome: 'connected' | RefusalCode;
  readonly detail: string;
  readonly ms: number;
}

/** Facts that the compiler of the configuration knows besides the snapshot. */
export interface Sources {
  readonly origins: ReadonlyMap<string, Origin>;
  readonly absent: ReadonlyMap<string, Absent>;
}

export const NO_SOURCES: Sources = { origins: new Map(), absent: new Map() };

/** Returns the place of e.g. `route:<sni>`; null where it is not known. */
export function filePlaceOf({ origins }: Sources, key: string): FilePlace | null {
  const found = origins.get(key);
  return found === undefined ? null : { file: found.file, line: found.line, column: found.column };
}

/** Returns ` (file:line)` for the end of a sentence, or an empty text. */
export function inFile(place: FilePlace | null): string {
  return place === null ? '' : ` (${place.file}:${place.line})`;
}
