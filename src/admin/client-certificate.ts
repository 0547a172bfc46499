/**
 * Judges the certificate of a client of the admin listener. OpenSSL has checked its chain, its
 * times and its purpose in the handshake; what may have changed since is checked for each change.
 */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { oneLine } from '../base/plain-text.ts';
import { authorizationCode } from '../base/tls-words.ts';
import { chainTimes, sentChain } from '../identity/check-chain.ts';
import type { Times } from '../identity/check-chain.ts';
import { OID, readCertificate } from '../identity/der.ts';
import type { DerCertificate } from '../identity/der.ts';
import type { TlsMaterial } from './tls-files.ts';

export type ShownCertificate =
  | { readonly kind: 'none' }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'verified'; readonly name: string; readonly times: Times; readonly clientCa: string };

/** The verdict on a certificate at this moment. */
export type CertificateNow =
  Exclude<ShownCertificate, { kind: 'verified' }> | { readonly kind: 'verified'; readonly name: string };

const MAX_NAME = 160;

/** Judges what a client has shown in its handshake. */
export function shownCertificate(socket: TLSSocket, { trusted, clientCa }: TlsMaterial): ShownCertificate {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) return { kind: 'none' };
  const refused = (why: string): ShownCertificate => ({ kind: 'refused', why });
  // No session is resumed here; one would be judged by what an earlier handshake saw.
  if (socket.isSessionReused()) return refused('it was not shown in this handshake');
  if (!socket.authorized) return refused(reasonOf(authorizationCode(socket) ?? 'UNSPECIFIED'));
  const read = readCertificate(leaf.raw);
  if (read.kind !== 'certificate') return refused(`it cannot be read: ${read.why}`);
  if (read.certificate.extendedKeyUsage?.includes(OID.clientAuth) !== true)
    return refused('it is not one for clients: its extended key usage does not name clientAuth');
  const times = chainTimes(sentChain(leaf), trusted);
  if (times === null) return refused(NOT_TRUSTED);
  return { kind: 'verified', name: nameOf(leaf, read.certificate), times, clientCa };
}

/** Judges it once more on a connection that may have been open for long. */
export function certificateNow(shown: ShownCertificate, material: TlsMaterial | null, wallMs: number): CertificateNow {
  if (shown.kind !== 'verified') return shown;
  const { name, times, clientCa } = shown;
  if (material === null || material.clientCa !== clientCa)
    return { kind: 'refused', why: 'the CAs have changed since this connection began: connect anew' };
  if (wallMs < times.from || wallMs > times.until)
    return { kind: 'refused', why: 'it, or a CA above it, is not valid at this time' };
  return { kind: 'verified', name };
}

const NOT_TRUSTED = 'it does not lead to a CA of --admin-client-ca-file';

const REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it, or a CA above it, expired',
  CERT_NOT_YET_VALID: 'it, or a CA above it, is not valid yet',
  INVALID_PURPOSE: 'it is not one for clients: its extended key usage does not name clientAuth',
};

function reasonOf(code: string): string {
  return REASONS[code] ?? `${NOT_TRUSTED} (${code})`;
}

/** Writes the first URI or DNS name, and the subject, for a line of the log. */
function nameOf({ subject }: X509Certificate, { altNames }: DerCertificate): string {
  const first = altNames.find(({ kind }) => kind === 'uri') ?? altNames.find(({ kind }) => kind === 'dns' || kind === 'email');
  const parts = [first?.bytes.toString('latin1') ?? '', subject.split('\n').join(', ')];
  const text = parts.filter((part) => part !== '').join(', ');
  return text === '' ? 'without a name' : oneLine(text.slice(0, MAX_NAME));
}
