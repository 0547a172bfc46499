import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionOptions, PeerCertificate, TLSSocket } from 'node:tls';

/**
 * Judges a server's certificate after OpenSSL has led it to a trusted CA. The certificate is null
 * where it cannot be read.
 */
export type CheckServer = (certificate: X509Certificate | null) => Error | undefined;

export interface TlsTarget extends Omit<ConnectionOptions, 'checkServerIdentity'> {
  /**
   * Checks the names of the server; no other code does. It returns `undefined` to accept the
   * server.
   */
  readonly checkServer: CheckServer;
}

/**
 * Connects with TLS; the code has no other way to do it. `tls.connect` itself calls
 * `getPeerCertificate`, which turns each certificate of the chain into an object. Some releases of
 * Node (24.21 is one) end the process there for an EC key on a curve without a NIST name. The
 * returned socket therefore answers that call itself, with only the bytes of the server's
 * certificate (docs/native-calls.md).
 */
export function connectTls({ checkServer, ...options }: TlsTarget): TLSSocket {
  const socket = connect({ ...options, checkServerIdentity: (_host, { raw }) => checkServer(readOrNull(raw)) });
  withoutLegacyObjects(socket);
  return socket;
}

/** Reads the certificate once and keeps it: Node 24 returns it for the first call only. */
function withoutLegacyObjects(socket: TLSSocket): void {
  let raw: Buffer | undefined;
  const harmless = (): { readonly raw?: Buffer } => {
    raw ??= socket.getPeerX509Certificate()?.raw;
    return raw === undefined ? {} : { raw };
  };
  socket.getPeerCertificate = harmless as typeof socket.getPeerCertificate;
}

/** Returns null for a server without a certificate. OpenSSL has refused that server already. */
function readOrNull(raw: PeerCertificate['raw'] | undefined): X509Certificate | null {
  try {
    return raw === undefined ? null : new X509Certificate(raw);
  } catch {
    return null;
  }
}

/**
 * Tells whether a certificate is for this host (a name or an address), compared as OpenSSL does it.
 * The error has Node's code and message.
 */
export function hostProblem(certificate: X509Certificate | null, host: string): Error | undefined {
  const name = host.replace(/\.$/, '');
  const isFor = isIP(host) === 0 ? certificate?.checkHost(name) : certificate?.checkIP(host);
  if (isFor !== undefined) return undefined;
  const names = certificate?.subjectAltName ?? certificate?.subject.split('\n').join(', ') ?? 'no name';
  const why = `Hostname/IP does not match certificate's altnames: ${host} is not in the cert's list: ${shortened(names)}`;
  return Object.assign(new Error(why), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
}

const MAX_SHOWN = 500;

function shortened(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
