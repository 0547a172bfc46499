import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Refused, refuse } from '../base/refusal.ts';
import type { EndReason, NormalEnd, Refusal } from '../base/refusal.ts';
import { Scope } from '../base/scope.ts';
import type { CertificateSummary, VerifiedClient } from '../model/client.ts';
import type { Cluster } from '../model/cluster.ts';
import type { HttpRoute } from '../model/http-route.ts';
import type { ContentHash } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import { authorise } from '../routing/authorise.ts';
import { choose } from '../routing/choose.ts';
import type { Target } from '../routing/choose.ts';
import { missingCluster, missingIdentity } from '../routing/decide.ts';
import { printable, route } from '../routing/route.ts';
import { alertFor } from '../wire/alert.ts';
import { adopt } from './adopt.ts';
import type { Full, Place } from './breakers.ts';
import { connectEndpoint, refusedAfterHandshake } from './connect.ts';
import type { DataPlane } from './data-plane.ts';
import { ignoreError } from './ignore-error.ts';
import { PlainReader } from './plain-reader.ts';
import type { SessionDraft } from './session-draft.ts';
import { resetBelow, resetTcp } from './reset.ts';
import { readHello } from './sniff.ts';
import { splice } from './splice.ts';
import type { Side, Splice } from './splice.ts';
import { tlsErrorOf, tlsErrorText } from './tls-error.ts';
import { TlsReader } from './tls-reader.ts';
import type { Held, Unproven } from './unproven.ts';
import { Walk } from './session-steps.ts';

const GAVE_WAY =
  'all places were taken: of the client address that held most, this connection had waited longest without a handshake that was done';

/** What a session is while bytes flow. */
interface Joined {
  readonly client: Side;
  readonly endpoint: Side;
  readonly lost: Splice['lost'];
}

/** One accepted connection from accept to close. It keeps its route, never the snapshot. */
export class Session {
  readonly walk: Walk = new Walk();
  readonly draft: SessionDraft;
  readonly scope: Scope;
  /** Set when the route is found. */
  route: Route | null = null;
  /** Set when the client is verified. */
  client: VerifiedClient | null = null;
  /** The generation of the mesh's trust that the client was verified under. */
  trust: ContentHash | null = null;
  /** A look-up has not answered yet. */
  waitsForNames = false;
  /** A byte moved since the last look; the idle sweep clears it. */
  moved = true;
  quietSweeps = 0;
  joined = false;
  /** From the moment on at which bytes flow. */
  sides: Joined | null = null;
  /** Its places among those who have not proven themselves; null once it has. */
  unproven: Held[] | null = [];
  /** The kernel asks the peers whether they are there after so long without a byte. */
  keepAliveMs: number = Infinity;
  /**
   * As it was accepted; null once both sides are joined, because its handle may have moved then.
   */
  accepted: Socket | null;
  /** Requests of its client are judged one by one. */
  servesRequests = false;
  /** Cancels the end that a changed policy has set. */
  policyEnd: (() => void) | null = null;

  /** Holds a place that it gives up for another when all are taken, until it has proven itself. */
  holds(among: Unproven, nowMs: number): Held {
    const { accepted, walk: steps, draft } = this;
    if (accepted === null || this.unproven === null) return { leave: () => {} };
    const held = among.enter(draft.clientAddress, {
      socket: accepted,
      nowMs,
      giveUp: () => {
        // Nobody who floods reads why; an alert and an end would stay in the kernel for a while.
        resetTcp(accepted);
        steps.end(refuse('over-limit', GAVE_WAY));
      },
    });
    this.unproven.push(held);
    return held;
  }

  /** The client has shown its certificate, or answers the endpoint that it is passed through to. */
  proven(): void {
    for (const held of this.unproven ?? []) held.leave();
    this.unproven = null;
  }

  constructor(accepted: Socket, draft: SessionDraft, scope: Scope) {
    this.accepted = accepted;
    this.draft = draft;
    this.scope = scope;
  }
}

/**
 * The walk of a connection: read the hello, route by name, terminate if the route says so,
 * authorise, choose, connect, splice. Nothing is dialled before the decision. Always ends with
 * every socket closed or closing and exactly one record.
 */
