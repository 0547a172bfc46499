import { X509Certificate, createPrivateKey } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { Acceptance } from '../messages/ads-state.ts';
import { TYPE_URLS } from '../messages/ads-state.ts';
import { dataText } from '../messages/data-text.ts';
import type { CertificateValidationContext, TlsCertificate } from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';

/**
 * Decodes a secret and refuses it where Envoy would: certificates and keys that cannot be loaded. A
 * reason never contains a part of a key.
 */
export function acceptSecret(any: Any): Acceptance<Secret> {
  if (any.typeUrl !== TYPE_URLS.secret)
    return { kind: 'refused', name: '', why: `its type is ${any.typeUrl}, not ${TYPE_URLS.secret}` };
  let secret: Secret;
  try {
    secret = fromBinary(SecretSchema, any.value);
  } catch (error) {
    return { kind: 'refused', name: '', why: `cannot be decoded: ${error instanceof Error ? error.message : String(error)}` };
  }
  const { name, type } = secret;
  const why =
    type.case === 'tlsCertificate'
      ? certificateRefusal(type.value)
      : type.case === 'validationContext'
        ? trustRefusal(type.value)
        : null;
  return why === null ? { kind: 'accepted', name, resource: secret, remarks: [] } : { kind: 'refused', name, why };
}

function certificateRefusal({ certificateChain, privateKey, pkcs12, privateKeyProvider }: TlsCertificate): string | null {
  if (pkcs12 !== undefined) return null;
  const chain = dataText(certificateChain);
  const key = dataText(privateKey);
  if (chain.kind === 'absent') return 'Failed to load certificate chain from <inline>';
  if (key.kind === 'absent' && privateKeyProvider === undefined) return 'Failed to load incomplete private key from path: ';
  if (chain.kind === 'text' && !loads(() => new X509Certificate(chain.text)))
    return 'Failed to load certificate chain from <inline>';
  if (key.kind === 'text' && !loads(() => createPrivateKey(key.text))) return 'Failed to load private key from <inline>';
  return null;
}

function trustRefusal({ trustedCa }: CertificateValidationContext): string | null {
  const ca = dataText(trustedCa);
  return ca.kind !== 'text' || loads(() => new X509Certificate(ca.text))
    ? null
    : 'Failed to load trusted CA certificates from <inline>';
}

function loads(load: () => unknown): boolean {
  try {
    load();
    return true;
  } catch {
    return false;
  }
}
