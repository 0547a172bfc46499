import type { Socket } from 'node:net';
import type { Clock, Timer } from '../base/clock.ts';
import { refuse } from '../base/refusal.ts';
import type { TrafficSettings } from '../model/settings.ts';
import type { Leg } from './leg.ts';
import type { Session } from './session-state.ts';

/** At most so long between two looks at a session. */
const LOOK_MS = 2_000;
/** A session that is half over is asked for its peers once it was quiet for so long. */
const ASK_HALF_CLOSED_MS = 2_000;
/**
 * Any other after this: one that is not read, because the other side takes nothing, may still have
 * bytes of a peer that has gone.
 */
const ASK_QUIET_MS = 8_000;
/**
 * The kernel asks the other machine, which may have gone without a word: after so long without a
 * byte.
 */
const KEEP_ALIVE_HALF_CLOSED_MS = 15_000;
const KEEP_ALIVE_QUIET_MS = 60_000;

/**
 * The part of libuv's handle that is used here; not documented by Node. Where it is missing, TCP
 * keep-alive and the timeouts remain.
 */
interface Handle {
  getpeername?(out: object): number;
}

/**
 * Looks at all sessions again and again. Ends those that were silent for too long, and those with a
 * peer that has gone where Node does not notice it: after the end of a direction, and while reading
 * is paused, Node does not poll the descriptor, so that a reset of the peer is not seen.
 */
export class Sweep {
  readonly #clock: Clock;
  readonly #settings: TrafficSettings;
  readonly #sessions: ReadonlySet<Session>;
  readonly #before: () => void;
  readonly #everyMs: number;
  #timer: Timer | null = null;

  constructor(options: {
    readonly clock: Clock;
    readonly settings: TrafficSettings;
    readonly sessions: ReadonlySet<Session>;
    /** Called before each look. */
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
    for (const session of this.#sessions) {
      if (session.servesRequests) this.#lookAtRequests(session);
      else if (session.legs === null) lookAtClient(session);
      else this.#lookAtJoined(session, session.legs);
    }
  }

  /**
   * The connection of a client whose requests are served: its service's connections are looked
   * after by their pool.
   */
  #lookAtRequests(session: Session): void {
    const { idleTimeoutMs } = this.#settings;
    session.quietSweeps = session.moved ? 0 : session.quietSweeps + 1;
    session.moved = false;
    if (isDisconnected(session.accepted)) return session.steps.end(refuse('client-gone', 'the client reset the connection'));
    if (idleTimeoutMs > 0 && session.quietSweeps * this.#everyMs >= idleTimeoutMs)
      session.steps.end(refuse('idle-timeout', `no request and no byte of one for ${idleTimeoutMs} ms`));
  }

  #lookAtJoined(session: Session, { client, endpoint, lost }: NonNullable<Session['legs']>): void {
    const { idleTimeoutMs, halfClosedTimeoutMs } = this.#settings;
    session.quietSweeps = session.moved ? 0 : session.quietSweeps + 1;
    session.moved = false;
    const quietMs = session.quietSweeps * this.#everyMs;
    const halfClosed = client.socket.readableEnded || endpoint.socket.readableEnded;
    const askAfterMs = halfClosed ? ASK_HALF_CLOSED_MS : ASK_QUIET_MS;
    if (quietMs >= askAfterMs && session.quietSweeps % Math.ceil(askAfterMs / this.#everyMs) === 0) {
      if (hasGone(client)) return lost('client');
      if (hasGone(endpoint)) return lost('endpoint');
      keepAlive(session, halfClosed ? KEEP_ALIVE_HALF_CLOSED_MS : KEEP_ALIVE_QUIET_MS);
    }
    if (idleTimeoutMs > 0 && quietMs >= idleTimeoutMs)
      session.steps.end(refuse('idle-timeout', `no byte in either direction for ${idleTimeoutMs} ms`));
    else if (halfClosed && halfClosedTimeoutMs > 0 && quietMs >= halfClosedTimeoutMs)
      session.steps.end(refuse('idle-timeout', `one side had ended, and no byte came for ${halfClosedTimeoutMs} ms`));
  }
}

/** Four looks per timeout, at least every 2 s and at most every 20 ms. */
function everyMs({ idleTimeoutMs, halfClosedTimeoutMs }: TrafficSettings): number {
  const timeouts = [idleTimeoutMs, halfClosedTimeoutMs].filter((timeout) => timeout > 0);
  return Math.max(20, Math.min(LOOK_MS, ...timeouts.map((timeout) => timeout / 4)));
}

/**
 * Of a session that is being set up: while its endpoint is looked up and connected a client that is
 * passed through is not read.
 */
function lookAtClient(session: Session): void {
  if (isDisconnected(session.accepted))
    session.steps.end(refuse('client-gone', 'the client reset the connection before the endpoint was connected'));
}

/**
 * Whether the peer has reset the connection, or the kernel has given it up. Where both directions
 * ended well the kernel knows no peer any more either: what it holds of the peer's bytes may still
 * be waiting for the other side then, so that the answer tells nothing.
 */
function hasGone({ socket, raw }: Leg): boolean {
  return isDisconnected(raw) && (socket.readableEnded || !socket.writableFinished);
}

function isDisconnected(socket: Socket | null): boolean {
  if (socket === null || socket.destroyed) return false;
  const handle = (socket as unknown as { readonly _handle: Handle | null })._handle;
  return handle !== null && typeof handle.getpeername === 'function' && handle.getpeername({}) !== 0;
}

function keepAlive(session: Session, afterMs: number): void {
  const { legs } = session;
  if (legs === null || session.keepAliveMs <= afterMs) return;
  session.keepAliveMs = afterMs;
  for (const { raw } of [legs.client, legs.endpoint]) if (!raw.destroyed) raw.setKeepAlive(true, afterMs);
}
