import type { Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { KEEP_ALIVE } from '../base/keep-alive.ts';
import { refuse } from '../base/refusal.ts';
import type { TrafficSettings } from '../model/settings.ts';
import { handleOf } from './handle.ts';
import type { Leg } from './leg.ts';
import type { Session } from './session-state.ts';

/** The longest time between two checks of a session. */
const LOOK_MS = 2_000;
/** The peers of a half-closed session are checked after this much quiet. */
const ASK_HALF_CLOSED_MS = 2_000;
/**
 * Every other session is checked after this much quiet: one that is not read, because the other
 * side takes nothing, may still hold bytes of a peer that has gone.
 */
const ASK_QUIET_MS = 8_000;
/**
 * The kernel probes the other machine, which may have gone silently, after this much time without a
 * byte: sooner than on other connections (KEEP_ALIVE).
 */
const KEEP_ALIVE_HALF_CLOSED_MS = 15_000;

/**
 * Checks all sessions regularly. It ends those that were silent for too long, and those whose peer
 * has gone unnoticed: after the end of a direction, and while reading is paused, Node does not poll
 * the descriptor, so it does not see a reset of the peer.
 */
export class Sweep {
  readonly #clock: Clock;
  readonly #settings: TrafficSettings;
  readonly #sessions: Iterable<Session>;
  readonly #before: () => void;
  readonly #everyMs: number;
  #timer: Timer | null = null;

  constructor(options: {
    readonly clock: Clock;
    readonly settings: TrafficSettings;
    readonly sessions: Iterable<Session>;
    /** Called before each check. */
    readonly before: () => void;
  }) {
    this.#clock = options.clock;
    this.#settings = options.settings;
    this.#sessions = options.sessions;
    this.#before = options.before;
    this.#everyMs = everyMs(options.settings);
  }

  start(): void {
    this.#timer ??= this.#clock.every(this.#everyMs, () => this.#look());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #look(): void {
    this.#before();
    const nowMs = this.#clock.now();
    for (const session of this.#sessions) {
      session.draft.sample(nowMs);
      lookAfter(session);
      if (session.servesRequests) this.#lookAtRequests(session);
      else if (session.legs === null) lookAtClient(session);
      else this.#lookAtJoined(session, session.legs);
    }
  }

  /**
   * Checks the client connection of a session with requests; the pool checks the connections to its
   * service.
   */
  #lookAtRequests(session: Session): void {
    const { idleTimeoutMs } = this.#settings;
    session.quietSweeps = session.moved ? 0 : session.quietSweeps + 1;
    session.moved = false;
    if (isDisconnected(session.accepted)) return session.clientLost?.();
    if (idleTimeoutMs > 0 && session.quietSweeps * this.#everyMs >= idleTimeoutMs)
      session.steps.end(refuse('idle-timeout', `no request and no byte of one for ${idleTimeoutMs} ms`));
  }

  #lookAtJoined(session: Session, { client, endpoint, lost }: NonNullable<Session['legs']>): void {
    const { halfClosedTimeoutMs } = this.#settings;
    const idleTimeoutMs = session.route?.idleMs ?? this.#settings.idleTimeoutMs;
    session.quietSweeps = session.moved ? 0 : session.quietSweeps + 1;
    session.moved = false;
    const quietMs = session.quietSweeps * this.#everyMs;
    const halfClosed = client.socket.readableEnded || endpoint.socket.readableEnded;
    const askAfterMs = halfClosed ? ASK_HALF_CLOSED_MS : ASK_QUIET_MS;
    if (quietMs >= askAfterMs && session.quietSweeps % Math.ceil(askAfterMs / this.#everyMs) === 0) {
      if (hasGone(client)) return lost('client');
      if (hasGone(endpoint)) return lost('endpoint');
      if (halfClosed) askSooner(session);
    }
    if (idleTimeoutMs > 0 && quietMs >= idleTimeoutMs)
      session.steps.end(refuse('idle-timeout', `no byte in either direction for ${idleTimeoutMs} ms`));
    else if (halfClosed && halfClosedTimeoutMs > 0 && quietMs >= halfClosedTimeoutMs)
      session.steps.end(refuse('idle-timeout', `one side had ended, and no byte came for ${halfClosedTimeoutMs} ms`));
  }
}

/** Checks four times per timeout, at least every 2 s and at most every 20 ms. */
function everyMs({ idleTimeoutMs, halfClosedTimeoutMs }: TrafficSettings): number {
  const timeouts = [idleTimeoutMs, halfClosedTimeoutMs].filter((timeout) => timeout > 0);
  return Math.max(20, Math.min(LOOK_MS, ...timeouts.map((timeout) => timeout / 4)));
}

/**
 * Checks the client of a session that is being set up: a passthrough client is not read while its
 * endpoint is looked up and connected.
 */
function lookAtClient(session: Session): void {
  if (isDisconnected(session.accepted))
    session.steps.end(refuse('client-gone', 'the client reset the connection before the endpoint was connected'));
}

/**
 * Tells whether the peer has reset the connection, or the kernel has given it up. Where both
 * directions have ended well the kernel has no peer any more either. Bytes of that peer may then
 * still wait for the other side, so the answer is false.
 */
function hasGone({ socket, raw }: Leg): boolean {
  return isDisconnected(raw) && (socket.readableEnded || !socket.writableFinished);
}

/** Where the handle cannot be asked, TCP keep-alive and the timeouts remain. */
function isDisconnected(socket: Socket | null): boolean {
  if (socket === null || socket.destroyed) return false;
  const handle = handleOf(socket);
  return handle !== null && typeof handle.getpeername === 'function' && handle.getpeername({}) !== 0;
}

/**
 * Lets the kernel probe peers that are quiet. Set here, not at the start, because most connections
 * are over before their first check, and each would pay for eight more system calls.
 */
function lookAfter(session: Session): void {
  const { legs, accepted } = session;
  const peers = legs ?? accepted;
  if (session.lookedAfter === peers) return;
  session.lookedAfter = peers;
  for (const socket of legs === null ? [accepted] : [legs.client.raw, legs.endpoint.raw])
    if (socket !== null && !socket.destroyed) socket.setKeepAlive(true, KEEP_ALIVE.keepAliveInitialDelay);
}

function askSooner(session: Session): void {
  const { legs } = session;
  if (legs === null || session.askedSooner) return;
  session.askedSooner = true;
  for (const { raw } of [legs.client, legs.endpoint]) if (!raw.destroyed) raw.setKeepAlive(true, KEEP_ALIVE_HALF_CLOSED_MS);
}
