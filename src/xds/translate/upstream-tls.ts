import type { TlsOrigination, TlsTrust, TlsVersion } from '../../model/cluster.ts';
import { SYSTEM_BUNDLES } from '../../base/system-bundles.ts';
import { hostKind } from '../../resources/hosts.ts';
import type { ReadFile } from '../../resources/load.ts';
import type { PemStore } from '../../resources/pem.ts';
import type { DataSource } from '#envoy/config/core/v3/base_pb.js';
import {
  CertificateValidationContext_TrustChainVerification as ChainVerification,
  TlsParameters_TlsProtocol as Protocol,
} from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type {
  CertificateValidationContext,
  TlsCertificate,
  TlsParameters,
} from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { Secret, SdsSecretConfig } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { CommonTlsContext, UpstreamTlsContext } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { dataText } from '../messages/data-text.ts';
import { typeOf, unknownField } from '../messages/typed-config.ts';
import { namesOf, withoutDot } from './upstream-names.ts';

export interface UpstreamTlsContextOf {
  /** Returns what the control plane has sent under this name. */
  readonly secret: (name: string) => Secret | undefined;
  /** Stores the certificates and keys that are used. */
  readonly pems: PemStore;
  /** The ALPN list of the cluster's protocol, for a TLS context without its own. */
  readonly alpn: readonly string[];
  /** Without it no file is read, but the bundle of the system is known by its path. */
  readonly readFile?: ReadFile;
}

export type UpstreamTlsRead =
  | { readonly kind: 'tls'; readonly tls: TlsOrigination; readonly remarks: readonly string[] }
  /** The cluster is never used without TLS or verification. */
  | { readonly kind: 'unusable'; readonly why: string };

interface Unusable {
  readonly kind: 'unusable';
  readonly why: string;
}

/**
 * Reads how TLS to a server is set up. A restriction that cannot be evaluated here forbids every
 * connection.
 */
export function readUpstreamTls(context: UpstreamTlsContext, of: UpstreamTlsContextOf): UpstreamTlsRead {
  const unknown = unknownField(context);
  if (unknown !== null) return unusable(`its TLS has what this egress does not know: ${unknown}`);
  const common = context.commonTlsContext;
  if (common?.customHandshaker !== undefined) return unusable('its TLS has a handshaker of its own');
  const remarks: string[] = [];
  const validation = validationOf(common, of);
  if (isUnusable(validation)) return validation;
  // A validation that comes as a secret always means to verify.
  const type = common?.validationContextType.case;
  const trust = trustOf(validation, of, { asksForCa: type !== undefined && type !== 'validationContext' });
  if (isUnusable(trust)) return trust;
  const names = trust.kind === 'none' || validation === undefined ? ANY_NAME : namesOf(validation);
  if (names.kind === 'unusable') return names;
  remarks.push(...names.remarks);
  const clientCertificate = clientCertificateOf(common, of);
  if (clientCertificate !== null && isUnusable(clientCertificate)) return clientCertificate;
  if (trust.kind === 'none')
    remarks.push(`its TLS is encrypted, but the certificate of the service is not verified: ${trust.reason}`);
  if (trust.kind !== 'none' && validation?.allowExpiredCertificate === true)
    remarks.push('a certificate of the service that has expired is refused, although it would be let through');
  tellOfParameters(common?.tlsParams, remarks);
  return {
    kind: 'tls',
    tls: {
      serverName: sniOf(context.sni),
      trust,
      names: names.names,
      clientCertificate,
      ...versions(common?.tlsParams),
      alpn: common === undefined || common.alpnProtocols.length === 0 ? of.alpn : common.alpnProtocols,
      allowRenegotiation: context.allowRenegotiation,
    },
    remarks,
  };
}

const ANY_NAME = { kind: 'names', names: null, remarks: [] } as const;

function unusable(why: string): Unusable {
  return { kind: 'unusable', why };
}

function isUnusable(value: object | undefined): value is Unusable {
  return value !== undefined && 'kind' in value && value.kind === 'unusable';
}

/**
 * Merges the inline validation with the one from a secret; undefined where nothing is to be
 * validated.
 */
function validationOf(
  common: CommonTlsContext | undefined,
  of: UpstreamTlsContextOf,
): CertificateValidationContext | undefined | Unusable {
  const type = common?.validationContextType;
  switch (type?.case) {
    case undefined:
      return undefined;
    case 'validationContext':
      return type.value;
    case 'validationContextSdsSecretConfig':
      return validationSecret(type.value, of);
    case 'combinedValidationContext': {
      const { defaultValidationContext, validationContextSdsSecretConfig: config } = type.value;
      if (config === undefined) return unusable('its CA comes from a plugin');
      const secret = validationSecret(config, of);
      if (isUnusable(secret) || defaultValidationContext === undefined) return secret;
      return merged(defaultValidationContext, secret);
    }
    case 'validationContextCertificateProvider':
    case 'validationContextCertificateProviderInstance':
      return unusable('its CA comes from a plugin');
    default:
      return type satisfies never;
  }
}

