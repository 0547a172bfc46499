import type { ControlPlaneOptions } from './control-plane-options.ts';

export interface BootstrapFacts {
  /** Version of this package. */
  readonly version: string;
  /** In Go's spelling: `linux`, `darwin`. */
  readonly operatingSystem: string;
  readonly token: string | null;
}

/**
 * The body of `POST /bootstrap`, in the order in which kuma-dp writes it. Kuma reads an absent
 * field as 0, empty or none.
 */
export interface BootstrapRequest {
  /** Empty for a ZoneEgress. */
  readonly mesh: string;
  readonly name: string;
  readonly proxyType: 'egress' | 'dataplane';
  readonly dataplaneToken?: string;
  readonly dataplaneTokenPath?: string;
  readonly dataplaneResource?: string;
  readonly version: {
    readonly kumaDp: {
      readonly version: string;
      readonly gitTag: string;
      readonly gitCommit: string;
      readonly buildDate: string;
    };
    readonly envoy: { readonly version: string; readonly build: string; readonly kumaDpCompatible: boolean };
  };
  readonly caCert: string;
  readonly dynamicMetadata: Readonly<Record<string, string>>;
  readonly readinessPort: number;
  readonly operatingSystem: string;
  readonly features: readonly string[];
  readonly resources: { readonly maxHeapSizeBytes: number };
  readonly workdir: string;
  readonly metricsResources: { readonly certPath: string; readonly keyPath: string };
  readonly systemCaPath: string;
  readonly ipv6Enabled: boolean;
  readonly spireResources: { readonly socketPath: string };
}

/**
 * The entries of kuma-dp's list that this egress really supports. It has no pipe for access logs or
 * OpenTelemetry and no sidecar inbounds; and with unified naming, a control plane up to 2.14 refers
 * to secrets that it never sends.
 */
const FEATURES: readonly string[] = ['feature-reuse-port'];
/** kuma-dp offers it when its environment enables it. */
const DELTA = 'feature-delta-grpc';

export function bootstrapRequest(options: ControlPlaneOptions, facts: BootstrapFacts): BootstrapRequest {
  const { tokenPath, resource } = options;
  return {
    mesh: options.mesh ?? '',
    name: options.name,
    proxyType: options.mesh === undefined ? 'egress' : 'dataplane',
    ...(facts.token === null ? {} : { dataplaneToken: facts.token }),
    ...(tokenPath === undefined ? {} : { dataplaneTokenPath: tokenPath }),
    ...(resource === null ? {} : { dataplaneResource: resource }),
    version: versionBlock(facts.version),
    caCert: options.caCert ?? '',
    dynamicMetadata: options.dynamicMetadata,
    readinessPort: options.readinessPort,
    operatingSystem: facts.operatingSystem,
    features: options.delta === true ? [...FEATURES, DELTA] : FEATURES,
    resources: { maxHeapSizeBytes: options.maxHeapSizeBytes },
    workdir: options.workDir ?? '',
    metricsResources: { certPath: '', keyPath: '' },
    systemCaPath: options.systemCaPath,
    ipv6Enabled: options.ipv6Enabled,
    spireResources: { socketPath: '' },
  };
}

/**
 * No part of this may look like a version of Envoy or Kuma: a scan for vulnerable versions would
 * report it. A control plane treats a version that it cannot compare as compatible, and needs
 * `kumaDp` to be an object.
 */
function versionBlock(version: string): BootstrapRequest['version'] {
  const own = `zone-egress-${version}`;
  return {
    kumaDp: { version: own, gitTag: own, gitCommit: 'unknown', buildDate: 'unknown' },
    // revision/version/status/type/TLS library, as in `envoy --version`.
    envoy: { version: own, build: `zone-egress/${own}/Clean/RELEASE/OpenSSL`, kumaDpCompatible: true },
  };
}
