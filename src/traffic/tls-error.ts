import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * Ends a TLS socket with the first error of TLS that comes after its handshake: a record that
 * cannot be decrypted, an alert. Node says it by an event alone and leaves the socket open, without
 * reading or an end. To be called as soon as there is the socket, and it stays: an error without a
 * listener would end the process.
 */
export function endOnTlsError(socket: TLSSocket): void {
  socket.on('error', destroyWith);
}

function destroyWith(this: TLSSocket, error: Error): void {
  // Emits the error once more; then `errored` has it, for those who come later.
  if (!this.destroyed) this.destroy(error);
}

/**
 * OpenSSL's words where a record cannot be decrypted: they differ with the version of TLS and the
 * cipher.
 */
const UNDECRYPTABLE: ReadonlySet<string> = new Set([
  'decryption failed or bad record mac',
  'cipher operation failed',
  'invalid aad',
]);

type SslError = Error & { readonly code?: string; readonly reason?: string };

/**
 * What TLS itself said, with OpenSSL's own words without addresses in its library: null for any
 * other error of a connection, such as a reset.
 */
export function tlsErrorText(error: Error | null): string | null {
  const { code, reason, message } = (error ?? {}) as Partial<SslError>;
  if (code === undefined || !/^ERR_(O?SSL|USELESS)_/.test(code)) return null;
  const text = reason ?? message ?? code;
  return UNDECRYPTABLE.has(text) ? `a record cannot be decrypted (${text})` : text;
}

/** The same of a socket that may be over. */
export function tlsErrorOf(socket: Socket): string | null {
  return tlsErrorText(socket.errored);
}
