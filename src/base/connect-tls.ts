import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionOptions, PeerCertificate, TLSSocket } from 'node:tls';

/**
 * What is known of a server: its certificate, once OpenSSL has led it to a trusted CA; null where
 * it cannot be read.
 */
export type CheckServer = (certificate: X509Certificate | null) => Error | undefined;

export interface TlsTarget extends Omit<ConnectionOptions, 'checkServerIdentity'> {
  /** Names are checked here and nowhere else; `undefined` from it lets the server pass. */
  readonly checkServer: CheckServer;
}

/**
 * The only way to connect with TLS here. `tls.connect` itself calls `getPeerCertificate`, which
 * turns each certificate of the chain into an object; some lines of Node (24.21 for one) end the
 * process there for an EC key on a curve without a NIST name. So the socket that comes back answers
 * that call itself, with the bytes of the server's certificate alone (docs/native-calls.md).
 */
export function connectTls({ checkServer, ...options }: TlsTarget): TLSSocket {
  const socket = connect({ ...options, checkServerIdentity: (_host, { raw }) => checkServer(readOrNull(raw)) });
  withoutLegacyObjects(socket);
  return socket;
}

/** Read once: Node 24 gives a certificate once, and nothing to the next who asks. */
function withoutLegacyObjects(socket: TLSSocket): void {
  let raw: Buffer | undefined;
  const harmless = (): { readonly raw?: Buffer } => {
    raw ??= socket.getPeerX509Certificate()?.raw;
    return raw === undefined ? {} : { raw };
  };
  socket.getPeerCertificate = harmless as typeof socket.getPeerCertificate;
}

/** A server without a certificate has passed no check of OpenSSL either. */
function readOrNull(raw: PeerCertificate['raw'] | undefined): X509Certificate | null {
  try {
    return raw === undefined ? null : new X509Certificate(raw);
  } catch {
    return null;
  }
}

/**
 * Whether a certificate is for this host, a name or an address, as OpenSSL compares them; the error
 * has Node's code and words.
 */
export function hostProblem(certificate: X509Certificate | null, host: string): Error | undefined {
  const name = host.replace(/\.$/, '');
  const isFor = isIP(host) === 0 ? certificate?.checkHost(name) : certificate?.checkIP(host);
  if (isFor !== undefined) return undefined;
  const names = certificate?.subjectAltName ?? certificate?.subject.split('\n').join(', ') ?? 'nobody';
  const why = `Hostname/IP does not match certificate's altnames: ${host} is not in the cert's list: ${shortened(names)}`;
  return Object.assign(new Error(why), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
}

const MAX_SHOWN = 500;

function shortened(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
