import { cut } from '../../base/key-material.ts';
import type { Fields } from '../fields.ts';

/** Whom a rule is about: each part that is there has to match. */
export interface RuleMatch {
  readonly spiffeId: TextMatch | null;
  /** By what the client asks for. */
  readonly sni: TextMatch | null;
}

export interface TextMatch {
  readonly type: 'exact' | 'prefix';
  readonly value: string;
}

const FIELDS: readonly string[] = ['spiffeID', 'sni'];

/**
 * Each match of a list; one that says nothing is left out, which is reported. `base` is the path in
 * Kuma's messages.
 */
export function readMatches(parent: Fields | undefined, list: string, base?: string): readonly RuleMatch[] {
  return (parent?.objects(list, FIELDS) ?? []).flatMap((match, i) => {
    const path = base === undefined ? match.path : `${base}.${list}[${i}]`;
    const spiffeId = readText(match, 'spiffeID', path);
    const sni = readText(match, 'sni', path);
    if (!match.has('spiffeID') && !match.has('sni')) match.errorAt(match.at, path, 'must have at least one of spiffeID, sni');
    // Half of a match would be about more clients than was meant.
    if (spiffeId === undefined || sni === undefined || (spiffeId === null && sni === null)) return [];
    return [{ spiffeId, sni }];
  });
}

/** Null where it is not written; undefined where it is, and cannot be used. */
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
