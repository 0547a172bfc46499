import type { Endpoint, NameMatcher, TlsOrigination, TlsVersion } from '../model/cluster.ts';
import { tlsText } from '../routing/table.ts';

export interface TlsChange {
  /** True when less is verified, or TLS is gone. */
  readonly isWeaker: boolean;
  readonly text: string;
}

/**
 * Returns how the TLS to one endpoint changes, or that of a new endpoint beside the previous ones;
 * null without a change.
 */
export function tlsChange(before: TlsOrigination | null, after: TlsOrigination | null): TlsChange | null {
  const said = sentences(before, after);
  if (said.length === 0) return null;
  return { isWeaker: said.some(({ isWeaker }) => isWeaker), text: said.map(({ text }) => text).join('; ') };
}

/** Tells whether a new endpoint has weaker TLS than every previous one. */
export function isWeakerThanAll({ tls }: Endpoint, before: readonly Endpoint[]): boolean {
  return before.length > 0 && before.every((other) => strength(tls) < strength(other.tls));
}

/** Ranks no TLS, unverified, any name, verified. */
function strength(tls: TlsOrigination | null): number {
  if (tls === null) return 0;
  if (tls.trust.kind === 'none') return 1;
  return tls.names === null ? 2 : 3;
}

function sentences(before: TlsOrigination | null, after: TlsOrigination | null): readonly TlsChange[] {
  const weaker = strength(after) < strength(before);
  if (strength(before) !== strength(after)) return [{ isWeaker: weaker, text: `was ${tlsText(before)}, is ${tlsText(after)}` }];
  if (before === null || after === null) return [];
  const found: TlsChange[] = [];
  const say = (text: string, isWeaker = false): void => void found.push({ isWeaker, text });
  if (before.trust.kind !== after.trust.kind)
    say(
      `trusts ${after.trust.kind === 'system' ? 'the CAs of the system' : 'a CA of its own'} now`,
      after.trust.kind === 'system',
    );
  else if (before.trust.kind === 'bundle' && after.trust.kind === 'bundle' && before.trust.ca !== after.trust.ca)
    say('trusts another CA');
  const [then, now] = [namesText(before.names), namesText(after.names)];
  if (then !== now) say(`verified ${then}, verifies ${now} now`, isLooser(before.names ?? [], after.names ?? []));
  if (before.serverName !== after.serverName)
    say(`sends ${after.serverName === null ? 'no name' : `the name ${after.serverName}`}, sent ${before.serverName ?? 'none'}`);
  if (before.minVersion !== after.minVersion)
    say(`from ${after.minVersion} on, was ${before.minVersion}`, versionAt(after.minVersion) < versionAt(before.minVersion));
  if (before.maxVersion !== after.maxVersion)
    say(`up to ${after.maxVersion}, was ${before.maxVersion}`, versionAt(after.maxVersion) < versionAt(before.maxVersion));
  const [had, has] = [before.clientCertificate, after.clientCertificate];
  if (had !== null && has === null) say('shows no client certificate any more');
  else if (had === null && has !== null) say('shows a client certificate');
  else if (had !== null && has !== null && (had.cert !== has.cert || had.key !== has.key))
    say('shows another client certificate');
  if (before.alpn.join() !== after.alpn.join()) say(`offers ALPN ${after.alpn.join(', ') || 'no more'}`);
  if (before.allowRenegotiation !== after.allowRenegotiation)
    say(after.allowRenegotiation ? 'allows renegotiation' : 'allows no renegotiation', after.allowRenegotiation);
  return found;
}

function namesText(names: readonly NameMatcher[] | null): string {
  return names === null ? 'any name' : names.map(({ kind, value }) => `${value}${kind === 'prefix' ? '*' : ''}`).join(', ');
}

/** Tells whether all previous names are accepted, and more. */
function isLooser(before: readonly NameMatcher[], after: readonly NameMatcher[]): boolean {
  return before.every((one) => after.some((other) => covers(other, one)));
}

function covers(wide: NameMatcher, narrow: NameMatcher): boolean {
  if (wide.kind === 'exact') return narrow.kind === 'exact' && narrow.value === wide.value;
  return narrow.value.startsWith(wide.value);
}

const VERSIONS: readonly TlsVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];

function versionAt(version: TlsVersion): number {
  return VERSIONS.indexOf(version);
}
