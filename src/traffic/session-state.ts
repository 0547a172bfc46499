import type { Socket } from 'node:net';
import type { Linked } from '../base/chain.ts';
import { refuse } from '../base/refusal.ts';
import { Scope } from '../base/scope.ts';
import type { VerifiedClient } from '../model/client.ts';
import type { Route } from '../model/route.ts';
import { ignoreError } from '../base/ignore-error.ts';
import type { Leg } from './leg.ts';
import { resetTcp } from './reset.ts';
import type { SessionContext } from './session-context.ts';
import type { ClientTrust } from './terminate.ts';
import type { SessionDraft } from './session-draft.ts';
import { SessionSteps } from './session-steps.ts';
import type { Splice } from './splice.ts';
import type { UnprovenPlace, Unproven } from './unproven.ts';

const GAVE_WAY =
  'all places were taken: this connection of the client address with most places had waited longest for its handshake';

/** The state of a session while bytes flow. */
interface Joined {
  readonly client: Leg;
  readonly endpoint: Leg;
  readonly lost: Splice['lost'];
}

/**
 * The state of one accepted connection. It keeps its route, never the snapshot. Facts that are only
 * reported go to the draft of its record, which is written and not read.
 */
export class Session implements Linked<Session> {
  chain: object | null = null;
  before: Session | null = null;
  after: Session | null = null;
  readonly steps: SessionSteps = new SessionSteps();
  readonly draft: SessionDraft;
  readonly scope: Scope;
  readonly clientAddress: string;
  /** `address:port` of the client, for messages. */
  readonly from: string;
  /** Monotonic milliseconds. */
  readonly openedAt: number;
  /** Set when the route is found. */
  route: Route | null = null;
  /** True when the TLS handshake with the client is done, before its certificate is judged. */
  isSecured = false;
  /** Set when the client is verified. */
  client: VerifiedClient | null = null;
  /** Set with the client. */
  trust: ClientTrust | null = null;
  /** True while a look-up of names has no answer. */
  waitsForNames = false;
  /** True when a byte moved since the last check; the idle sweep clears it. */
  moved = true;
  quietSweeps = 0;
  joined = false;
  /** Set when bytes begin to flow. */
  legs: Joined | null = null;
  /** Its places among the unproven sessions; null once the client is proven. */
  unproven: UnprovenPlace[] | null = [];
  /** The accepted socket, or both legs, whose peers the kernel probes when they are quiet. */
  lookedAfter: Socket | Joined | null = null;
  /** True when the kernel probes the peers sooner than those of other connections. */
  askedSooner = false;
  /**
   * The accepted socket; null once both legs are joined, because its handle may have moved then.
   */
  accepted: Socket | null;
  /** True when the requests of its client are judged one by one. */
  servesRequests = false;
  /** Ends a session with requests as the close of its client's connection does. */
  clientLost: (() => void) | null = null;
  /** Cancels the end that a changed policy has scheduled. */
  policyEnd: (() => void) | null = null;

  constructor(accepted: Socket, draft: SessionDraft, scope: Scope, openedAt: number) {
    this.openedAt = openedAt;
    this.accepted = accepted;
    this.draft = draft;
    this.scope = scope;
    this.clientAddress = clientAddressOf(accepted);
    this.from = `${this.clientAddress}:${accepted.remotePort ?? 0}`;
  }

  /** Takes a place that it gives up when all are taken, until its client is proven. */
  holds(among: Unproven, nowMs: number): UnprovenPlace {
    const { accepted, steps } = this;
    if (accepted === null || this.unproven === null) return { leave: () => {} };
    const held = among.enter(this.clientAddress, {
      socket: accepted,
      nowMs,
      giveUp: () => {
        // A client that floods gets no alert; an alert and an end would stay in the kernel for a
        // while.
        resetTcp(accepted);
        steps.end(refuse('over-limit', GAVE_WAY));
      },
    });
    this.unproven.push(held);
    return held;
  }

  /**
   * Call it when the client has shown its certificate, or answers the endpoint that it is passed
   * through to.
   */
  proven(): void {
    for (const held of this.unproven ?? []) held.leave();
    this.unproven = null;
  }
}

export function openSession(accepted: Socket, context: SessionContext): Session {
  const now = context.clock.now();
  const session = new Session(accepted, context.draft(accepted), new Scope(context.clock), now);
  // Added first after accept, and never removed: a reset without a listener would end the process.
  accepted.on('error', ignoreError);
  session.draft.judgedBy(context.snapshot());
  context.openSession(session);
  session.holds(context.unproven, now);
  return session;
}

/**
 * Returns the address without the prefix of `::ffff:10.0.0.7`, the form of an IPv4 client on a
 * listener on `::`.
 */
export function clientAddressOf({ remoteAddress = '' }: Socket): string {
  return remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress;
}
