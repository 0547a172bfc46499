import type { Principal } from '../../model/permission.ts';

/** What is the same for every connection that a route takes. */
export interface ChainFacts {
  /** As Envoy compares it: ASCII letters in lower case. */
  readonly serverName: string;
  readonly mesh: string;
  readonly destination: string;
  /** The port that clients connect to. */
  readonly port: number;
  /** Of a MeshExternalService, to which no permission applies. */
  readonly isMeshExternal: boolean;
}

/**
 * Thrown for what restricts access and cannot be judged here; filterPermission catches it. The
 * message says what it is.
 */
export class NotEvaluable extends Error {}

/** Envoy's and xDS' own string matcher are of one shape. */
interface StringMatcher {
  readonly matchPattern: { readonly case: string | undefined; readonly value?: unknown };
  readonly ignoreCase: boolean;
}

/** A constant compared with a matcher. Regular expressions are RE2's, and are not evaluated. */
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
 * Clients by their URI SANs. Envoy goes on to DNS SANs and the subject, which nothing here is
 * decided by: so what cannot be a URI is not evaluated.
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

/** Of one, that one. */
export function anyOf(principals: readonly Principal[]): Principal {
  const [first] = principals;
  return first !== undefined && principals.length === 1 ? first : { kind: 'or', any: principals };
}
