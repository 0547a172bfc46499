/**
 * How to reach a control plane and who asks: all that `kuma-dp run` would know, read and checked.
 */
export interface ControlPlaneOptions {
  /** Its data plane server, `https://host:5678`; `http:` has no protection, also for the token. */
  readonly url: string;
  /**
   * PEM of who signed its certificate, as the operator gave it; it is told to the control plane,
   * which hands it back for ADS.
   */
  readonly caCert?: string;
  /**
   * PEM of the authorities of the system, trusted for the bootstrap where there is no `caCert`;
   * null trusts the list that Node has.
   */
  readonly systemTrust: string | null;
  /**
   * The certificate of `url` is not verified, and the token is sent to it. ADS is verified all the
   * same, by what the bootstrap says.
   */
  readonly skipVerify: boolean;
  /**
   * Read and checked anew at each call, trimmed; null where none is configured. Rejects with a
   * message that says why, without the token.
   */
  readonly token: () => Promise<string | null>;
  /** Where the token is read from. */
  readonly tokenPath?: string;
  /** Of the ZoneEgress, or of the Dataplane. */
  readonly name: string;
  /** Of the Dataplane that it joins as; absent: it joins as a ZoneEgress, which is of no mesh. */
  readonly mesh?: string;
  /** The resource to register, as JSON; null where one of this name is there already. */
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
  /** 0 where the operator set no limit. */
  readonly maxHeapSizeBytes: number;
  /** Offers incremental ADS. Absent: no; the control plane may ask for it all the same. */
  readonly delta?: boolean;
  readonly dynamicMetadata: Readonly<Record<string, string>>;
  /** What the operator should read in the log at the start. */
  readonly warnings: readonly string[];
}
