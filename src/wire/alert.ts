/**
 * What a client is told that is refused before a TLS handshake of ours began: one fatal alert, so that its TLS library has a reason to show
 * and not only an end of the stream. After a handshake an alert can no longer be sent in the clear, and what is not TLS would not understand one.
 */
import type { RefusalCode } from '../base/refusal.ts';

/** RFC 8446 6, RFC 6066 3. */
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
  'idle-timeout': null,
  'tls-error': null,
  'policy-changed': null,
  drained: null,
  'internal-error': record(INTERNAL_ERROR),
} satisfies Record<RefusalCode, Uint8Array | null>;

/**
 * The bytes to send before closing, or null where nothing is to be said. Only for a connection on which no byte of TLS was sent yet: codes
 * such as `connect-refused` come up after a handshake too. The bytes are shared: write them, do not change them.
 */
export function alertFor(code: RefusalCode): Uint8Array | null {
  return ALERTS[code];
}

/** A record of version TLS 1.2, which every version accepts before a version is agreed on: content type alert, two bytes, level fatal. */
function record(description: number): Uint8Array {
  return Uint8Array.of(21, 3, 3, 0, 2, 2, description);
}
