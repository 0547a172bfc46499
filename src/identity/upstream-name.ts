import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { ipBytes } from '../base/ip-bytes.ts';
import type { NameMatcher } from '../model/cluster.ts';
import { readCertificate } from './der.ts';
import type { GeneralName } from './der.ts';

/**
 * Higher than any certificate can reach: OpenSSL takes at most 100 KB of certificates from a
 * server, and each name has at least 3 bytes.
 */
const MAX_NAMES = 100_000;

/**
 * Checks whether a server, to which TLS is originated, has one of the wanted names. Returns null,
 * or a sentence. Only DNS and IP subject alternative names count, read from the DER; the CN and
 * URIs do not, so that a certificate of a mesh is no certificate of an external service. A wildcard
 * is one whole left-most label. An address matches only an IP name, byte by byte.
 */
export function checkServerName(certificate: X509Certificate, names: readonly NameMatcher[]): string | null {
  const der = readCertificate(certificate.raw, MAX_NAMES);
  if (der.kind === 'unreadable') return `its certificate cannot be read: ${der.why}`;
  const { altNames } = der.certificate;
  const dns = altNames.filter(({ kind }) => kind === 'dns').flatMap(plainName);
  const ips = altNames.filter(({ kind }) => kind === 'ip').map(({ bytes }) => bytes);
  if (names.some((name) => matches(name, dns, ips))) return null;
  const asText = names.find(({ kind, value }) => kind === 'exact' && isIP(value) !== 0 && dns.includes(lowerAscii(value)));
  if (asText !== undefined) {
    const { value } = asText;
    return `its certificate has the address ${value} as a DNS name, and only an IP name is one for an address: have it issued with subjectAltName IP:${value}, or give a serverName that it has`;
  }
  const wanted = names.map(({ kind, value }) => (kind === 'prefix' ? `${value}…` : value)).join(', ');
  return `its certificate is for ${describe(dns, ips)}, wanted ${wanted === '' ? 'no name at all' : `one of: ${wanted}`}`;
}

function matches({ kind, value }: NameMatcher, dns: readonly string[], ips: readonly Buffer[]): boolean {
  if (value === '') return false;
  if (kind === 'prefix') return dns.some((name) => name.startsWith(lowerAscii(value)));
  const bytes = ipBytes(value);
  if (bytes !== null) return ips.some((ip) => ip.equals(bytes));
  return dns.some((pattern) => matchesDns(pattern, lowerAscii(value)));
}

function matchesDns(pattern: string, name: string): boolean {
  if (!pattern.startsWith('*.')) return pattern === name;
  const parent = pattern.slice(1);
  // Otherwise a certificate for `*.com` would match nearly every server.
  if (parent.indexOf('.', 1) === -1 || parent.includes('*')) return false;
  const label = name.slice(0, name.length - parent.length);
  return name.endsWith(parent) && label !== '' && !label.includes('.');
}

/**
 * Returns the name in lower case. A name with a byte outside of visible ASCII is no DNS name and
 * matches nothing.
 */
function plainName({ bytes }: GeneralName): string[] {
  const text = bytes.toString('latin1');
  return /^[\x21-\x7e]+$/.test(text) ? [lowerAscii(text)] : [];
}

function lowerAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

const MAX_SHOWN = 8;

function describe(dns: readonly string[], ips: readonly Buffer[]): string {
  const all = [...dns, ...ips.map(ipText)];
  if (all.length === 0) return 'no DNS name and no address';
  return all.length > MAX_SHOWN ? `${all.slice(0, MAX_SHOWN).join(', ')} and ${all.length - MAX_SHOWN} more` : all.join(', ');
}

function ipText(bytes: Buffer): string {
  return bytes.length === 4 ? bytes.join('.') : (bytes.toString('hex').match(/.{1,4}/g) ?? []).join(':');
}
