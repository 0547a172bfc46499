import { randomBytes } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { Refused, refuse } from '../base/refusal.ts';
import type { NormalEnd, Refusal } from '../base/refusal.ts';
import type { Cluster } from '../model/cluster.ts';
import type { Hash64 } from '../model/endpoint-view.ts';
import type { HttpRoute } from '../model/http-route.ts';
import { identityOf } from '../model/route.ts';
import type { Target } from '../routing/choose.ts';
import { chooseEndpoints } from '../routing/decide.ts';
import type { AdmittedClient } from '../routing/decide.ts';
import type { HttpSession } from './http/http-session.ts';
import type { JudgedRequest } from './http/request-walk.ts';
import type { SessionContext } from './session-context.ts';
import { admitNow, clusterNow, unlessRefused } from './session-judgement.ts';
import type { Session } from './session-state.ts';
import { SessionSteps } from './session-steps.ts';

interface Connection {
  readonly context: SessionContext;
  /** The SNI of the connection. */
  readonly name: string | null;
}

/** State that the requests of one connection share. */
interface Requests extends Connection {
  /** The judgement of the last request; it holds while the configuration is the same. */
  last: JudgedOnce | null;
}

interface JudgedOnce {
  readonly admitted: AdmittedClient;
  readonly http: HttpRoute;
  readonly cluster: Cluster;
}

/**
 * Serves requests one by one; http/request-walk.ts walks each of them. Resolves when the client's
 * connection has ended. `served` is called when the connection itself is not refused.
 */
export async function serveHttpClient(
  session: Session,
  tls: TLSSocket,
  connection: Connection & { readonly answersDenied: boolean; readonly served: () => void },
): Promise<NormalEnd> {
  const to: Requests = { context: connection.context, name: connection.name, last: null };
  const http = await to.context.http.load();
  const first = judgeRequest(session, to);
  if (first.kind === 'refused' && !(connection.answersDenied && first.refusal.code === 'denied'))
    throw new Refused(first.refusal);
  session.steps.check();
  connection.served();
  session.joined = true;
  session.servesRequests = true;
  session.draft.servesRequests();
  const seen: Seen = { refusal: null, passed: false };
  await session.steps.step<void>((done) => {
    const connection = http.open(tls, forRequests(session, to, seen));
    tls.once('close', done);
    session.clientLost = done;
    return () => {
      session.clientLost = null;
      tls.removeListener('close', done);
      connection.close();
    };
  });
  if (seen.refusal !== null && !seen.passed) throw new Refused(seen.refusal);
  return 'closed';
}

/** The results of the requests of one connection so far. */
interface Seen {
  /** The last refusal of a request. */
  refusal: Refusal | null;
  /** True when a service has answered a request. */
  passed: boolean;
}

function forRequests(session: Session, to: Requests, seen: Seen): HttpSession {
  const { draft } = session;
  let cookie: string | null = null;
  return {
    client: session.clientAddress,
    newCookie: () => (cookie ??= randomBytes(8).toString('hex')),
    uris: session.client?.uris ?? [],
    judge: () => judgeRequest(session, to),
    targets: (cluster, hash) => targetsOf(session, to, { cluster, hash }),
    dialled: {
      attempt: (target) => draft.attempt(target),
      connected: (ms) => draft.connectedFirst(ms),
    },
    sent: (target) => draft.sent(target),
    nextRequest: () => draft.nextRequest(),
    access: () => draft.access(),
    moved(direction, bytes) {
      draft.moved(direction, bytes);
      session.moved = true;
    },
    endedBy: () => session.steps.endedBy,
    refused(refusal) {
      seen.refusal = refusal;
    },
    answered() {
      seen.passed = true;
      session.moved = true;
    },
  };
}

/** Judges route and permission as they are live for the next request. */
function judgeRequest(session: Session, to: Requests): JudgedRequest {
  try {
    const { admitted, http, cluster } = admitRequest(session, to);
    return { kind: 'allowed', http, cluster, route: admitted.route, wouldRefuse: admitted.allowed.wouldRefuse ?? '' };
  } catch (error) {
    if (error instanceof Refused) return { kind: 'refused', refusal: error.refusal };
    throw error;
  }
}

/** Throws the refusal of a request. */
function admitRequest(session: Session, to: Requests): JudgedOnce {
  const { context, name, last } = to;
  if (last !== null && last.admitted.snapshot === context.snapshot()) {
    const { route } = last.admitted;
    if (route === session.route && session.trust?.generation === context.terminator.generation(identityOf(route))) return last;
  }
  const admitted = admitNow(session, name, context);
  const { route } = admitted;
  const { http } = route.kind === 'terminate' ? route : {};
  if (http === undefined) throw new Refused(refuse('policy-changed', `${route.destination} does not speak HTTP any more`));
  to.last = { admitted, http, cluster: clusterNow(admitted) };
  return to.last;
}

interface Wanted {
  readonly cluster: Cluster;
  readonly hash: Hash64 | null | undefined;
}

/**
 * Returns the endpoints for a request to this cluster, in the configuration that is live when their
 * names are known.
 */
function targetsOf(session: Session, to: Requests, wanted: Wanted): readonly Target[] | Promise<readonly Target[]> {
  if (to.context.names.allKnown(wanted.cluster)) return targetsNow(session, to, wanted);
  return namesAnswered(wanted.cluster, to.context).then(() => targetsNow(session, to, wanted));
}

function targetsNow(session: Session, to: Requests, { cluster, hash }: Wanted): readonly Target[] {
  const { context } = to;
  const { admitted } = admitRequest(session, to);
  const { hashKey, ...view } = context.view(cluster, session.clientAddress);
  const key = hash === undefined ? hashKey : hash;
  const seen = key === null || key === undefined ? view : { ...view, hashKey: key };
  return unlessRefused(chooseEndpoints(admitted, cluster, seen)).targets;
}

/** Waits until every name of the cluster has an answer, at most the connect timeout. */
async function namesAnswered(cluster: Cluster, { names, clock }: SessionContext): Promise<void> {
  const steps = new SessionSteps();
  const ms = cluster.connectTimeoutMs;
  const timer = clock.after(ms, () =>
    steps.end(refuse('dns-failed', `resolve the names of ${cluster.name}: no answer after ${ms} ms`)),
  );
  try {
    await steps.step<void>((done) => names.whenKnown(cluster, done));
  } finally {
    timer.cancel();
  }
}
