/**
 * Lists the rules of a permission that a client matched, and the field by which it missed each
 * other one.
 */
import type { ClientClaims } from '../model/client.ts';
import type { Permission, PermissionRule, Principal } from '../model/permission.ts';
import { matches } from '../routing/authorise.ts';
import { filePlaceOf } from './trace.ts';
import type { Candidate, Sources } from './trace.ts';

/** The names of missed fields that are not tags. */
const FIELDS = { id: 'SPIFFE id', list: 'URI names, joined', client: 'client', rule: 'rule' } as const;

/** Tells whether the missed field is a tag. */
export function isTag(field: string): boolean {
  return field !== '' && !Object.values<string>(FIELDS).includes(field);
}

/** Returns candidates in the order in which they are tried. An unknown client matches none. */
export function permissionCandidates(
  permission: Permission,
  client: ClientClaims | null,
  sources: Sources,
): readonly Candidate[] {
  const whole = (outcome: Candidate['outcome'], miss: Miss = NO_MISS): Candidate[] => [
    { name: permission.by, outcome, ...miss, place: filePlaceOf(sources, `permission:${permission.by}`) },
  ];
  switch (permission.kind) {
    case 'allow-all':
      return whole('matched');
    case 'deny-all':
      return [];
    case 'unsupported':
      return whole('rejected', { field: FIELDS.rule, wanted: '', found: permission.why });
    case 'all-of':
      return permission.all.flatMap((part) => permissionCandidates(part, client, sources));
    case 'rules':
      return ruleCandidates(permission.rules, client?.uris ?? [], sources);
    default:
      return permission satisfies never;
  }
}

function ruleCandidates(rules: readonly PermissionRule[], uris: readonly string[], sources: Sources): Candidate[] {
  let decided = false;
  return rules.map(({ action, by, principal }, i) => {
    const name = `${by}, rule ${i + 1} (${action} ${principalName(principal)})`;
    const place = filePlaceOf(sources, `permission:${by}`);
    if (decided) return { name, outcome: 'not-reached', ...NO_MISS, place };
    const miss = missOf(principal, uris);
    decided = miss === null;
    return { name, outcome: decided ? 'matched' : 'rejected', ...(miss ?? NO_MISS), place };
  });
}

type Miss = Pick<Candidate, 'field' | 'wanted' | 'found'>;

const NO_MISS: Miss = { field: '', wanted: '', found: '' };

/**
 * Returns the first part of a principal that the client does not match; null where it matches all.
 */
function missOf(principal: Principal, uris: readonly string[]): Miss | null {
  if (matches(principal, uris)) return null;
  switch (principal.kind) {
    case 'uri':
      return uriMiss(principal, uris);
    case 'uri-list':
      return { field: FIELDS.list, wanted: valueText(principal), found: asList(uris) };
    case 'and': {
      for (const part of principal.all) {
        const miss = missOf(part, uris);
        if (miss !== null) return miss;
      }
      return null;
    }
    case 'or':
    case 'not':
    case 'any':
      return { field: FIELDS.client, wanted: principalName(principal), found: asList(uris) };
    default:
      return principal satisfies never;
  }
}

/** A certificate carries a tag as `kuma://<tag>/<value>`. */
function uriMiss(principal: Extract<Principal, { kind: 'uri' }>, uris: readonly string[]): Miss {
  const tag = principal.match === 'exact' ? /^kuma:\/\/(.+)\/([^/]*)$/.exec(principal.value) : null;
  if (tag === null) {
    const ids = uris.filter((uri) => uri.startsWith('spiffe://'));
    return { field: FIELDS.id, wanted: valueText(principal), found: asList(ids) };
  }
  const [, name = '', value = ''] = tag;
  const prefix = `kuma://${name}/`;
  return {
    field: name,
    wanted: value,
    found: asList(uris.filter((uri) => uri.startsWith(prefix)).map((uri) => uri.slice(prefix.length))),
  };
}

export function principalName(principal: Principal): string {
  switch (principal.kind) {
    case 'any':
      return 'every client';
    case 'uri':
      return valueText(principal);
    case 'uri-list':
      return `only ${valueText(principal)}`;
    case 'and':
      return principal.all.map(principalName).join(' and ');
    case 'or':
      return principal.any.map(principalName).join(' or ');
    case 'not':
      return `not ${principalName(principal.not)}`;
    default:
      return principal satisfies never;
  }
}

function valueText({ match, value }: Extract<Principal, { kind: 'uri' | 'uri-list' }>): string {
  return match === 'prefix' ? `${value}*` : value;
}

const NAMED = 8;

/** Lists names; only the first ones of a certificate that carries many. */
export function asList(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  const shown = names.slice(0, NAMED).join(', ');
  return names.length > NAMED ? `${shown} and ${names.length - NAMED} more` : shown;
}