export async function walk(accepted: Socket, plane: DataPlane): Promise<void> {
  const session = openSession(accepted, plane);
  const { draft, scope } = session;
  try {
    draft.finish(await carry(accepted, session, plane), '');
  } catch (error) {
    const refusal = error instanceof Refused ? error.refusal : fault(error, plane);
    draft.finish(refusal.code, refusal.detail, refusal.check);
    sayGoodbye(accepted, session, refusal);
  } finally {
    session.proven();
    scope.end();
    plane.closeSession(session);
  }
}

async function carry(accepted: Socket, session: Session, plane: DataPlane): Promise<EndReason> {
  const { draft, scope } = session;
  const { clock, settings } = plane;
  const deadline = scope.after(settings.setupTimeoutMs, () => session.walk.end(late(session, settings.setupTimeoutMs)));

  const sniffed = await readHello(session.walk, accepted, { maxHelloBytes: settings.maxHelloBytes, from: draft.from });
  draft.hello(sniffed.hello, clock.now());

  const name = sniffed.hello.serverName;
  const { route: found } = judge(session, name, plane);
  const rate = plane.breakers.admit(found);
  if (rate !== null) throw overLimit(session, rate);

  if (found.kind === 'passthrough') endWithClient(session, accepted);
  const tls = found.kind === 'terminate' ? await terminate(accepted, session, { plane, route: found, sniffed }) : null;
  if (tls !== null && found.kind === 'terminate' && found.http !== undefined && settings.http) {
    const http = { name, answersDenied: found.http.answersDenied };
    return serveHttp(session, tls, { plane, accepted, ...http, served: () => deadline.cancel() });
  }
  // Each wait gives the configuration time to change: what is dialled and joined is judged by what
  // is live at that moment.
  await namesKnown(session, clusterOf(judge(session, name, plane)), plane);
  const cluster = clusterOf(judge(session, name, plane));
  const { targets } = must(choose(session.route ?? found, cluster, plane.view(cluster, draft.clientAddress)));

  const endpoint = await connect(session, targets, { cluster, plane });
  judge(session, name, plane);
  session.walk.check();
  // Of one that was ended by an error the event is over, and its close has not come yet.
  const broken = tls === null ? null : tlsErrorOf(tls);
  if (broken !== null) throw new Refused(refuse('tls-error', `TLS with the client: ${broken}`));
  deadline.cancel();
  return join(session, clientSide(accepted, tls, { session, plane }), { endpoint, hello: tls === null ? sniffed.bytes : null });
}

interface Judged {
  readonly route: Route;
  readonly cluster: Cluster | undefined;
}

/**
 * Route and permission as they are live now; before the client is known a terminating route is only
 * found. Costs nothing while the snapshot is the same.
 */
function judge(session: Session, name: string | null, plane: DataPlane): Judged {
  const { draft } = session;
  const snapshot = plane.snapshot();
  const before = session.route;
  draft.snapshotVersion = snapshot.version;
  const found = must(route(snapshot, name));
  if (before !== null && (found.kind !== before.kind || found.mesh !== before.mesh)) {
    throw new Refused(refuse('policy-changed', `the route of ${found.serverName} changed while the session was set up`));
  }
  if (session.client !== null && session.trust !== plane.terminator.generation(found.mesh)) {
    throw new Refused(refuse('client-not-trusted', `the trust of mesh ${found.mesh} changed while the session was set up`));
  }
  session.route = found;
  draft.route(found);
  const nobody = missingIdentity(snapshot, found);
  if (nobody !== null) throw new Refused(nobody);
  const isKnown = found.kind === 'passthrough' || session.client !== null || found.unsupported !== undefined;
  if (isKnown) draft.allowed(must(authorise(found, session.client)));
  return { route: found, cluster: snapshot.clusters.get(found.cluster) };
}

function clusterOf({ route: found, cluster }: Judged): Cluster {
  if (cluster === undefined) throw new Refused(missingCluster(found));
  return cluster;
}

function openSession(accepted: Socket, plane: DataPlane): Session {
  const scope = new Scope(plane.clock);
  const session = new Session(accepted, plane.draft(accepted), scope);
  // The first statement after accept, and for as long as the object lives: a reset without a
  // listener would end the process.
  accepted.on('error', ignoreError);
  session.draft.snapshotVersion = plane.snapshot().version;
  plane.openSession(session);
  session.holds(plane.unproven, plane.clock.now());
  return session;
}

