import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import type { ClientClaims, VerifiedClient } from '../model/client.ts';
import type { Permission, Principal } from '../model/permission.ts';
import type { Route } from '../model/route.ts';

export interface Allowed {
  readonly kind: 'allowed';
  /**
   * Name of the permission that decided; empty on a passthrough route, where the destination
   * decides.
   */
  readonly by: string;
  /** True when a shadow rule would have denied. */
  readonly shadowDenied: boolean;
  /** Why the permission denies the client, which passes because its mesh is report-only. */
  readonly wouldRefuse?: string;
}

/** Takes the place of the name of a permission where report-only lets a client pass. */
export const REPORT_ONLY = 'report-only';

const PASSTHROUGH: Allowed = { kind: 'allowed', by: '', shadowDenied: false };

/**
 * Judges whether a client may use a route. A rule that cannot be evaluated refuses; a client that
 * matches no rule is refused.
 */
export function authorise(route: Route, client: VerifiedClient | null): Allowed | Refusal {
  return authoriseClaims(route, client);
}

/**
 * Makes the same judgement for claims that are not proved. It answers questions of explain and
 * simulate, and admits no client.
 */
export function authoriseClaims(route: Route, client: ClientClaims | null): Allowed | Refusal {
  if (route.unsupported !== undefined) return refuse('unsupported-policy', `${route.destination}: ${route.unsupported}`);
  if (route.kind === 'passthrough') return PASSTHROUGH;
  if (client === null)
    return refuse('no-client-certificate', `${route.destination} asks for a client certificate of mesh ${route.mesh}`);
  if (client.mesh !== route.mesh)
    return refuse('wrong-mesh', `the client was verified in mesh ${client.mesh}, the route is in mesh ${route.mesh}`);
  const judged = evaluate(route.permission, client, route.destination);
  if (judged.kind === 'allowed' || judged.code !== 'denied' || route.reportOnly !== true) return judged;
  // Report-only does not let a client pass what cannot be evaluated.
  const unsupported = unsupportedPart(route.permission);
  return unsupported === null
    ? { kind: 'allowed', by: REPORT_ONLY, shadowDenied: false, wouldRefuse: judged.detail }
    : refuse('unsupported-policy', unsupported);
}

/** Returns what a part of the permission cannot be evaluated for, with its name; null for none. */
export function unsupportedPart(permission: Permission): string | null {
  if (permission.kind === 'unsupported') return `${permission.by}: ${permission.why}`;
  if (permission.kind !== 'all-of') return null;
  for (const part of permission.all) {
    const found = unsupportedPart(part);
    if (found !== null) return found;
  }
  return null;
}

function evaluate(permission: Permission, client: ClientClaims, destination: string): Allowed | Refusal {
  switch (permission.kind) {
    case 'allow-all':
      return { kind: 'allowed', by: permission.by, shadowDenied: false };
    case 'deny-all':
      return refuse('denied', `${permission.by}: no client may reach ${destination}`);
    case 'unsupported':
      return refuse('unsupported-policy', `${permission.by}: ${permission.why}`);
    case 'rules': {
      const rule = permission.rules.find(({ principal }) => matches(principal, client.uris));
      if (rule === undefined) return refuse('denied', `${permission.by}: no rule allows ${who(client)} to reach ${destination}`);
      if (rule.action === 'deny') return refuse('denied', `${rule.by}: denies ${who(client)} to reach ${destination}`);
      return { kind: 'allowed', by: rule.by, shadowDenied: rule.action === 'shadow-deny' };
    }
    case 'all-of':
      return evaluateAll(permission, client, destination);
    default:
      return permission satisfies never;
  }
}

/**
 * Evaluates permissions in order; the first refusal is the reason. An empty list admits no client.
 */
function evaluateAll(
  { by, all }: Extract<Permission, { kind: 'all-of' }>,
  client: ClientClaims,
  destination: string,
): Allowed | Refusal {
  const deciding = new Set<string>();
  let shadowDenied = false;
  for (const part of all) {
    const judged = evaluate(part, client, destination);
    if (judged.kind === 'refusal') return judged;
    deciding.add(judged.by);
    shadowDenied ||= judged.shadowDenied;
  }
  if (deciding.size === 0) return refuse('denied', `${by}: no client may reach ${destination}`);
  return { kind: 'allowed', by: [...deciding].join(' and '), shadowDenied };
}

/**
 * Tells whether the URI SANs of a client match the principal. An empty `and` matches every client,
 * an empty `or` none.
 */
export function matches(principal: Principal, uris: readonly string[]): boolean {
  switch (principal.kind) {
    case 'any':
      return true;
    case 'uri':
      return principal.match === 'exact' ? uris.includes(principal.value) : uris.some((uri) => uri.startsWith(principal.value));
    case 'uri-list':
      return principal.match === 'exact' ? uris.join() === principal.value : uris.join().startsWith(principal.value);
    case 'and':
      return principal.all.every((part) => matches(part, uris));
    case 'or':
      return principal.any.some((part) => matches(part, uris));
    case 'not':
      return !matches(principal.not, uris);
    default:
      return principal satisfies never;
  }
}

function who(client: ClientClaims): string {
  const [first = 'a client without an id', ...more] = client.spiffeIds;
  return more.length === 0 ? first : `${first} (and ${more.length} more ids)`;
}
