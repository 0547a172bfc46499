/** The answers of look-ups: their form, their order, and their failures in words. Pure. */
import { isIP, isIPv4 } from 'node:net';
import { errorCode } from '../base/error-code.ts';
import type { Resolution } from '../model/endpoint-view.ts';
import type { ResolvedAddresses } from './system-names.ts';

/** The addresses to look up: A records only, or AAAA records too. */
export type Family = 'v4' | 'any';

export function foundOf(answer: readonly string[] | ResolvedAddresses, family: Family): ResolvedAddresses {
  const { addresses, ttl } = 'addresses' in answer ? answer : { addresses: answer, ttl: null };
  return { addresses: sorted(addresses, family), ttl };
}

/**
 * Returns each address once, IPv4 first, in an order that does not change with the server's
 * rotation.
 */
function sorted(addresses: readonly string[], family: Family): readonly string[] {
  const usable = ofFamily(
    addresses.filter((ip) => isIP(ip) !== 0),
    family,
  );
  return [...new Set(usable)].sort((a, b) => isIP(a) - isIP(b) || (a < b ? -1 : 1));
}

export function only(resolution: Resolution, family: Family): Resolution {
  if (resolution.kind === 'failed' || family === 'any') return resolution;
  return { kind: 'resolved', addresses: ofFamily(resolution.addresses, family) };
}

/**
 * Prefers IPv4 where it is wanted and exists; a name with only IPv6 addresses is reached by them,
 * or the connection reports it.
 */
function ofFamily(addresses: readonly string[], family: Family): readonly string[] {
  const four = family === 'v4' ? addresses.filter((ip) => isIPv4(ip)) : [];
  return four.length > 0 ? four : addresses;
}

export function sameResolution(a: Resolution, b: Resolution): boolean {
  if (a.kind === 'failed' || b.kind === 'failed') return a.kind === 'failed' && b.kind === 'failed' && a.message === b.message;
  return a.addresses.length === b.addresses.length && a.addresses.every((ip, i) => ip === b.addresses[i]);
}

export function failed(message: string): Extract<Resolution, { kind: 'failed' }> {
  return { kind: 'failed', message };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'no such name',
  ENODATA: 'it has no address',
  EAI_AGAIN: 'the resolver does not answer now',
  ETIMEOUT: 'the resolver does not answer',
  ECONNREFUSED: 'the resolver does not answer',
  ESERVFAIL: 'the server failed',
};

/** Returns why a look-up failed, in words. */
export function failureReason(error: unknown): string {
  const code = errorCode(error);
  if (code === '') return error instanceof Error ? error.message : String(error);
  const known = REASONS[code];
  return known === undefined ? code : `${known} (${code})`;
}