async function terminate(
  accepted: Socket,
  session: Session,
  to: { plane: DataPlane; route: Route; sniffed: { bytes: Buffer; hello: { serverName: string | null } } },
): Promise<TLSSocket> {
  const { plane, sniffed } = to;
  const { draft } = session;
  const startedAt = plane.clock.now();
  const full = plane.limits.enterHandshake();
  if (full !== null) {
    const { shareOfHandshakes: share, surplusHandshakes: surplus } = plane.limits;
    const { size } = plane.handshaking;
    // Each data side may have some, whatever the others have; one with more gives back what they
    // took.
    if (size >= Math.max(1, share) && !plane.handshaking.makeRoom(startedAt)) throw new Refused(refuse('over-limit', full));
    if (surplus > 0 && size > share + 1) plane.handshaking.makeRoom(startedAt);
    plane.limits.forceHandshake();
  }
  const held = session.holds(plane.handshaking, startedAt);
  let open = true;
  const leave = (): void => {
    held.leave();
    if (open) plane.limits.leaveHandshake();
    open = false;
  };
  session.scope.add(leave);
  const { socket, client, trust } = await plane.terminator.terminate(session.walk, accepted, {
    mesh: to.route.mesh,
    name: sniffed.hello.serverName,
    peeked: sniffed.bytes,
    wallMs: plane.clock.wall(),
    onHandshake(secured, protocol) {
      draft.handshake(protocol, plane.clock.now() - startedAt);
      session.scope.add(() => {
        if (!session.joined) secured.destroySoon();
      });
    },
    onCertificate: (certificate: CertificateSummary) => draft.certificate(certificate),
  });
  leave();
  session.proven();
  session.client = client;
  session.trust = trust;
  draft.client(client);
  endWithClient(session, socket);
  return socket;
}

/** A client that goes away while the endpoint is being connected. */
function endWithClient(session: Session, socket: Socket): void {
  session.scope.on(socket, 'close', () => {
    if (session.joined) return;
    const text = tlsErrorOf(socket);
    session.walk.end(
      text === null
        ? refuse('client-gone', 'the client closed before the endpoint was connected')
        : refuse('tls-error', `TLS with the client: ${text}`),
    );
  });
}

/** At once where every name of the cluster has an answer, otherwise when the first answers come. */
async function namesKnown(session: Session, cluster: Cluster, plane: DataPlane): Promise<void> {
  if (plane.names.allKnown(cluster)) return;
  session.waitsForNames = true;
  await session.walk.step<void>((done) => plane.names.whenKnown(cluster, done));
  session.waitsForNames = false;
}

async function connect(session: Session, targets: readonly Target[], to: { cluster: Cluster; plane: DataPlane }): Promise<Side> {
  const { plane, cluster } = to;
  const startedAt = plane.clock.now();
  const place = await enterCluster(session, cluster, plane);
  session.holds(plane.unprovenOf(cluster), startedAt);
  session.scope.add(() => place.leave());
  let leave: (() => void) | null = null;
  session.scope.add(() => leave?.());
  const side = await connectEndpoint(session.walk, targets, {
    clock: plane.clock,
    pool: plane.pool,
    origination: plane.origination,
    timeoutMs: cluster.connectTimeoutMs,
    unref: plane.settings.unref,
    onAttempt(target) {
      session.draft.attempt(target);
      leave?.();
      leave = plane.endpoints.enter(cluster.name, target);
    },
    onOutcome: (target, outcome) => plane.attempted(cluster, target, outcome),
  });
  session.scope.add(() => {
    if (session.joined) return;
    side.reset();
    side.reader?.close();
  });
  place.connected();
  session.draft.connected(plane.clock.now() - startedAt);
  return side;
}

/**
 * Requests one by one; the walk of each is in http/request-walk.ts. Ends when the client's
 * connection has ended.
 */
