import { refuse } from '../base/refusal.ts';
import type { NormalEnd } from '../base/refusal.ts';
import { refusedAfterHandshake } from './connect.ts';
import type { Leg } from './leg.ts';
import type { Meter } from './reader.ts';
import type { Session } from './session-state.ts';
import { splice } from './splice.ts';
import { tlsErrorText } from './tls-error.ts';

/**
 * Joins both legs until they are closed. `first` goes to the endpoint before anything else: bytes
 * of the client that were read while the session was set up.
 */
export function relay(
  session: Session,
  { client, endpoint }: { readonly client: Leg; readonly endpoint: Leg },
  [hello, late]: readonly [hello: Buffer | null, late: Buffer | null],
): Promise<NormalEnd> {
  const { draft } = session;
  session.joined = true;
  for (const bytes of [hello, late]) {
    if (bytes === null) continue;
    draft.moved('up', bytes.length);
    endpoint.socket.write(bytes);
  }
  if (late !== null) session.proven();
  const up = new SessionMeter(session, 'up');
  const down = new SessionMeter(session, 'down');
  if (client.tls) endWithTlsError(session, client, { to: endpoint, name: 'client', isRefusal: () => false });
  if (endpoint.tls) endWithTlsError(session, endpoint, { to: client, name: 'endpoint', isRefusal: () => !down.hasMoved });
  return session.steps.step<NormalEnd>((done) => {
    const joined = splice({ client, endpoint }, { up, down }, done);
    session.accepted = null;
    session.legs = { client, endpoint, lost: (side) => joined.lost(side) };
    return () => joined.cut();
  });
}

/** Counts the bytes of one direction. The first ones of a client prove it. */
class SessionMeter implements Meter {
  readonly #session: Session;
  readonly #direction: 'up' | 'down';
  hasMoved = false;

  constructor(session: Session, direction: 'up' | 'down') {
    this.#session = session;
    this.#direction = direction;
  }

  add(bytes: number): void {
    const session = this.#session;
    session.draft.moved(this.#direction, bytes);
    session.moved = true;
    this.hasMoved = true;
    if (this.#direction === 'up' && session.unproven !== null) session.proven();
  }
}

/**
 * Ends both legs after a TLS error on one. An endpoint whose first message is an alert has refused
 * the connection, however late in the handshake.
 */
function endWithTlsError(
  { scope, steps }: Session,
  from: Leg,
  { to, name, isRefusal }: { readonly to: Leg; readonly name: 'client' | 'endpoint'; readonly isRefusal: () => boolean },
): void {
  function onError(error: Error): void {
    const refusal = isRefusal() ? refusedAfterHandshake(error) : null;
    const text = tlsErrorText(error);
    if (refusal === null && text === null) return;
    to.reset();
    steps.end(refusal ?? refuse('tls-error', `TLS with the ${name}: ${text}`));
  }
  scope.on(from.socket, 'error', onError);
}
