import { Refused, refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import type { Cluster } from '../model/cluster.ts';
import { identityOf } from '../model/route.ts';
import type { Route } from '../model/route.ts';
import { admit, clusterOf, findRoute, refusesEveryClient } from '../routing/decide.ts';
import type { AdmittedClient, RoutedHello } from '../routing/decide.ts';
import type { Full } from './breakers.ts';
import type { SessionContext } from './session-context.ts';
import type { Session } from './session-state.ts';

/**
 * Finds the route as it is live now. Refuses where it differs from the one that the session was set
 * up for, or where it serves no client at all. It costs nothing while the snapshot is the same.
 */
export function routeNow(session: Session, name: string | null, context: SessionContext): RoutedHello {
  const snapshot = context.snapshot();
  const before = session.route;
  session.draft.judgedBy(snapshot);
  const routed = unlessRefused(findRoute(snapshot, name));
  const { route } = routed;
  if (before !== null && (route.kind !== before.kind || route.mesh !== before.mesh || identityOf(route) !== identityOf(before))) {
    throw new Refused(refuse('policy-changed', `the route of ${route.serverName} changed while the session was set up`));
  }
  if (session.client !== null && !isTrustedNow(session, route, context)) {
    const since = session.servesRequests ? 'since the connection was made' : 'while the session was set up';
    throw new Refused(refuse('client-not-trusted', `the trust of mesh ${route.mesh} changed ${since}`));
  }
  session.route = route;
  session.draft.route(route);
  const refusal = refusesEveryClient(routed);
  if (refusal !== null) throw new Refused(refusal);
  return routed;
}

/** Tells whether the trust of the moment is the one that verified the client, or still does. */
function isTrustedNow(session: Session, route: Route, { terminator, clock }: SessionContext): boolean {
  const identity = identityOf(route);
  const { trust } = session;
  if (trust === null) return false;
  if (trust.generation === terminator.generation(identity)) return true;
  const again = terminator.verifyAgain({ mesh: route.mesh, identity, trust, wallMs: clock.wall() });
  if (again === null) return false;
  session.trust = again.trust;
  session.client = again.client;
  return true;
}

/**
 * Judges route and permission as they are live now, for a session whose client is as known as it
 * can be.
 */
export function admitNow(session: Session, name: string | null, context: SessionContext): AdmittedClient {
  const admitted = unlessRefused(admit(routeNow(session, name, context), session.client));
  session.draft.allowed(admitted.allowed);
  return admitted;
}

export function clusterNow(admitted: AdmittedClient): Cluster {
  const cluster = clusterOf(admitted);
  if ('kind' in cluster) throw new Refused(cluster);
  return cluster;
}

/** Takes a token of the rate limit of the route, where it has one. */
export function takeRate(session: Session, route: Route, context: SessionContext): void {
  const full = context.breakers.admit(route);
  if (full !== null) throw overLimit(session, full);
}

export function overLimit({ draft }: Session, { limit, detail }: Full): Refused {
  draft.limited(limit);
  return new Refused(refuse('over-limit', detail));
}

/** Throws a refusal, and returns anything else. */
export function unlessRefused<T extends { readonly kind: string }>(outcome: T | Refusal): T {
  if (outcome.kind === 'refusal') throw new Refused(outcome as Refusal);
  return outcome as T;
}
