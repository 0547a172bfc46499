import type { AlarmName, AlarmSeverity } from '../../model/alarm.ts';

/** The facts of one moment from which alarms follow. Times in milliseconds since the Unix epoch. */
export interface AlarmFacts {
  readonly now: number;
  readonly certificates: readonly CertificateFact[];
  readonly tokens: readonly TokenLifeFact[];
  readonly controlPlanes: readonly ControlPlaneFact[];
  /** When the live configuration was kept; null for a present one. */
  readonly keptSince: number | null;
  /** Null before the first load. */
  readonly lastLoad: LoadFact | null;
  /** Meshes without a certificate, with the reason. */
  readonly noIdentity: readonly { readonly mesh: string; readonly why: string }[];
  /** Only destinations with a problem. */
  readonly destinations: readonly DestinationFact[];
  readonly refusals: readonly RefusalFact[];
  readonly limits: readonly LimitFact[];
  readonly silentSides: readonly { readonly side: number; readonly forMs: number }[];
  readonly isListening: boolean;
  /** Lines that were dropped in the last minutes, by the kind of output. */
  readonly dropped: readonly { readonly of: string; readonly lines: number }[];
  readonly internalErrors: { readonly count: number; readonly last: string };
}

export interface CertificateFact {
  readonly name: Extract<
    AlarmName,
    | 'certificate-expires'
    | 'client-trust-expires'
    | 'service-certificate-expires'
    | 'service-trust-expires'
    | 'admin-certificate-expires'
  >;
  /** The mesh, the destination or the option. */
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface TokenLifeFact {
  readonly proxy: string;
  /** The claims of the token; null where it has none. */
  readonly issuedAt: number | null;
  readonly expiresAt: number;
}

export interface ControlPlaneFact {
  readonly proxy: string;
  /** Why there is no stream; null while there is one. */
  readonly away: string | null;
  readonly refused: readonly { readonly type: string; readonly times: number; readonly message: string }[];
}

export interface LoadFact {
  readonly isRejected: boolean;
  readonly errors: number;
  /** The first error as a sentence with its place; empty without one. */
  readonly first: string;
}

export interface DestinationFact {
  readonly name: Extract<AlarmName, 'destination-broken' | 'policy-unsupported' | 'no-endpoint' | 'endpoints-unhealthy'>;
  readonly subject: string;
  readonly why: string;
}

export interface RefusalFact {
  readonly subject: string;
  readonly inLastMinute: number;
  /** Refusals in a minute, in the last hour. */
  readonly usual: number;
  readonly commonest: string;
}

export interface LimitFact {
  readonly subject: string;
  readonly used: number;
  readonly limit: number;
  /** Absent for plain numbers. */
  readonly unit?: 'bytes';
}

/** An alarm that the facts ask for, before it is known how long they hold. */
export interface AlarmFinding {
  readonly name: AlarmName;
  readonly severity: AlarmSeverity;
  readonly subject: string;
  readonly says: string;
}
