import { objectIn } from './token.ts';
import { oneLine } from '../base/plain-text.ts';
import { plural } from '../base/plural.ts';

/** The content of a proxy's token in words, and why Kuma's control plane would refuse it; pure. */
export interface TokenReport {
  readonly kind: 'zone' | 'dataplane' | 'other';
  /** A part of a sentence: the identity that the token proves. */
  readonly what: string;
  readonly lines: readonly (readonly [name: string, value: string])[];
  readonly header: JsonObject;
  readonly claims: JsonObject;
  readonly signature: 'good' | 'wrong' | 'unchecked';
  /** Why a control plane would refuse it for an egress. Empty where it would accept it. */
  readonly problems: readonly string[];
}

type JsonObject = Readonly<Record<string, unknown>>;

export interface TokenFacts {
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  /** Null where the signature was not verified. */
  readonly isSigned: boolean | null;
}

/** Takes a token that `checkedToken` has accepted. */
export function tokenReport(token: string, { nowMs, isSigned }: TokenFacts): TokenReport {
  const [header = {}, claims = {}] = token
    .split('.')
    .slice(0, 2)
    .map((part): JsonObject => ({ ...objectIn(part) }));
  const kind = kindOf(claims);
  return {
    kind,
    what: whatItIs(kind, claims),
    lines: [
      ['key', `${shown(header['alg'])}, id ${shown(header['kid'])}`],
      ['valid from', moment(claims['nbf'], nowMs)],
      ['valid until', moment(claims['exp'], nowMs)],
      ['id', `${shown(claims['jti'])} (a control plane refuses it once this id is in the secret of revocations)`],
    ],
    header,
    claims,
    signature: isSigned === null ? 'unchecked' : isSigned ? 'good' : 'wrong',
    problems: [...problemsOf(kind, header, claims, nowMs), ...(isSigned === false ? ['another key has signed it'] : [])],
  };
}

function kindOf(claims: JsonObject): TokenReport['kind'] {
  if ('Zone' in claims || 'Scope' in claims) return 'zone';
  return 'Mesh' in claims && 'Tags' in claims ? 'dataplane' : 'other';
}

function whatItIs(kind: TokenReport['kind'], claims: JsonObject): string {
  if (kind === 'zone')
    return `zone token for ${named('the zone', claims['Zone'], 'any zone')}, scope ${scopeOf(claims).join(' and ') || 'none'}`;
  if (kind === 'other')
    return `no token of a zone or of a Dataplane: its claims are ${Object.keys(claims).map(shown).join(', ') || 'none'}`;
  const bound = [
    named('the Dataplane', claims['Name'], ''),
    named('the workload', claims['Workload'], ''),
    named('proxies of type', claims['Type'], ''),
    tagsOf(claims['Tags']),
  ].filter((part) => part !== '');
  return `dataplane token of the mesh ${shown(claims['Mesh'])}, bound to ${bound.join(', ') || 'nothing in it'}`;
}

function problemsOf(kind: TokenReport['kind'], header: JsonObject, claims: JsonObject, nowMs: number): readonly string[] {
  const seconds = nowMs / 1_000;
  const { exp, nbf } = claims;
  return [
    header['alg'] !== 'RS256' && `a control plane accepts RS256, this one has ${shown(header['alg'])}`,
    (typeof header['kid'] !== 'string' || header['kid'] === '') && 'the header names no key (kid)',
    typeof exp === 'number' && exp <= seconds && 'it has expired',
    typeof nbf === 'number' && nbf > seconds && 'it is not valid yet: the clock of this machine or of the issuer may be wrong',
    kind === 'other' &&
      'an egress joins with a zone token (Kuma 2) or with a dataplane token (a Dataplane with a ZoneEgress listener)',
    kind === 'zone' &&
      !scopeOf(claims).includes('egress') &&
      `an egress is out of its scope: ${scopeOf(claims).join(', ') || 'none'}`,
    kind === 'dataplane' && shown(claims['Mesh']) === '""' && 'it names no mesh',
  ].filter((problem) => problem !== false);
}

function scopeOf({ Scope: scope }: JsonObject): readonly string[] {
  return Array.isArray(scope) ? scope.map(shown) : [];
}

function tagsOf(tags: unknown): string {
  if (typeof tags !== 'object' || tags === null) return '';
  return Object.entries(tags)
    .map(([key, values]) => `tag ${shown(key)}=${Array.isArray(values) ? values.map(shown).join('|') : shown(values)}`)
    .join(', ');
}

function named(what: string, name: unknown, otherwise: string): string {
  return name === undefined || name === '' ? otherwise : `${what} ${shown(name)}`;
}

/**
 * Writes a plain name as it is, and any other value as JSON, so that no control character reaches a
 * terminal.
 */
function shown(value: unknown): string {
  return typeof value === 'string' && /^[\w./:-]+$/.test(value) ? value : oneLine(JSON.stringify(value) ?? 'nothing');
}

/** Writes `2026-11-30 12:00:00Z (in 30 days)` for seconds since the Unix epoch. */
function moment(seconds: unknown, nowMs: number): string {
  const date = typeof seconds === 'number' ? new Date(seconds * 1_000) : null;
  if (date === null || Number.isNaN(date.getTime())) return 'no limit';
  const away = date.getTime() - nowMs;
  const span = spanOf(Math.abs(away));
  return `${date.toISOString().slice(0, 19).replace('T', ' ')}Z (${away < 0 ? `${span} ago` : `in ${span}`})`;
}

const UNITS: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000, 'day'],
  [3_600_000, 'hour'],
  [60_000, 'minute'],
];

function spanOf(ms: number): string {
  const [unit, name] = UNITS.find(([size]) => ms >= size) ?? [1_000, 'second'];
  const count = Math.floor(ms / unit);
  return plural(count, name);
}
