import { DownstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { CommonTlsContext, DownstreamTlsContext } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import {
  CertificateValidationContext_TrustChainVerification,
  SubjectAltNameMatcher_SanType,
} from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { CertificateValidationContext, TlsCertificate } from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { SdsSecretConfig } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { TransportSocket } from '#envoy/config/core/v3/base_pb.js';
import { typeOf, unknownField, unpack } from '../messages/typed-config.ts';

/** A secret that is requested by name, or one inside of the chain. */
export type SecretOrInline<Value> =
  { readonly kind: 'secret'; readonly name: string } | { readonly kind: 'inline'; readonly value: Value };

/**
 * The certificates with which a chain terminates the mTLS of its mesh. Two chains of a mesh with
 * the same `key` have the same certificates.
 */
export interface ChainTls {
  /** Empty where neither the names of the secrets nor the clients' prefix contain it. */
  readonly mesh: string;
  readonly identity: SecretOrInline<TlsCertificate>;
  readonly trust: SecretOrInline<CertificateValidationContext>;
}

export type ChainTlsRead =
  | { readonly kind: 'tls'; readonly tls: ChainTls; readonly remarks: readonly string[] }
  | { readonly kind: 'unsupported'; readonly mesh: string; readonly why: string };

export const SPIFFE_VALIDATOR = 'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig';

/**
 * Refuses every client where Envoy would make a check that this egress cannot, such as a list of
 * revoked certificates.
 */
export function readChainTls(socket: TransportSocket): ChainTlsRead {
  const config = socket.configType.case === 'typedConfig' ? socket.configType.value : undefined;
  const context = unpack(config, DownstreamTlsContextSchema);
  if (context === undefined) return unsupported('', `its transport socket is ${typeOf(config) || 'not there'}, not TLS`);
  const common = context.commonTlsContext;
  if (common === undefined) return unsupported('', 'its TLS has no certificate');
  const names = meshNames(common);
  const [mesh = ''] = names;
  const why = complaint(context, common, names);
  if (why !== null) return unsupported(mesh, why);
  const identity = identityOf(common);
  const trust = trustOf(common);
  if (identity === null) return unsupported(mesh, 'its certificate does not come over ADS');
  if (trust === null) return unsupported(mesh, 'its CA does not come over ADS');
  const remarks =
    common.tlsParams === undefined ? [] : ['its TLS parameters are not used: the versions and ciphers are those of this egress'];
  return { kind: 'tls', tls: { mesh, identity, trust }, remarks };
}

function unsupported(mesh: string, why: string): ChainTlsRead {
  return { kind: 'unsupported', mesh, why };
}

function complaint(
  context: DownstreamTlsContext,
  common: CommonTlsContext,
  [mesh = '', ...others]: readonly string[],
): string | null {
  const unknown = unknownField(context);
  if (unknown !== null) return `its TLS has what this egress does not know: ${unknown}`;
  if (others.length > 0) return `its TLS is about several meshes: ${[mesh, ...others].join(', ')}`;
  if (context.requireClientCertificate !== true) return 'it does not ask for a client certificate';
  if (common.customHandshaker !== undefined) return 'its TLS has a handshaker of its own';
  const { validationContextType: type } = common;
  if (type.case === 'combinedValidationContext' && type.value.defaultValidationContext?.customValidatorConfig !== undefined)
    return 'its check of clients has a CA of its own beside that of the secret';
  for (const validation of validationsOf(common)) {
    const why = validationComplaint(validation, mesh);
    if (why !== null) return why;
  }
  return null;
}

/**
 * Returns why a validation asks more of clients than this egress does, or null. The egress asks for
 * a certificate under the CA of the mesh with an id that begins with `spiffe://<mesh>/`, and
 * nothing less. `mesh` may be empty where it is not known.
 */
export function validationComplaint(validation: CertificateValidationContext, mesh: string): string | null {
  const unknown = unknownField(validation);
  if (unknown !== null) return `its check of clients has what this egress does not know: ${unknown}`;
  const { verifyCertificateHash, verifyCertificateSpki, matchSubjectAltNames, customValidatorConfig } = validation;
  if (verifyCertificateHash.length + verifyCertificateSpki.length > 0) return 'it accepts certificates with certain hashes only';
  if (validation.crl !== undefined) return 'it has a list of revoked certificates';
  if (validation.maxVerifyDepth !== undefined) return 'it limits the depth of certificate chains';
  if (validation.requireSignedCertificateTimestamp === true) return 'it asks for signed certificate timestamps';
  if (validation.caCertificateProviderInstance !== undefined) return 'its CA comes from a plugin';
  if (validation.systemRootCerts !== undefined) return 'its CA is that of the machine';
  if (validation.trustChainVerification !== CertificateValidationContext_TrustChainVerification.VERIFY_TRUST_CHAIN) {
    return 'it accepts certificates of any CA';
  }
  if (customValidatorConfig !== undefined && typeOf(customValidatorConfig.typedConfig) !== SPIFFE_VALIDATOR) {
    return `its check of clients is ${typeOf(customValidatorConfig.typedConfig)}`;
  }
  const typed = validation.matchTypedSubjectAltNames;
  if (matchSubjectAltNames.length + typed.length === 0) return null;
  const isMet = typed.some(({ sanType, matcher }) => {
    const pattern = matcher?.matchPattern;
    if (sanType !== SubjectAltNameMatcher_SanType.URI || pattern?.case !== 'prefix' || matcher?.ignoreCase === true) return false;
    return `spiffe://${mesh}/`.startsWith(pattern.value);
  });
  return isMet ? null : `it accepts other names than those that begin with spiffe://${mesh}/`;
}

/** Returns each mesh once that the CA, the certificate or the clients' prefix names. */
function meshNames(common: CommonTlsContext): readonly string[] {
  const sds = [...common.tlsCertificateSdsSecretConfigs, ...validationSecrets(common)].map(({ name }) => name);
  const named = sds.flatMap((name) => /^(?:identity_cert|mesh_ca):secret:(.+)$/.exec(name)?.[1] ?? []);
  if (named.length > 0) return [...new Set(named)];
  const prefixes = validationsOf(common).flatMap(({ matchTypedSubjectAltNames }) =>
    matchTypedSubjectAltNames.flatMap(({ matcher }) => {
      const pattern = matcher?.matchPattern;
      return pattern?.case === 'prefix' ? (/^spiffe:\/\/([^/]+)\/$/.exec(pattern.value)?.[1] ?? []) : [];
    }),
  );
  return [...new Set(prefixes)];
}

function validationsOf({ validationContextType: type }: CommonTlsContext): readonly CertificateValidationContext[] {
  if (type.case === 'validationContext') return [type.value];
  if (type.case !== 'combinedValidationContext' || type.value.defaultValidationContext === undefined) return [];
  return [type.value.defaultValidationContext];
}

function validationSecrets({ validationContextType: type }: CommonTlsContext): readonly SdsSecretConfig[] {
  if (type.case === 'validationContextSdsSecretConfig') return [type.value];
  if (type.case !== 'combinedValidationContext' || type.value.validationContextSdsSecretConfig === undefined) return [];
  return [type.value.validationContextSdsSecretConfig];
}

/** Takes the first of several certificates: clients of a mesh accept any of them. */
function identityOf(common: CommonTlsContext): SecretOrInline<TlsCertificate> | null {
  const [inline] = common.tlsCertificates;
  if (inline !== undefined) return { kind: 'inline', value: inline };
  return secretOf(common.tlsCertificateSdsSecretConfigs[0]);
}

function trustOf(common: CommonTlsContext): SecretOrInline<CertificateValidationContext> | null {
  const { validationContextType: type } = common;
  if (type.case === 'validationContext') return { kind: 'inline', value: type.value };
  return secretOf(validationSecrets(common)[0]);
}

function secretOf(config: SdsSecretConfig | undefined): SecretOrInline<never> | null {
  return config?.sdsConfig?.configSourceSpecifier.case === 'ads' ? { kind: 'secret', name: config.name } : null;
}
