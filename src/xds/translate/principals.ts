import type { Principal } from '../../model/permission.ts';

/** Facts that are the same for every connection of a route. */
export interface ChainFacts {
  /** In Envoy's form for comparison: ASCII letters in lower case. */
  readonly serverName: string;
  readonly mesh: string;
  readonly destination: string;
  /** The port that clients connect to. */
  readonly port: number;
  /** True for a MeshExternalService, to which no permission applies. */
  readonly isMeshExternal: boolean;
}

/**
 * Thrown for a restriction that cannot be judged here; filterPermission catches it. The message
 * names it.
 */
export class NotEvaluable extends Error {}

/** Envoy's and xDS' own string matcher have the same fields. */
interface StringMatcher {
  readonly matchPattern: { readonly case: string | undefined; readonly value?: unknown };
  readonly ignoreCase: boolean;
}

/** Compares a constant with a matcher. Regular expressions are RE2's, and are not evaluated. */
export function stringMatches({ matchPattern, ignoreCase }: StringMatcher, text: string, what: string): boolean {
  const { case: kind, value } = matchPattern;
  if (typeof value !== 'string') throw new NotEvaluable(`its authorisation filter compares ${what} by ${kind ?? 'nothing'}`);
  const [own, wanted] = ignoreCase ? [text.toLowerCase(), value.toLowerCase()] : [text, value];
  switch (kind) {
    case 'exact':
      return own === wanted;
    case 'prefix':
      return own.startsWith(wanted);
    case 'suffix':
      return own.endsWith(wanted);
    case 'contains':
      return own.includes(wanted);
    default:
      throw new NotEvaluable(`its authorisation filter compares ${what} by ${kind ?? 'nothing'}`);
  }
}

/**
 * Matches clients by their URI SANs. Envoy also tries DNS SANs and the subject, which this egress
 * never uses: a pattern that cannot be a URI is therefore not evaluated.
 */
export function uriMatcher({ matchPattern, ignoreCase }: StringMatcher, kind: 'uri' | 'uri-list'): Principal {
  const { case: match, value } = matchPattern;
  if (ignoreCase || typeof value !== 'string' || (match !== 'exact' && match !== 'prefix')) {
    throw new NotEvaluable(
      `its authorisation filter compares URIs ${ignoreCase ? 'without regard to case' : `by ${match ?? 'nothing'}`}`,
    );
  }
  if (!/^[a-z][a-z0-9+.-]*:\/\//.test(value)) {
    throw new NotEvaluable(`its authorisation filter has the principal ${JSON.stringify(value)}, which is no URI`);
  }
  return { kind, match, value };
}

/** A single alternative is returned as it is. */
export function anyOf(principals: readonly Principal[]): Principal {
  const [first] = principals;
  return first !== undefined && principals.length === 1 ? first : { kind: 'or', any: principals };
}
