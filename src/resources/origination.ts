import type { NameMatcher, TlsOrigination, TlsTrust, TlsVersion } from '../model/cluster.ts';
import type { Findings } from './findings.ts';
import { hostKind } from './hosts.ts';
import type { ExternalService, ExternalServiceTls } from './kinds/external-service.ts';
import type { MeshExternalService, MeshExternalTls, TlsBound } from './kinds/mesh-external-service.ts';
import type { Loader } from './load.ts';
import type { MeshResources } from './resource-set.ts';

/**
 * Makes the TLS settings of an ExternalService; null where a part is missing, which is reported.
 */
export function externalOrigination(
  { host, protocol }: ExternalService,
  tls: ExternalServiceTls,
  mesh: MeshResources,
  loader: Loader,
  findings: Findings,
): TlsOrigination | null {
  const { caCert, clientCert, clientKey, path } = tls;
  if (caCert === null || clientCert === null || clientKey === null) return null;
  const trust = caCert === undefined ? unverified(tls, findings) : bundleTrust(loader, mesh, caCert, findings);
  const pair =
    clientCert === undefined || clientKey === undefined
      ? undefined
      : loader.pair(mesh, { cert: clientCert, key: clientKey, use: 'client' }, findings);
  const half = clientCert ?? clientKey;
  if (pair === undefined && half !== undefined) {
    findings.warn(half.at, half.path, `has no effect: ${path} needs both clientCert and clientKey`);
  }
  if (trust === null || pair === null) return null;
  const serverName = tls.serverName === '' ? host : tls.serverName;
  return {
    serverName: sniOf(serverName),
    trust,
    names: trust.kind === 'none' || tls.skipHostnameVerification ? null : [exactly(serverName)],
    clientCertificate: pair === undefined ? null : { cert: pair.cert, key: pair.key },
    ...versions('TLSAuto', 'TLSAuto'),
    alpn: alpnOf(protocol),
    allowRenegotiation: tls.allowRenegotiation,
  };
}

/** Makes TLS without verification, as Kuma does: encrypted, to any server. */
function unverified(tls: ExternalServiceTls, findings: Findings): TlsTrust {
  findings.warn(
    tls.at,
    `${tls.path}.caCert`,
    'is not set: the connection is encrypted, but the certificate of the service is not verified',
  );
  return { kind: 'none', reason: `${tls.path}.caCert is not set` };
}

/**
 * Makes one setting for all endpoints of a MeshExternalService: the host of the first endpoint
 * counts for all, as in Kuma.
 */
export function meshExternalOrigination(
  { endpoints, protocol, meta }: MeshExternalService,
  tls: MeshExternalTls,
  mesh: MeshResources,
  loader: Loader,
  findings: Findings,
): TlsOrigination | null {
  const { mode } = tls;
  const checksCa = mode === 'Secured' || mode === 'SkipSAN';
  const checksName = mode === 'Secured';
  const usesPair = mode !== 'SkipAll';
  const { caCert, clientCert, clientKey } = tls;
  if (checksCa && caCert === null) return null;
  if (usesPair && (clientCert === null || clientKey === null)) return null;
  const trust = checksCa ? trustOf(tls, mesh, loader, findings) : skipped(tls, findings);
  const bounds = versions(tls.min, tls.max);
  const pair =
    usesPair && clientCert !== undefined && clientCert !== null && clientKey !== undefined && clientKey !== null
      ? loader.pair(mesh, { cert: clientCert, key: clientKey, use: isOld(bounds.minVersion) ? 'old-client' : 'client' }, findings)
      : undefined;
  if (trust === null || pair === null) return null;
  const host = endpoints[0]?.address ?? meta.displayName;
  const configured = mode === 'Secured' || mode === 'SkipCA' ? tls.serverName : '';
  const serverName = configured === '' ? host : configured;
  const names = tls.names.map(({ type, value }): NameMatcher =>
    type === 'Prefix' ? { kind: 'prefix', value } : { kind: 'exact', value },
  );
  return {
    serverName: sniOf(serverName),
    trust,
    names: checksName ? [exactly(serverName), ...names] : null,
    clientCertificate: pair === undefined ? null : { cert: pair.cert, key: pair.key },
    // Kuma drops the versions where it verifies nothing. They are kept here: an operator who writes
    // a version means it.
    ...bounds,
    alpn: alpnOf(protocol),
    allowRenegotiation: tls.allowRenegotiation,
  };
}

function trustOf({ caCert }: MeshExternalTls, mesh: MeshResources, loader: Loader, findings: Findings): TlsTrust | null {
  return caCert === undefined || caCert === null ? { kind: 'system' } : bundleTrust(loader, mesh, caCert, findings);
}

function skipped({ mode, path, at }: MeshExternalTls, findings: Findings): TlsTrust {
  const field = `${path}.verification.mode`;
  findings.warn(at, field, `is ${mode}: the connection is encrypted, but the certificate of the service is not verified`);
  return { kind: 'none', reason: `${field} is ${mode}` };
}

function bundleTrust(
  loader: Loader,
  mesh: MeshResources,
  caCert: Parameters<Loader['bundle']>[1],
  findings: Findings,
): TlsTrust | null {
  const ca = loader.bundle(mesh, caCert, findings);
  return ca === null ? null : { kind: 'bundle', ca };
}

/** Removes a dot at the end of a name, as TLS libraries do before they send and compare it. */
function sniOf(name: string): string | null {
  return hostKind(name) === 'ip' ? null : name.replace(/\.$/, '');
}

function exactly(name: string): NameMatcher {
  return { kind: 'exact', value: hostKind(name) === 'ip' ? name : name.replace(/\.$/, '') };
}

const VERSIONS: readonly TlsVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];
const BOUNDS: Readonly<Record<TlsBound, TlsVersion | null>> = {
  TLSAuto: null,
  TLS10: 'TLSv1',
  TLS11: 'TLSv1.1',
  TLS12: 'TLSv1.2',
  TLS13: 'TLSv1.3',
};

/**
 * OpenSSL allows these versions only with weak keys and hashes, so weak client certificates are
 * allowed too.
 */
function isOld(version: TlsVersion): boolean {
  return version === 'TLSv1' || version === 'TLSv1.1';
}

/** Resolves Auto, which is 1.2 to 1.3 and adapts to the other bound. */
function versions(min: TlsBound, max: TlsBound): { readonly minVersion: TlsVersion; readonly maxVersion: TlsVersion } {
  const maxVersion = BOUNDS[max] ?? 'TLSv1.3';
  const auto = VERSIONS.indexOf(maxVersion) < VERSIONS.indexOf('TLSv1.2') ? maxVersion : 'TLSv1.2';
  return { minVersion: BOUNDS[min] ?? auto, maxVersion };
}

/**
 * Returns the ALPN list. Envoy offers these for clusters whose protocol is HTTP. Here bytes are
 * relayed, so ALPN has to be the protocol that the client speaks.
 */
function alpnOf(protocol: ExternalService['protocol']): readonly string[] {
  switch (protocol) {
    case 'http':
      return ['http/1.1'];
    case 'http2':
    case 'grpc':
      return ['h2'];
    case 'tcp':
    case 'kafka':
      return [];
    default:
      return protocol satisfies never;
  }
}
