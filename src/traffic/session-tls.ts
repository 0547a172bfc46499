import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Refused, refuse } from '../base/refusal.ts';
import type { CertificateSummary } from '../model/client.ts';
import { identityOf } from '../model/route.ts';
import type { TerminateRoute } from '../model/route.ts';
import type { ClientHello } from '../wire/client-hello.ts';
import type { SessionContext } from './session-context.ts';
import type { Session } from './session-state.ts';
import type { Sniffed } from './sniff.ts';
import { tlsErrorOf } from './tls-error.ts';
import { UnderTls } from './under-tls.ts';

/** Terminates the mesh mTLS of the client. Afterwards the session has a verified client. */
export async function terminateTls(
  session: Session,
  accepted: Socket,
  to: { readonly context: SessionContext; readonly route: TerminateRoute; readonly sniffed: Sniffed },
): Promise<TLSSocket> {
  const { context, sniffed } = to;
  const { draft } = session;
  const startedAt = context.clock.now();
  const leave = takeHandshakePlace(session, context, startedAt);
  const { socket, client, trust } = await context.terminator.terminate(session.steps, accepted, {
    mesh: to.route.mesh,
    identity: identityOf(to.route),
    name: sniffed.hello.serverName,
    ticket: sniffed.hello.ticket,
    tls13: mayBeTls13(sniffed.hello),
    peeked: sniffed.bytes,
    wallMs: context.clock.wall(),
    onHandshake(secured, how) {
      session.isSecured = true;
      draft.handshake(how, context.clock.now() - startedAt);
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
  if (context.adoptionWorks)
    UnderTls.below(socket)?.shareReads((raw) => {
      if (session.accepted !== null) session.accepted = raw;
    });
  return socket;
}

/** The parser reads no version after TLS 1.3. */
function mayBeTls13({ maxVersion }: ClientHello): boolean {
  return maxVersion === 'TLSv1.3' || maxVersion === 'unknown';
}

/**
 * Takes a place among the handshakes of the process. Where none is left, ends the one that has
 * waited longest.
 */
function takeHandshakePlace(session: Session, { limits, handshaking }: SessionContext, nowMs: number): () => void {
  const full = limits.enterHandshake();
  if (full !== null) {
    const { shareOfHandshakes: share, surplusHandshakes: surplus } = limits;
    const { size } = handshaking;
    // Each data side may have its share, independent of the others; one with more returns what it
    // took above.
    if (size >= Math.max(1, share) && !handshaking.makeRoom(nowMs)) throw new Refused(refuse('over-limit', full));
    if (surplus > 0 && size > share + 1) handshaking.makeRoom(nowMs);
    limits.forceHandshake();
  }
  const held = session.holds(handshaking, nowMs);
  let open = true;
  const leave = (): void => {
    held.leave();
    if (open) limits.leaveHandshake();
    open = false;
  };
  session.scope.add(leave);
  return leave;
}

/** Ends the session when its client goes away while the endpoint is being connected. */
export function endWithClient(session: Session, socket: Socket): void {
  session.scope.on(socket, 'close', () => {
    if (session.joined) return;
    const text = tlsErrorOf(socket);
    session.steps.end(
      text === null
        ? refuse('client-gone', 'the client closed before the endpoint was connected')
        : refuse('tls-error', `TLS with the client: ${text}`),
    );
  });
}
