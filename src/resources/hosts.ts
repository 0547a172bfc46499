import { isIP } from 'node:net';
import { endsInNumber } from '../base/ends-in-number.ts';

/**
 * Tells whether Kuma takes a host for an IP address or a DNS name. Null also for the spellings that
 * a resolver reads as an address although they are neither RFC 4291 nor dotted decimal: 0x7f000001,
 * 2130706433, 127.1, 0177.0.0.1 (Kuma takes those for names).
 */
export function hostKind(host: string): 'ip' | 'name' | null {
  if (isIP(host) !== 0) return host.includes('%') ? null : 'ip';
  if (!DNS_NAME.test(host) || host.replaceAll('.', '').length > 255) return null;
  return endsInNumber(host) ? null : 'name';
}

export function isIpv6(host: string): boolean {
  return isIP(host) === 6;
}

/** Splits as Go's net.SplitHostPort does: it removes the brackets around an IPv6 address. */
export function splitHostPort(address: string): { readonly host: string; readonly port: string } | null {
  const bracketed = /^\[([^\][]*)\]:([^:\][]*)$/.exec(address);
  const plain = bracketed ?? /^([^:\][]*):([^:\][]*)$/.exec(address);
  return plain === null ? null : { host: plain[1] ?? '', port: plain[2] ?? '' };
}

export function isPort(port: number | undefined): port is number {
  return port !== undefined && port >= 1 && port <= 65535;
}

const LABEL = '[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62}';
const DNS_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*\\.?$`);
