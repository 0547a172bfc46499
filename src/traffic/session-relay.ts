import { refuse } from '../base/refusal.ts';
import type { NormalEnd } from '../base/refusal.ts';
import { refusedAfterHandshake } from './connect.ts';
import type { Leg } from './leg.ts';
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
  let endpointAnswered = false;
  session.joined = true;
  for (const bytes of [hello, late]) {
    if (bytes === null) continue;
    draft.moved('up', bytes.length);
    endpoint.socket.write(bytes);
  }
  if (late !== null) session.proven();
  const up = {
    add(bytes: number): void {
      draft.moved('up', bytes);
      session.moved = true;
      if (session.unproven !== null) session.proven();
    },
  };
  const down = {
    add(bytes: number): void {
      draft.moved('down', bytes);
      session.moved = true;
      endpointAnswered = true;
    },
  };
  if (client.tls) endWithTlsError(session, client, { to: endpoint, name: 'client', isRefusal: () => false });
  if (endpoint.tls) endWithTlsError(session, endpoint, { to: client, name: 'endpoint', isRefusal: () => !endpointAnswered });
  return session.steps.step<NormalEnd>((done) => {
    const joined = splice(client, endpoint, { up, down });
    session.accepted = null;
    session.legs = { client, endpoint, lost: (side) => joined.lost(side) };
    void joined.ended.then(done);
    return () => joined.cut();
  });
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
