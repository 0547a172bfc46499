import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Any } from '@bufbuild/protobuf/wkt';
import { missingExtension, UPSTREAM_SOCKETS } from '../messages/cluster-extensions.ts';
import { dataText } from '../messages/data-text.ts';
import type { TransportSocket } from '#envoy/config/core/v3/base_pb.js';
import {
  CertificateValidationContext_TrustChainVerification as ChainVerification,
  SubjectAltNameMatcher_SanType as SanType,
  TlsParameters_TlsProtocol as Protocol,
} from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type {
  CertificateValidationContext,
  TlsCertificate,
  TlsParameters,
} from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { UpstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { CommonTlsContext, UpstreamTlsContext } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { above, constraint, undefinedEnum } from './proto-constraint.ts';
import { typeOf, unpack } from '../messages/typed-config.ts';

/**
 * Returns why Envoy would refuse this transport socket of a cluster, with Envoy's messages. It does
 * not read files.
 */
export function* socketRefusals({ name, configType }: TransportSocket): Iterable<string> {
  const config: Any | undefined = configType.value;
  const missing = missingExtension(name, config, UPSTREAM_SOCKETS);
  if (missing !== null) yield missing;
  if (typeOf(config) !== UpstreamTlsContextSchema.typeName) return;
  const context = unpack(config, UpstreamTlsContextSchema);
  if (context === undefined) yield `Unable to unpack as ${UpstreamTlsContextSchema.typeName}`;
  else yield* contextRefusals(context);
}

const MAX_SNI_BYTES = 255;

function* contextRefusals({ sni, commonTlsContext: common }: UpstreamTlsContext): Iterable<string> {
  if (Buffer.byteLength(sni) > MAX_SNI_BYTES)
    yield constraint('UpstreamTlsContext', 'Sni', `value length must be at most ${MAX_SNI_BYTES} bytes`);
  if (sni.includes('\0')) yield 'SNI names containing NULL-byte are not allowed';
  if (common === undefined) return;
  yield* certificateRefusals(common);
  yield* parameterRefusals(common.tlsParams);
  const { validationContextType: type } = common;
  if (type.case === 'validationContext') yield* validationRefusals(type.value, { isWhole: true });
  if (type.case === 'combinedValidationContext') {
    const { defaultValidationContext: own, validationContextSdsSecretConfig: secret } = type.value;
    if (own === undefined)
      yield constraint('CommonTlsContext_CombinedCertificateValidationContext', 'DefaultValidationContext', 'value is required');
    // The CA comes with the secret.
    else yield* validationRefusals(own, { isWhole: false });
    if (secret === undefined && type.value.validationContextCertificateProvider === undefined)
      yield constraint(
        'CommonTlsContext_CombinedCertificateValidationContext',
        'ValidationContextSdsSecretConfig',
        'value is required',
      );
  }
}

function* parameterRefusals(params: TlsParameters | undefined): Iterable<string> {
  if (params === undefined) return;
  yield* undefinedEnum('TlsParameters', {
    TlsMinimumProtocolVersion: [params.tlsMinimumProtocolVersion, Protocol],
    TlsMaximumProtocolVersion: [params.tlsMaximumProtocolVersion, Protocol],
  });
}

function* certificateRefusals({ tlsCertificates, tlsCertificateSdsSecretConfigs }: CommonTlsContext): Iterable<string> {
  if (tlsCertificates.length + tlsCertificateSdsSecretConfigs.length > 1)
    yield 'Multiple TLS certificates are not supported for client contexts';
  for (const certificate of tlsCertificates) yield* pairRefusals(certificate);
}

function* pairRefusals({ certificateChain, privateKey, pkcs12, privateKeyProvider }: TlsCertificate): Iterable<string> {
  if (pkcs12 !== undefined) return;
  const chain = dataText(certificateChain);
  const key = dataText(privateKey);
  if (chain.kind === 'absent') {
    if (key.kind !== 'absent') yield 'Failed to load incomplete certificate from <inline>: certificate chain not set';
    return;
  }
  if (key.kind === 'absent' && privateKeyProvider === undefined)
    yield 'Failed to load incomplete private key from path: <inline>';
  const certificate = chain.kind === 'text' ? loaded(() => new X509Certificate(chain.text)) : null;
  if (certificate === undefined) yield 'Failed to load certificate chain from <inline>';
  if (certificate !== null && certificate !== undefined) yield* keyKindRefusals(certificate);
  const own = key.kind === 'text' ? loaded(() => createPrivateKey(key.text)) : null;
  if (own === undefined) yield 'Failed to load private key from <inline>';
  if (certificate && own && !certificate.checkPrivateKey(own))
    yield 'Failed to load private key from <inline>, Cause: KEY_VALUES_MISMATCH';
}

const MIN_RSA_BITS = 2_048;

function* keyKindRefusals({ publicKey }: X509Certificate): Iterable<string> {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  if (type === 'rsa' && (details?.modulusLength ?? 0) < MIN_RSA_BITS)
    yield 'Failed to load certificate chain from <inline>, only RSA certificates with 2048-bit or larger keys are supported';
  const curve = details?.namedCurve;
  if (type === 'ec' && curve !== 'prime256v1' && curve !== 'secp384r1' && curve !== 'secp521r1')
    yield 'Failed to load certificate chain from <inline>, only P-256, P-384 or P-521 ECDSA certificates are supported';
}

const MAX_DEPTH = 100;

function* validationRefusals(
  validation: CertificateValidationContext,
  { isWhole }: { readonly isWhole: boolean },
): Iterable<string> {
  const { matchTypedSubjectAltNames: typed, matchSubjectAltNames, customValidatorConfig } = validation;
  yield* undefinedEnum('CertificateValidationContext', {
    TrustChainVerification: [validation.trustChainVerification, ChainVerification],
  });
  yield* above(MAX_DEPTH, 'CertificateValidationContext', { MaxVerifyDepth: validation.maxVerifyDepth });
  for (const { sanType, matcher } of typed) {
    if (sanType === SanType.SAN_TYPE_UNSPECIFIED || SanType[sanType] === undefined)
      yield constraint('SubjectAltNameMatcher', 'SanType', 'value must be one of the defined enum values and not 0');
    if (matcher === undefined) yield constraint('SubjectAltNameMatcher', 'Matcher', 'value is required');
    else if (matcher.matchPattern.case === undefined) yield constraint('StringMatcher', 'MatchPattern', 'value is required');
  }
  if (customValidatorConfig !== undefined && !VALIDATORS.has(customValidatorConfig.name))
    yield `Failed to get certificate validator factory from ${customValidatorConfig.name}`;
  const ca = dataText(validation.trustedCa);
  if (ca.kind === 'text' && loaded(() => new X509Certificate(ca.text)) === undefined)
    yield 'Failed to load trusted CA certificates from <inline>';
  if (!isWhole || ca.kind !== 'absent' || customValidatorConfig !== undefined) return;
  if (validation.crl !== undefined) yield 'Failed to load CRL from <inline> without trusted CA';
  if (typed.length + matchSubjectAltNames.length > 0)
    yield 'SAN-based verification of peer certificates without trusted CA is insecure and not allowed';
  if (validation.allowExpiredCertificate) yield 'Certificate validity period is always ignored without trusted CA';
}

const VALIDATORS: ReadonlySet<string> = new Set([
  'envoy.tls.cert_validator.default',
  'envoy.tls.cert_validator.spiffe',
  'envoy.tls.cert_validator.dynamic_modules',
]);

function loaded<Value>(load: () => Value): Value | undefined {
  try {
    return load();
  } catch {
    // A reason must not contain a part of a key.
    return undefined;
  }
}
