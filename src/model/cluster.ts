import type { ContentHash } from './names.ts';

/** The endpoints of one destination and how they are connected. Plain data; secrets by content hash. */
export interface Cluster {
  /** As Kuma names it: `<mesh>:<service>`, or `<mesh>_<name>_<namespace>_<zone>_extsvc_<port>`. */
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  readonly connectTimeoutMs: number;
}

export interface Endpoint {
  readonly address: EndpointAddress;
  readonly port: number;
  /** 0 takes no traffic. */
  readonly weight: number;
  /** 0 is the most preferred. */
  readonly priority: number;
  /** The zone where the endpoint is, where known; empty otherwise. */
  readonly zone: string;
  /** Envoy's `envoy.lb` metadata: tags without `kuma.io/service`, plus `mesh`. */
  readonly tags: Readonly<Record<string, string>>;
  /** Absent: plain TCP. */
  readonly tls: TlsOrigination | null;
}

export type EndpointAddress =
  /** An address as an operator wrote it. */
  | { readonly kind: 'ip'; readonly ip: string }
  /** A name to resolve; what it resolves to is checked before it is dialled. */
  | { readonly kind: 'name'; readonly name: string; readonly family: 'v4' | 'any' };

export interface TlsOrigination {
  /** The SNI to send; null sends none. Never an IP address. */
  readonly serverName: string | null;
  readonly trust: TlsTrust;
  /** Names of which one must be in the server's certificate; null does not check the name. Only with a trust other than none. */
  readonly names: readonly NameMatcher[] | null;
  /** PEM certificate and key, by content hash. */
  readonly clientCertificate: { readonly cert: ContentHash; readonly key: ContentHash } | null;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** ALPN protocols to offer; empty offers none. */
  readonly alpn: readonly string[];
  /** TLS 1.2 renegotiation that the server starts. */
  readonly allowRenegotiation: boolean;
}

export type TlsTrust =
  /** A PEM bundle by content hash. */
  | { readonly kind: 'bundle'; readonly ca: ContentHash }
  /** The bundle of the operating system. */
  | { readonly kind: 'system' }
  /** Encrypted and unverified. `reason` is for the warning and the gauge. */
  | { readonly kind: 'none'; readonly reason: string };

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

/** Compared with DNS and IP SANs; URI SANs are never checked. */
export interface NameMatcher {
  readonly kind: 'exact' | 'prefix';
  readonly value: string;
}
