/**
 * How to reach a control plane and who asks: everything that `kuma-dp run` would know, read and
 * checked.
 */
export interface ControlPlaneOptions {
  /** Its data plane server, `https://host:5678`. `http:` protects nothing, not even the token. */
  readonly url: string;
  /**
   * PEM of the CA of its certificate, as the operator gave it. It is sent to the control plane,
   * which returns it for ADS.
   */
  readonly caCert?: string;
  /**
   * PEM of the system's CAs, trusted for the bootstrap without a `caCert`; null trusts Node's list.
   */
  readonly systemTrust: string | null;
  /**
   * True does not verify the certificate of `url`, and still sends the token to it. ADS is verified
   * in any case, by the trust in the bootstrap.
   */
  readonly skipVerify: boolean;
  /**
   * Reads, checks and trims the token at each call; null where none is configured. Rejects with a
   * reason that does not contain the token.
   */
  readonly token: () => Promise<string | null>;
  /** The file of the token. */
  readonly tokenPath?: string;
  /** Name of the ZoneEgress, or of the Dataplane. */
  readonly name: string;
  /**
   * Mesh of the Dataplane that it joins as; absent when it joins as a ZoneEgress, which belongs to
   * no mesh.
   */
  readonly mesh?: string;
  /** The resource to register, as JSON; null where one of this name exists already. */
  readonly resource: string | null;
  readonly retryBackoffMs: number;
  readonly retryMaxMs: number;
  /** 1 to 65535. */
  readonly readinessPort: number;
  readonly drainTimeMs: number;
  readonly workDir?: string;
  /** A file that a TLS context of the control plane may name; empty where the system has none. */
  readonly systemCaPath: string;
  readonly ipv6Enabled: boolean;
  /** 0 without a limit. */
  readonly maxHeapSizeBytes: number;
  /**
   * True offers incremental ADS. Without it the control plane may still ask for incremental ADS.
   */
  readonly delta?: boolean;
  /**
   * Folder for the last good configuration, from which the egress starts while the control plane is
   * away. It has private keys, in files that only the owner may read. Absent keeps none.
   */
  readonly stateDir?: string;
  readonly dynamicMetadata: Readonly<Record<string, string>>;
  /** Warnings for the log at the start. */
  readonly warnings: readonly string[];
}
