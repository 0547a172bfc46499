import type { TLSSocket } from 'node:tls';
import { errorCode } from './error-code.ts';
import { ownLack } from './own-lack.ts';

/** `reason` has OpenSSL's own text, without the addresses in its library. */
export type SocketError = Error & { readonly code?: string; readonly reason?: string };

/**
 * Says why a connection or its TLS failed: Node's code, and advice where the code alone does not
 * help.
 */
export function socketReason({ code, reason, message }: SocketError): string {
  if (code === undefined) return message;
  const lack = ownLack(code);
  if (lack !== null) return lack;
  const words = reason ?? message;
  // Node has no code of its own for these errors; only OpenSSL's text tells them apart.
  if (code === 'UNSPECIFIED') return WEAK[message] ?? `the certificate is refused: ${words}`;
  const advice = ADVICE[code];
  return advice === undefined ? `${code} ${words}` : `${code} ${words}: ${advice}`;
}

const RENEW =
  'have it issued anew with RSA of 2048 bits or more, or EC, and with SHA-256; until then only a destination without verification can be reached';

/**
 * Advice by the text of OpenSSL (X509_verify_cert_error_string). The limits are those of its
 * security level 2.
 */
const WEAK: Readonly<Record<string, string>> = {
  'EE certificate key too weak': `the certificate of the service has a key that is too weak (RSA below 2048 bits or EC below 224): ${RENEW}`,
  'CA certificate key too weak': `a CA certificate above that of the service has a key that is too weak (RSA below 2048 bits or EC below 224): ${RENEW}`,
  'CA signature digest algorithm too weak': `a certificate of the service is signed with a hash that is too weak (SHA-1 or MD5): ${RENEW}`,
};

const NOTHING_IN_COMMON =
  'the service found no TLS version, cipher or signature that both sides have (a key on a curve like secp256k1 or brainpool has none here), or it wants another client certificate';

const ADVICE: Readonly<Record<string, string>> = {
  'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE': NOTHING_IN_COMMON,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: NOTHING_IN_COMMON,
  ERR_SSL_WRONG_CURVE: 'the service has a key on a curve that is not offered here',
  ERR_SSL_WRONG_SIGNATURE_TYPE: 'the service has a key of a kind that is not offered here',
};

/**
 * Returns OpenSSL's code for what is wrong with the certificate of the other side; null where
 * nothing is. Node types the value as an Error, but it is a string.
 */
export function authorizationCode(socket: TLSSocket): string | null {
  const error: unknown = socket.authorizationError;
  if (typeof error === 'string') return error;
  return error instanceof Error ? errorCode(error) || error.message : null;
}