async function serveHttp(
  session: Session,
  tls: TLSSocket,
  to: { plane: DataPlane; accepted: Socket; name: string | null; answersDenied: boolean; served: () => void },
): Promise<NormalEnd> {
  const { plane, name } = to;
  const judgeRequest = (): Judged_ => {
    try {
      const judged = judge(session, name, plane);
      const { http } = judged.route.kind === 'terminate' ? judged.route : {};
      if (http === undefined)
        return refusedRequest(refuse('policy-changed', `${judged.route.destination} does not speak HTTP any more`));
      return { kind: 'allowed', http, cluster: clusterOf(judged), route: judged.route };
    } catch (error) {
      if (error instanceof Refused) return refusedRequest(error.refusal);
      throw error;
    }
  };
  const http = await plane.http.load();
  const first = judgeRequest();
  if (first.kind === 'refused' && !(to.answersDenied && first.refusal.code === 'denied')) throw new Refused(first.refusal);
  session.walk.check();
  to.served();
  session.joined = true;
  session.servesRequests = true;
  session.draft.requests = 0;
  let refusal: Refusal | null = null;
  let passed = false;
  await session.walk.step<void>((done) => {
    const connection = http.open(tls, {
      client: session.draft.clientAddress,
      judge: judgeRequest,
      async targets(cluster, hash) {
        await answered(cluster, plane);
        const judged = judgeRequest();
        if (judged.kind === 'refused') throw new Refused(judged.refusal);
        const { hashKey, ...view } = plane.view(cluster, session.draft.clientAddress);
        const key = hash === undefined ? hashKey : hash;
        return must(choose(judged.route, cluster, key === null || key === undefined ? view : { ...view, hashKey: key })).targets;
      },
      dialled: {
        attempt: (target) => session.draft.attempt(target),
        connected: (ms) => session.draft.connectedFirst(ms),
      },
      sent: (target) => session.draft.sent(target),
      nextRequest: () => session.draft.nextRequest(),
      moved(direction, bytes) {
        if (direction === 'up') session.draft.bytesUp += bytes;
        else session.draft.bytesDown += bytes;
        session.moved = true;
      },
      refused(given) {
        refusal = given;
      },
      answered() {
        passed = true;
        session.moved = true;
      },
    });
    tls.once('close', done);
    return () => {
      tls.removeListener('close', done);
      connection.close();
    };
  });
  if (refusal !== null && !passed) throw new Refused(refusal);
  return 'closed';
}

/** Every name of the cluster has an answer, within the time that a connection to it may take. */
async function answered(cluster: Cluster, plane: DataPlane): Promise<void> {
  if (plane.names.allKnown(cluster)) return;
  const steps = new Walk();
  const ms = cluster.connectTimeoutMs;
  const timer = plane.clock.after(ms, () =>
    steps.end(refuse('dns-failed', `resolve the names of ${cluster.name}: no answer after ${ms} ms`)),
  );
  try {
    await steps.step<void>((done) => plane.names.whenKnown(cluster, done));
  } finally {
    timer.cancel();
  }
}

type Judged_ =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'allowed'; readonly http: HttpRoute; readonly cluster: Cluster; readonly route: Route };

function refusedRequest(refusal: Refusal): Judged_ {
  return { kind: 'refused', refusal };
}

/**
 * A place among the connections of the cluster; where none is left, that of a client which is
 * passed through and has not answered the endpoint.
 */
async function enterCluster(session: Session, cluster: Cluster, plane: DataPlane): Promise<Place> {
  const place = plane.breakers.enter(cluster);
  if (!('limit' in place)) return place;
  const isRoom = place.limit === 'max-connections' && plane.unprovenOf(cluster).makeRoom(plane.clock.now());
  if (!isRoom) throw overLimit(session, place);
  // The other leaves its place when its walk has ended, before the loop turns.
  await session.walk.step<void>((done) => {
    setImmediate(done);
    return () => {};
  });
  const next = plane.breakers.enter(cluster);
  if ('limit' in next) throw overLimit(session, next);
  return next;
}

/**
 * On the passthrough path the accepted handle moves into a socket that reads into reused buffers.
 */
function clientSide(accepted: Socket, tls: TLSSocket | null, to: { session: Session; plane: DataPlane }): Side {
  const { plane } = to;
  if (tls !== null)
    return { socket: tls, raw: accepted, tls: true, reader: new TlsReader(plane.pool), reset: () => resetBelow(tls, accepted) };
  if (plane.adoptionWorks && !accepted.destroyed) {
    const reader = new PlainReader(plane.pool);
    const adopted = adopt(accepted, reader);
    if (adopted !== null) {
      const { socket, rest } = adopted;
      socket.on('error', ignoreError);
      if (rest !== null) to.session.draft.late = rest;
      return { socket, raw: socket, tls: false, reader, reset: () => resetTcp(socket) };
    }
    reader.close();
  }
  return { socket: accepted, raw: accepted, tls: false, reader: null, reset: () => resetTcp(accepted) };
}

