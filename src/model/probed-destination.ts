/** The outcome of a probe of the endpoints of a destination. It has no secret. */

export type FindingKind =
  | 'refused'
  | 'timeout'
  | 'unreachable'
  | 'not-tls'
  | 'speaks-tls'
  | 'expired'
  | 'not-yet-valid'
  | 'self-signed'
  | 'unknown-ca'
  | 'chain-incomplete'
  | 'name-mismatch'
  | 'version'
  | 'alpn'
  | 'client-certificate-wanted'
  | 'client-certificate-refused'
  | 'ended'
  | 'purpose'
  | 'unverified'
  | 'tls-failed'
  | 'name-not-resolved'
  | 'forbidden-address';

export interface EndpointFinding {
  readonly kind: FindingKind;
  /** One sentence. */
  readonly says: string;
  /** The field of the resource, and what to write there; empty where no field helps. */
  readonly write: string;
}

/** The result of one address of an endpoint. Times in milliseconds, -1 where not reached. */
export interface ProbedEndpoint {
  readonly endpoint: string;
  /** `address:port`; empty where the name did not resolve. */
  readonly address: string;
  readonly resolveMs: number;
  readonly connectMs: number;
  readonly tlsMs: number;
  /** `TLSv1.3, TLS_AES_256_GCM_SHA384`; empty without TLS. */
  readonly tls: string;
  /** Until when the certificate of the server is valid; empty without TLS. */
  readonly validTo: string;
  /** Null for an endpoint that can be used. */
  readonly finding: EndpointFinding | null;
}

export interface ProbedDestination {
  readonly version: 1;
  readonly sni: string;
  readonly mesh: string;
  readonly destination: string;
  /** `passthrough`: the TLS of clients goes through, so only the connection was tried. */
  readonly kind: 'passthrough' | 'terminate';
  readonly endpoints: readonly ProbedEndpoint[];
  /** The number of addresses, and of names not looked up, above the bound: none was dialled. */
  readonly leftOut: number;
}

/** The answer of a running egress. */
export type ProbeOutcome =
  | { readonly kind: 'probed'; readonly found: ProbedDestination }
  /** There is no such destination, or none that can be dialled. */
  | { readonly kind: 'no-destination'; readonly why: string }
  /** Ask again later. */
  | { readonly kind: 'busy'; readonly why: string };
