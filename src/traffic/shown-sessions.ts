import { nextTurn } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { refuse } from '../base/refusal.ts';
import type { FromData } from '../model/messages.ts';
import { isFoundBy, largestFirst } from '../model/shown-session.ts';
import type { ShownSession, ShownQuery, ShownState } from '../model/shown-session.ts';
import type { Session } from './session-state.ts';

/** The sessions that are looked at, and those that are sent, in one turn of the event loop. */
const AT_A_TIME = 500;

type Piece = Omit<Extract<FromData, { kind: 'shown-sessions' }>, 'kind' | 'ask'>;

interface ShownFrom {
  readonly sessions: Iterable<Session>;
  readonly clock: Clock;
  readonly worker: number;
  /** Ends each session that is found, with this detail; only those are counted then. */
  readonly end?: string;
}

/**
 * Sends the open sessions that the query finds, in pieces. Ten thousand sessions take twenty turns
 * of the event loop, and others have theirs in between.
 */
export async function showSessions(
  { sessions, clock, worker, end }: ShownFrom,
  query: ShownQuery,
  send: (piece: Piece) => void,
): Promise<void> {
  const found: ShownSession[] = [];
  let left = AT_A_TIME;
  for (const session of sessions) {
    // Some end while this goes on.
    if (session.chain === null) continue;
    const open: ShownSession = { ...session.draft.open(clock.now()), worker, state: stateOf(session) };
    if (isFoundBy(query, open) && (end === undefined || ended(session, end))) found.push(open);
    if (--left > 0) continue;
    left = AT_A_TIME;
    await nextTurn();
  }
  const shown = largestFirst(found, query);
  for (let i = 0; i < shown.length; i += AT_A_TIME) {
    send({ sessions: shown.slice(i, i + AT_A_TIME), found: found.length, last: i + AT_A_TIME >= shown.length });
    await nextTurn();
  }
  if (shown.length === 0) send({ sessions: [], found: found.length, last: true });
}

/** Returns false for a session that the egress has ended already. */
function ended({ steps }: Session, detail: string): boolean {
  if (steps.endedBy !== null) return false;
  steps.end(refuse('ended-by-operator', detail));
  return true;
}

function stateOf(session: Session): ShownState {
  if (session.servesRequests) return 'requests';
  if (session.joined) return 'relay';
  if (session.route === null) return 'hello';
  return session.route.kind === 'terminate' && session.client === null ? 'handshake' : 'connect';
}
