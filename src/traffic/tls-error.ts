import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * Ends a TLS socket with the first TLS error after its handshake: a record that cannot be
 * decrypted, an alert. Node only emits an event and leaves the socket open, without reading or
 * ending it. Call this as soon as the socket exists; the listener stays, because an error without a
 * listener would end the process.
 */
export function endOnTlsError(socket: TLSSocket): void {
  socket.on('error', destroyWith);
}

function destroyWith(this: TLSSocket, error: Error): void {
  // Destroying emits the error once more, and keeps it in `errored` for later readers.
  if (!this.destroyed) this.destroy(error);
}

/**
 * OpenSSL's texts for a record that cannot be decrypted: they differ with the version of TLS and
 * the cipher.
 */
const UNDECRYPTABLE: ReadonlySet<string> = new Set([
  'decryption failed or bad record mac',
  'cipher operation failed',
  'invalid aad',
]);

type SslError = Error & { readonly code?: string; readonly reason?: string };

/**
 * Returns the TLS error with OpenSSL's text, without the addresses in its library; null for any
 * other error of a connection, such as a reset.
 */
export function tlsErrorText(error: Error | null): string | null {
  const { code, reason, message } = (error ?? {}) as Partial<SslError>;
  if (code === undefined || !/^ERR_(O?SSL|USELESS)_/.test(code)) return null;
  const text = reason ?? message ?? code;
  return UNDECRYPTABLE.has(text) ? `a record cannot be decrypted (${text})` : text;
}

/** Does the same for a socket that may be over. */
export function tlsErrorOf(socket: Socket): string | null {
  return tlsErrorText(socket.errored);
}
