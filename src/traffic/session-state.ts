import type { Socket } from 'node:net';
import { refuse } from '../base/refusal.ts';
import { Scope } from '../base/scope.ts';
import type { VerifiedClient } from '../model/client.ts';
import type { ContentHash } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import { ignoreError } from '../base/ignore-error.ts';
import type { Leg } from './leg.ts';
import { resetTcp } from './reset.ts';
import type { SessionContext } from './session-context.ts';
import type { SessionDraft } from './session-draft.ts';
import { SessionSteps } from './session-steps.ts';
import type { Splice } from './splice.ts';
import type { UnprovenPlace, Unproven } from './unproven.ts';

const GAVE_WAY =
  'all places were taken: of the client address that held most, this connection had waited longest without a handshake that was done';

/** What a session is while bytes flow. */
interface Joined {
  readonly client: Leg;
  readonly endpoint: Leg;
  readonly lost: Splice['lost'];
}

/**
 * What one accepted connection is at this moment. It keeps its route, never the snapshot. What is
 * only to be reported goes to the draft of its record, which is written and not read.
 */
export class Session {
  readonly steps: SessionSteps = new SessionSteps();
  readonly draft: SessionDraft;
  readonly scope: Scope;
  readonly clientAddress: string;
  /** `address:port` of the client, for messages. */
  readonly from: string;
  /** Set when the route is found. */
  route: Route | null = null;
  /** The TLS handshake with the client is done, whatever comes of its certificate. */
  isSecured = false;
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
  legs: Joined | null = null;
  /** Its places among those who have not proven themselves; null once it has. */
  unproven: UnprovenPlace[] | null = [];
  /** The kernel asks the peers whether they are there after so long without a byte. */
  keepAliveMs: number = Infinity;
  /**
   * As it was accepted; null once both legs are joined, because its handle may have moved then.
   */
  accepted: Socket | null;
  /** Requests of its client are judged one by one. */
  servesRequests = false;
  /** Cancels the end that a changed policy has set. */
  policyEnd: (() => void) | null = null;

  constructor(accepted: Socket, draft: SessionDraft, scope: Scope) {
    this.accepted = accepted;
    this.draft = draft;
    this.scope = scope;
    this.clientAddress = clientAddressOf(accepted);
    this.from = `${this.clientAddress}:${accepted.remotePort ?? 0}`;
  }

  /** Holds a place that it gives up for another when all are taken, until it has proven itself. */
  holds(among: Unproven, nowMs: number): UnprovenPlace {
    const { accepted, steps } = this;
    if (accepted === null || this.unproven === null) return { leave: () => {} };
    const held = among.enter(this.clientAddress, {
      socket: accepted,
      nowMs,
      giveUp: () => {
        // A client that floods does not read why; an alert and an end would stay in the kernel for
        // a while.
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
}

export function openSession(accepted: Socket, context: SessionContext): Session {
  const session = new Session(accepted, context.draft(accepted), new Scope(context.clock));
  // The first statement after accept, and for as long as the object lives: a reset without a
  // listener would end the process.
  accepted.on('error', ignoreError);
  session.draft.judgedBy(context.snapshot());
  context.openSession(session);
  session.holds(context.unproven, context.clock.now());
  return session;
}

/** `::ffff:10.0.0.7`, as a listener on `::` sees an IPv4 client, is given without its prefix. */
export function clientAddressOf({ remoteAddress = '' }: Socket): string {
  return remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress;
}
