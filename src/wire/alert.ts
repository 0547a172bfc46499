/**
 * The alert that a refused client gets: one fatal alert, so that its TLS library can show a reason
 * and not only an end of the stream. Before our handshake begins it goes in the clear. A client
 * that does not speak TLS gets none. For a refused certificate see traffic/certificate-alert.ts.
 */
import type { RefusalCode } from '../base/refusal.ts';

/** The level of RFC 8446 6; the descriptions are from there and from RFC 6066 3. */
const FATAL = 2;
const DECODE_ERROR = 50;
const INTERNAL_ERROR = 80;
const UNRECOGNIZED_NAME = 112;

const ALERTS = {
  'hello-timeout': null,
  'hello-too-large': record(DECODE_ERROR),
  'not-tls': null,
  'malformed-hello': record(DECODE_ERROR),
  'client-gone': null,
  'no-sni': record(UNRECOGNIZED_NAME),
  'no-route': record(UNRECOGNIZED_NAME),
  'identity-unavailable': record(INTERNAL_ERROR),
  'handshake-failed': null,
  'no-client-certificate': null,
  'client-not-trusted': null,
  'wrong-mesh': null,
  denied: null,
  'unsupported-policy': null,
  'over-limit': record(INTERNAL_ERROR),
  misconfigured: record(INTERNAL_ERROR),
  'no-endpoint': record(INTERNAL_ERROR),
  'dns-failed': record(INTERNAL_ERROR),
  'forbidden-address': record(INTERNAL_ERROR),
  'connect-timeout': record(INTERNAL_ERROR),
  'connect-refused': record(INTERNAL_ERROR),
  'upstream-tls-failed': null,
  'malformed-request': null,
  'request-timeout': null,
  'fault-injected': null,
  'endpoint-failed': null,
  'idle-timeout': null,
  'tls-error': null,
  'policy-changed': null,
  'ended-by-operator': null,
  drained: null,
  'internal-error': record(INTERNAL_ERROR),
} satisfies Record<RefusalCode, Uint8Array | null>;

/**
 * Returns the bytes to send before closing, or null for no alert. Use it only on a connection where
 * no byte of TLS was sent yet: codes such as `connect-refused` occur after a handshake too. The
 * bytes are shared: write them, do not change them.
 */
export function alertFor(code: RefusalCode): Uint8Array | null {
  return ALERTS[code];
}

/** The alerts for a refused client certificate: names and numbers of RFC 8446 6.2. */
const CERTIFICATE_ALERTS = {
  'bad-certificate': 42,
  'unsupported-certificate': 43,
  'certificate-expired': 45,
  'certificate-unknown': 46,
  'unknown-ca': 48,
  'decrypt-error': 51,
  'certificate-required': 116,
} as const;

export type CertificateAlert = keyof typeof CERTIFICATE_ALERTS;

/** TLS 1.2 has no alert for a missing certificate. */
const HANDSHAKE_FAILURE = 40;

/** Makes the content of an alert of TLS 1.3. */
export function certificateAlert(alert: CertificateAlert): Uint8Array {
  return Uint8Array.of(FATAL, CERTIFICATE_ALERTS[alert]);
}

/** Makes a record of TLS 1.2 in the clear: valid until the server has changed its cipher. */
export function certificateAlertRecord(alert: CertificateAlert): Uint8Array {
  return record(alert === 'certificate-required' ? HANDSHAKE_FAILURE : CERTIFICATE_ALERTS[alert]);
}

/**
 * Makes a record of version TLS 1.2, which every version accepts before a version is agreed on:
 * content type alert, two bytes, level fatal.
 */
function record(description: number): Uint8Array {
  return Uint8Array.of(21, 3, 3, 0, 2, FATAL, description);
}
