import type { Cluster } from '../model/cluster.ts';
import type { Target } from '../routing/choose.ts';
import type { ConnectionPlace, Full } from './breakers.ts';
import { connectEndpoint } from './connect.ts';
import type { Leg } from './leg.ts';
import type { SessionContext } from './session-context.ts';
import { overLimit } from './session-judgement.ts';
import type { Session } from './session-state.ts';

/** Resolves when the first answers for the names of the cluster come. */
export async function namesKnown(session: Session, cluster: Cluster, context: SessionContext): Promise<void> {
  session.waitsForNames = true;
  const startedAt = context.clock.now();
  await session.steps.step<void>((done) => context.names.whenKnown(cluster, done));
  session.waitsForNames = false;
  session.draft.waited(context.clock.now() - startedAt);
}

/** Takes a place among the connections of the cluster, and connects one of the targets. */
export async function connectCluster(
  session: Session,
  targets: readonly Target[],
  { cluster, context }: { readonly cluster: Cluster; readonly context: SessionContext },
): Promise<Leg> {
  const { clock, pool, origination, settings, tlsReadsWork } = context;
  const startedAt = clock.now();
  const entered = context.breakers.enter(cluster);
  const place = 'limit' in entered ? await makePlace(session, { cluster, context, full: entered }) : entered;
  session.holds(context.unprovenOf(cluster), startedAt);
  session.scope.add(() => place.leave());
  let leave: (() => void) | null = null;
  session.scope.add(() => leave?.());
  const leg = await connectEndpoint(session.steps, targets, {
    clock,
    pool,
    origination,
    tlsReadsWork,
    timeoutMs: cluster.connectTimeoutMs,
    unref: settings.unref,
    maxDescriptors: settings.maxDescriptors,
    onAttempt(target) {
      session.draft.attempt(target);
      leave?.();
      leave = context.endpoints.enter(cluster.name, target);
    },
    onOutcome: (target, outcome) => context.attempted(cluster, target, outcome),
  });
  session.scope.add(() => {
    if (session.joined) return;
    leg.reset();
    leg.reader?.close();
  });
  place.connected();
  session.draft.connected(clock.now() - startedAt);
  return leg;
}

/**
 * Ends a passthrough session whose client has not answered its endpoint yet, and takes its place.
 */
async function makePlace(
  session: Session,
  { cluster, context, full }: { readonly cluster: Cluster; readonly context: SessionContext; readonly full: Full },
): Promise<ConnectionPlace> {
  const isRoom = full.limit === 'max-connections' && context.unprovenOf(cluster).makeRoom(context.clock.now());
  if (!isRoom) throw overLimit(session, full);
  // The other session leaves its place when its walk has ended, before the loop turns.
  await session.steps.step<void>((done) => {
    setImmediate(done);
    return () => {};
  });
  const next = context.breakers.enter(cluster);
  if ('limit' in next) throw overLimit(session, next);
  return next;
}