function validationSecret(config: SdsSecretConfig, of: UpstreamTlsContextOf): CertificateValidationContext | Unusable {
  const secret = secretOf(config, of);
  if (isUnusable(secret)) return secret;
  const { name, type } = secret;
  if (type.case !== 'validationContext') return unusable(`the secret ${name} is a ${type.case ?? 'secret of no kind'}, not a CA`);
  const unknown = unknownField(type.value);
  return unknown === null ? type.value : unusable(`the secret ${name} has what this egress does not know: ${unknown}`);
}

function secretOf({ name, sdsConfig }: SdsSecretConfig, of: UpstreamTlsContextOf): Secret | Unusable {
  if (sdsConfig?.configSourceSpecifier.case !== 'ads') return unusable(`the secret ${name} does not come over ADS`);
  return of.secret(name) ?? unusable(`the control plane has not sent the secret ${name}`);
}

/** Merges as protobuf does: values of the secret count, and lists are joined. */
function merged(base: CertificateValidationContext, over: CertificateValidationContext): CertificateValidationContext {
  const set = Object.fromEntries(
    Object.entries(over).filter(([, value]) => value !== undefined && value !== false && value !== 0 && !Array.isArray(value)),
  );
  return {
    ...base,
    ...set,
    verifyCertificateSpki: [...base.verifyCertificateSpki, ...over.verifyCertificateSpki],
    verifyCertificateHash: [...base.verifyCertificateHash, ...over.verifyCertificateHash],
    matchTypedSubjectAltNames: [...base.matchTypedSubjectAltNames, ...over.matchTypedSubjectAltNames],
    matchSubjectAltNames: [...base.matchSubjectAltNames, ...over.matchSubjectAltNames],
  };
}

const NO_CA = 'the control plane sends no CA for it';

function trustOf(
  validation: CertificateValidationContext | undefined,
  of: UpstreamTlsContextOf,
  { asksForCa }: { readonly asksForCa: boolean },
): TlsTrust | Unusable {
  if (validation === undefined) return { kind: 'none', reason: NO_CA };
  const why = complaint(validation);
  if (why !== null) return unusable(why);
  if (validation.trustChainVerification === ChainVerification.ACCEPT_UNTRUSTED)
    return { kind: 'none', reason: 'the control plane has certificates of any CA accepted' };
  const { trustedCa, systemRootCerts } = validation;
  const file = trustedCa?.specifier.case === 'filename' ? trustedCa.specifier.value : '';
  if (SYSTEM_BUNDLES.includes(file)) return { kind: 'system' };
  const text = textOf(trustedCa, of);
  if (text === undefined && systemRootCerts !== undefined) return { kind: 'system' };
  if (text === undefined) {
    // A CA that is present but empty may be a mistake: it trusts no service.
    if (trustedCa !== undefined) return unusable('its CA is empty');
    if (asksForCa) return unusable('the secret of its CA has none');
    return validation.matchTypedSubjectAltNames.length + validation.matchSubjectAltNames.length > 0
      ? unusable('its TLS checks names of certificates, but there is no CA')
      : { kind: 'none', reason: NO_CA };
  }
  if (isUnusable(text)) return unusable(`its CA is not known: ${text.why}`);
  const bundle = of.pems.bundle(text.text);
  return bundle.kind === 'bundle' ? { kind: 'bundle', ca: bundle.hash } : unusable(`its CA ${bundle.message}`);
}

/**
 * Returns a check that Envoy makes and this egress does not: without it a wrong server could be
 * accepted.
 */
function complaint(validation: CertificateValidationContext): string | null {
  const { verifyCertificateHash, verifyCertificateSpki, customValidatorConfig } = validation;
  if (customValidatorConfig !== undefined)
    return `its check of certificates is ${typeOf(customValidatorConfig.typedConfig) || customValidatorConfig.name}`;
  if (validation.caCertificateProviderInstance !== undefined) return 'its CA comes from a plugin';
  if (verifyCertificateHash.length + verifyCertificateSpki.length > 0) return 'it accepts certificates with certain hashes only';
  if (validation.crl !== undefined) return 'it has a list of revoked certificates';
  if (validation.maxVerifyDepth !== undefined) return 'it limits the depth of certificate chains';
  if (validation.requireSignedCertificateTimestamp === true) return 'it asks for signed certificate timestamps';
  return null;
}