function join(session: Session, client: Side, to: { endpoint: Side; hello: Buffer | null }): Promise<NormalEnd> {
  const { endpoint, hello } = to;
  const { draft } = session;
  session.joined = true;
  for (const bytes of [hello, draft.late]) {
    if (bytes === null) continue;
    draft.bytesUp += bytes.length;
    endpoint.socket.write(bytes);
  }
  if (draft.late !== null) session.proven();
  draft.late = null;
  const up = {
    add(bytes: number): void {
      draft.bytesUp += bytes;
      session.moved = true;
      if (session.unproven !== null) session.proven();
    },
  };
  const down = {
    add(bytes: number): void {
      draft.bytesDown += bytes;
      session.moved = true;
    },
  };
  for (const [from, to] of [
    [client, endpoint],
    [endpoint, client],
  ] as const) {
    if (from.tls) endWithTlsError(session, from, { to, isEndpoint: from === endpoint });
  }
  return session.walk.step<NormalEnd>((done) => {
    const joined = splice(client, endpoint, { up, down });
    session.accepted = null;
    session.sides = { client, endpoint, lost: (side) => joined.lost(side) };
    void joined.ended.then(done);
    return () => joined.cut();
  });
}

/**
 * An error of TLS on one side ends both. An endpoint whose first word is an alert has refused the
 * connection, however late in the handshake.
 */
function endWithTlsError(session: Session, from: Side, { to, isEndpoint }: { to: Side; isEndpoint: boolean }): void {
  const { draft, scope, walk: steps } = session;
  function onError(error: Error): void {
    const refusal = isEndpoint && draft.bytesDown === 0 ? refusedAfterHandshake(error) : null;
    const text = tlsErrorText(error);
    if (refusal === null && text === null) return;
    to.reset();
    steps.end(refusal ?? refuse('tls-error', `TLS with the ${isEndpoint ? 'endpoint' : 'client'}: ${text}`));
  }
  scope.on(from.socket, 'error', onError);
}

/**
 * Before any handshake of ours a refused client gets a TLS alert, so that it sees more than an end.
 * For its certificate it has got one already; after that it sees an orderly end of TLS.
 */
function sayGoodbye(accepted: Socket, session: Session, refusal: Refusal): void {
  if (session.joined || accepted.destroyed) return;
  const beforeHandshake = session.draft.tlsVersion === '' && refusal.code !== 'handshake-failed';
  const alert = beforeHandshake ? alertFor(refusal.code) : null;
  if (alert !== null) accepted.write(alert);
  if (beforeHandshake) accepted.destroySoon();
  else if (session.draft.tlsVersion === '') accepted.destroy();
}

function late(session: Session, timeoutMs: number): Refusal {
  const { draft } = session;
  if (session.route === null) return refuse('hello-timeout', `read hello from ${draft.from}: incomplete after ${timeoutMs} ms`);
  if (session.route.kind === 'terminate' && session.client === null) {
    return refuse('handshake-failed', `TLS handshake with ${draft.from}: not done ${timeoutMs} ms after accept`);
  }
  if (session.waitsForNames)
    return refuse('dns-failed', `resolve the names of ${session.route.destination}: no answer ${timeoutMs} ms after accept`);
  return refuse('connect-timeout', `connect ${session.route.destination}: not done ${timeoutMs} ms after accept`);
}

function overLimit({ draft }: Session, { limit, detail }: Full): Refused {
  draft.limit = limit;
  return new Refused(refuse('over-limit', detail));
}

function fault(error: unknown, plane: DataPlane): Refusal {
  plane.fault(error);
  return refuse('internal-error', `${printable(error instanceof Error ? error.message : String(error))}`);
}

function must<T extends { readonly kind: string }>(outcome: T | Refusal): T {
  if (outcome.kind === 'refusal') throw new Refused(outcome as Refusal);
  return outcome as T;
}
