/**
 * Slots for sessions per source address. Addresses that share a slot share a limit, so the limit is
 * at most stricter than set.
 */
const SOURCE_SLOTS = 65_536;
const SESSIONS = 0;
const HANDSHAKES = 1;
/**
 * Sessions are counted for each data side too, so that the places of a dead one can be returned.
 */
const OF_SIDE = 2;
const MAX_SIDES = 256;
/** Handshakes are counted for each data side too, for the same reason. */
const HANDSHAKES_OF_SIDE = OF_SIDE + MAX_SIDES;
const SOURCES = HANDSHAKES_OF_SIDE + MAX_SIDES;

/**
 * Memory for the counters of the whole process: all data sides share it, so that four workers do
 * not mean four times a limit.
 */
export function limitsMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer((SOURCES + SOURCE_SLOTS) * Int32Array.BYTES_PER_ELEMENT);
}

export interface LimitSettings {
  readonly maxSessions: number;
  readonly maxHandshakes: number;
  readonly maxSessionsPerSource: number;
}

/** The limit that is reached, and a sentence about it. */
export interface FullLimit {
  readonly of: 'process' | 'source';
  readonly detail: string;
}

/** Counts that all data sides share. Every `enter` that took a place needs its `leave`. */
export class Limits {
  readonly #counts: Int32Array;
  readonly #settings: LimitSettings;
  readonly #mine: number;
  readonly #myHandshakes: number;

  /** `side` is the number of the data side that counts. */
  constructor(memory: SharedArrayBuffer, settings: LimitSettings, side: number) {
    this.#counts = new Int32Array(memory);
    this.#settings = settings;
    this.#mine = OF_SIDE + (side % MAX_SIDES);
    this.#myHandshakes = HANDSHAKES_OF_SIDE + (side % MAX_SIDES);
  }

  get sessions(): number {
    return Atomics.load(this.#counts, SESSIONS);
  }

  /** The number of unproven sessions that a data side may have, independent of the others. */
  get shareOfSessions(): number {
    return shareOf(this.#settings.maxSessions);
  }

  get shareOfHandshakes(): number {
    return shareOf(this.#settings.maxHandshakes);
  }

  /** Sessions above the limit, taken by data sides that had less than their share. */
  get surplusSessions(): number {
    return Math.max(0, this.sessions - this.#settings.maxSessions);
  }

  get surplusHandshakes(): number {
    return Math.max(0, this.handshakes - this.#settings.maxHandshakes);
  }

  get handshakes(): number {
    return Atomics.load(this.#counts, HANDSHAKES);
  }

  /** Counts the sessions of the source that has the most; 0 without such a limit. */
  get mostOfOneSource(): number {
    if (this.#settings.maxSessionsPerSource === 0) return 0;
    return this.#counts.subarray(SOURCES).reduce((most, count) => Math.max(most, count), 0);
  }

  /** Takes a place and returns null, or returns the limit that is reached. */
  enterSession(source: string): FullLimit | null {
    const { maxSessions, maxSessionsPerSource } = this.#settings;
    if (!this.#enter(SESSIONS, maxSessions)) {
      return { of: 'process', detail: `${maxSessions} sessions are open (limit ${maxSessions})` };
    }
    if (maxSessionsPerSource > 0 && !this.#enter(slot(source), maxSessionsPerSource)) {
      this.#leave(SESSIONS);
      return { of: 'source', detail: `${source} has ${maxSessionsPerSource} sessions open (limit ${maxSessionsPerSource})` };
    }
    Atomics.add(this.#counts, this.#mine, 1);
    return null;
  }

  /**
   * Counts a session above the limit: an older one was made to end and has not left its place yet.
   */
  forceSession(source: string): void {
    Atomics.add(this.#counts, SESSIONS, 1);
    Atomics.add(this.#counts, this.#mine, 1);
    if (this.#settings.maxSessionsPerSource > 0) Atomics.add(this.#counts, slot(source), 1);
  }

  leaveSession(source: string): void {
    this.#leave(SESSIONS);
    this.#leave(this.#mine);
    if (this.#settings.maxSessionsPerSource > 0) this.#leave(slot(source));
  }

  /**
   * Ends the count of a data side that died: its sessions and handshakes are over. Returns the
   * number of sessions. Their sources are not known and stay counted until the process ends.
   */
  forgetSide(side: number): number {
    const sessions = Atomics.exchange(this.#counts, OF_SIDE + (side % MAX_SIDES), 0);
    const handshakes = Atomics.exchange(this.#counts, HANDSHAKES_OF_SIDE + (side % MAX_SIDES), 0);
    Atomics.sub(this.#counts, SESSIONS, sessions);
    Atomics.sub(this.#counts, HANDSHAKES, handshakes);
    return sessions;
  }

  enterHandshake(): string | null {
    const { maxHandshakes } = this.#settings;
    if (!this.#enter(HANDSHAKES, maxHandshakes)) return `${maxHandshakes} handshakes are under way (limit ${maxHandshakes})`;
    Atomics.add(this.#counts, this.#myHandshakes, 1);
    return null;
  }

  /**
   * Counts a handshake above the limit: an older one was made to end and has not left its place
   * yet.
   */
  forceHandshake(): void {
    Atomics.add(this.#counts, HANDSHAKES, 1);
    Atomics.add(this.#counts, this.#myHandshakes, 1);
  }

  leaveHandshake(): void {
    this.#leave(HANDSHAKES);
    this.#leave(this.#myHandshakes);
  }

  #enter(index: number, limit: number): boolean {
    if (Atomics.add(this.#counts, index, 1) < limit) return true;
    Atomics.sub(this.#counts, index, 1);
    return false;
  }

  #leave(index: number): void {
    Atomics.sub(this.#counts, index, 1);
  }
}

function shareOf(limit: number): number {
  return Math.min(32, Math.floor(limit / 16));
}

/** Hashes with FNV-1a, so that neighbouring addresses get different slots. */
function slot(source: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < source.length; i++) hash = Math.imul(hash ^ source.charCodeAt(i), 0x01000193);
  return SOURCES + ((hash >>> 0) % SOURCE_SLOTS);
}
