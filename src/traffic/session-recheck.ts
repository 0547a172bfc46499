import type { Clock } from '../base/clock.ts';
import { refuse } from '../base/refusal.ts';
import { identityOf } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { authorise } from '../routing/authorise.ts';
import type { Session } from './session-state.ts';

/**
 * Judges a joined session again on a new snapshot. One whose route is gone, or that is denied now,
 * ends after the drain time; one that is allowed again continues.
 */
export function recheck(
  session: Session,
  snapshot: Snapshot,
  { clock, drainTimeMs }: { readonly clock: Clock; readonly drainTimeMs: number },
): void {
  const { route } = session;
  if (route === null) return;
  const now = snapshot.routes.get(route.serverName);
  if (now === route && session.policyEnd === null) return;
  const same =
    now !== undefined &&
    now.kind === route.kind &&
    now.mesh === route.mesh &&
    identityOf(now) === identityOf(route) &&
    now.destination === route.destination;
  // Requests are judged one by one, by the route of the moment: until the end a denied client gets
  // its answers. The end is for the requests that began before, streams of hours among them.
  if (same && session.servesRequests) session.route = now;
  const judged = same ? authorise(now, session.client) : null;
  if (same && judged?.kind === 'allowed') {
    // The record has to say so, or its end would be a surprise once the permissions refuse again.
    if (judged.wouldRefuse !== undefined) session.draft.allowed(judged);
    session.route = now;
    session.policyEnd?.();
    session.policyEnd = null;
  } else if (session.policyEnd === null) {
    const why = same ? 'the client is denied now' : 'the route is gone';
    const timer = clock.after(drainTimeMs, () =>
      session.steps.end(refuse('policy-changed', `${why}, since snapshot ${snapshot.version}`)),
    );
    session.policyEnd = () => timer.cancel();
  }
}
