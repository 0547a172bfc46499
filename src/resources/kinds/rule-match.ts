import { cut } from '../../base/key-material.ts';
import { serverName } from '../../model/names.ts';
import type { Fields } from '../fields.ts';

/** The clients of a rule: each present part must match. */
export interface RuleMatch {
  readonly spiffeId: TextMatch | null;
  /** A match of the client's SNI. */
  readonly sni: TextMatch | null;
}

export interface TextMatch {
  readonly type: 'exact' | 'prefix';
  readonly value: string;
}

/** Tells whether a match covers a server name; one without an SNI covers all. */
export function coversServerName({ sni }: RuleMatch, name: string): boolean {
  if (sni === null) return true;
  const wanted = serverName(sni.value);
  return sni.type === 'exact' ? wanted === name : name.startsWith(wanted);
}

const FIELDS: readonly string[] = ['spiffeID', 'sni'];

/**
 * Reads each match of a list; leaves out an empty one, which is reported. `base` is the path in
 * Kuma's messages.
 */
export function readMatches(parent: Fields | undefined, list: string, base?: string): readonly RuleMatch[] {
  return (parent?.objects(list, FIELDS) ?? []).flatMap((match, i) => {
    const path = base === undefined ? match.path : `${base}.${list}[${i}]`;
    const spiffeId = readText(match, 'spiffeID', path);
    const sni = readText(match, 'sni', path);
    if (!match.has('spiffeID') && !match.has('sni')) match.errorAt(match.at, path, 'must have at least one of spiffeID, sni');
    // Half of a match would select more clients than intended.
    if (spiffeId === undefined || sni === undefined || (spiffeId === null && sni === null)) return [];
    return [{ spiffeId, sni }];
  });
}

/** Returns null where it is not written; undefined where it cannot be used. */
function readText(match: Fields, name: 'spiffeID' | 'sni', path: string): TextMatch | null | undefined {
  if (!match.has(name)) return null;
  const fields = match.object(name, ['type', 'value']);
  if (fields === undefined) return undefined;
  const type = fields.text('type') ?? '';
  const value = fields.text('value') ?? '';
  const problem = name === 'spiffeID' && value !== '' ? spiffeIdProblem(value) : null;
  if (problem !== null) match.errorAt(match.place(name), `${path}.${name}`, `must be a valid Spiffe ID: ${problem}`);
  if (value === '') fields.error('value', 'must not be empty');
  if (type !== 'Exact' && type !== 'Prefix') {
    fields.error('type', `${JSON.stringify(cut(type))} must be one of ["Exact", "Prefix"]`);
    return undefined;
  }
  return problem !== null || value === '' ? undefined : { type: type === 'Exact' ? 'exact' : 'prefix', value };
}

function spiffeIdProblem(value: string): string | null {
  if (!value.startsWith('spiffe://')) return 'scheme is missing or invalid';
  if (value === 'spiffe://' || value.startsWith('spiffe:///')) return 'trust domain is missing';
  return value.endsWith('/') ? 'path cannot have a trailing slash' : null;
}