/** Returns undefined where there is none. */
function textOf(
  source: DataSource | undefined,
  { readFile }: UpstreamTlsContextOf,
): { readonly kind: 'text'; readonly text: string } | Unusable | undefined {
  const found = dataText(source);
  if (found.kind === 'text') return found;
  if (found.kind === 'absent') return undefined;
  if (source?.specifier.case !== 'filename' || readFile === undefined)
    return unusable(`it is in ${found.where}, which is not read here`);
  const file = readFile(source.specifier.value);
  return 'error' in file ? unusable(`${found.where}: ${file.error}`) : { kind: 'text', text: file.text };
}

function clientCertificateOf(
  common: CommonTlsContext | undefined,
  of: UpstreamTlsContextOf,
): TlsOrigination['clientCertificate'] | Unusable {
  if (common === undefined) return null;
  const [inline] = common.tlsCertificates;
  const [config] = common.tlsCertificateSdsSecretConfigs;
  const plugin =
    common.tlsCertificateProviderInstance ??
    common.tlsCertificateCertificateProvider ??
    common.tlsCertificateCertificateProviderInstance;
  const use = versions(common.tlsParams).minVersion < 'TLSv1.2' ? 'old-client' : 'client';
  if (inline !== undefined) return pairOf(inline, of, use);
  if (config === undefined) return plugin === undefined ? null : unusable('its client certificate comes from a plugin');
  const secret = secretOf(config, of);
  if (isUnusable(secret)) return secret;
  return secret.type.case === 'tlsCertificate'
    ? pairOf(secret.type.value, of, use)
    : unusable(`the secret ${secret.name} is a ${secret.type.case ?? 'secret of no kind'}, not a certificate`);
}

function pairOf(
  { certificateChain, privateKey, pkcs12, privateKeyProvider, password }: TlsCertificate,
  of: UpstreamTlsContextOf,
  use: 'client' | 'old-client',
): { readonly cert: PairHash; readonly key: PairHash } | Unusable {
  if (pkcs12 !== undefined || privateKeyProvider !== undefined || password !== undefined)
    return unusable('its client certificate is not a plain pair of certificate and key');
  const [cert, key] = [textOf(certificateChain, of), textOf(privateKey, of)];
  if (cert === undefined || key === undefined)
    return unusable('its client certificate comes without a key, or the other way round');
  if (isUnusable(cert)) return unusable(`its client certificate is not known: ${cert.why}`);
  if (isUnusable(key)) return unusable(`the key of its client certificate is not known: ${key.why}`);
  const pair = of.pems.pair(cert.text, key.text, use);
  if (pair.kind === 'pair') return { cert: pair.cert, key: pair.key };
  return unusable(`${pair.of === 'cert' ? 'its client certificate' : 'the key of its client certificate'} ${pair.message}`);
}

type PairHash = NonNullable<TlsOrigination['clientCertificate']>['cert'];

function sniOf(sni: string): string | null {
  return sni === '' || hostKind(sni) === 'ip' ? null : withoutDot(sni);
}

const VERSIONS: readonly TlsVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];

/** Resolves Auto, which is 1.2 to 1.3 (Envoy stops at 1.2), and adapts to the other bound. */
function versions(params: TlsParameters | undefined): { readonly minVersion: TlsVersion; readonly maxVersion: TlsVersion } {
  const bound = (protocol: Protocol | undefined): TlsVersion | undefined =>
    protocol === undefined || protocol === Protocol.TLS_AUTO ? undefined : VERSIONS[protocol - 1];
  const maxVersion = bound(params?.tlsMaximumProtocolVersion) ?? 'TLSv1.3';
  const auto = VERSIONS.indexOf(maxVersion) < VERSIONS.indexOf('TLSv1.2') ? maxVersion : 'TLSv1.2';
  return { minVersion: bound(params?.tlsMinimumProtocolVersion) ?? auto, maxVersion };
}

function tellOfParameters(params: TlsParameters | undefined, remarks: string[]): void {
  if (params === undefined) return;
  const { cipherSuites, ecdhCurves, signatureAlgorithms } = params;
  const unused = Object.entries({ cipherSuites, ecdhCurves, signatureAlgorithms }).flatMap(([name, list]) =>
    list.length === 0 ? [] : [name],
  );
  if (unused.length > 0) remarks.push(`of its TLS parameters these are those of this egress: ${unused.join(', ')}`);
}
