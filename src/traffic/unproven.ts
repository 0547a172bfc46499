import type { Socket } from 'node:net';
import { Chain } from '../base/chain.ts';
import type { Linked } from '../base/chain.ts';

/**
 * A connection of the source with most places that has sent nothing for this long is ended before
 * older ones that have.
 */
const SILENT_MS = 1_000;
/** The number of the oldest connections that are checked for sent bytes. */
const ASKED = 32;

/** A place of a connection that is not proven yet. It may be left twice. */
export interface UnprovenPlace {
  leave(): void;
}

interface Holder {
  readonly socket: Socket;
  readonly nowMs: number;
  readonly giveUp: () => void;
}

class HeldPlace implements UnprovenPlace, Linked<HeldPlace> {
  chain: object | null = null;
  before: HeldPlace | null = null;
  after: HeldPlace | null = null;
  readonly source: Source;
  readonly since: number;
  /** Bytes that the socket had sent when it came. */
  readonly bytesRead: number;
  /** Null when the place was left. */
  holder: Holder | null;
  readonly #among: Unproven;

  constructor(among: Unproven, source: Source, holder: Holder) {
    this.#among = among;
    this.source = source;
    this.since = holder.nowMs;
    this.bytesRead = holder.socket.bytesRead;
    this.holder = holder;
  }

  leave(): void {
    this.#among.leave(this);
  }
}

class Source implements Linked<Source> {
  chain: object | null = null;
  before: Source | null = null;
  after: Source | null = null;
  readonly name: string;
  /** The oldest first. */
  readonly places: Chain<HeldPlace> = new Chain();

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Unproven holders of places: connections before their hello, unfinished handshakes. Where all
 * places are taken, one of them is ended: of the source with most places, the oldest that has sent
 * nothing. So a flood, from one source or many, takes its places from itself, and another client
 * has as much time as the flood needs to fill all places.
 */
export class Unproven {
  readonly #sources = new Map<string, Source>();
  /** Sources by the number of their places. */
  readonly #byNumber: Chain<Source>[] = [];
  #most = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  enter(name: string, holder: Holder): UnprovenPlace {
    const source = this.#sources.get(name) ?? new Source(name);
    const before = source.places.size;
    const place = new HeldPlace(this, source, holder);
    source.places.add(place);
    if (before === 0) this.#sources.set(name, source);
    this.#moved(source, before);
    return place;
  }

  /** For the place itself. */
  leave(place: HeldPlace): void {
    const { source } = place;
    const before = source.places.size;
    if (!source.places.remove(place)) return;
    place.holder = null;
    if (before === 1) this.#sources.delete(source.name);
    this.#moved(source, before);
  }

  /** Returns false where no holder is left. */
  makeRoom(nowMs: number): boolean {
    const most = this.#byNumber[this.#most]?.first ?? null;
    return most !== null && giveWay(most, nowMs);
  }

  /** Does the same among the holders of one source. */
  makeRoomIn(name: string, nowMs: number): boolean {
    const source = this.#sources.get(name);
    return source !== undefined && giveWay(source, nowMs);
  }

  #moved(source: Source, before: number): void {
    const { size } = source.places;
    this.#size += size - before;
    if (before > 0) this.#byNumber[before]?.remove(source);
    if (size > 0) (this.#byNumber[size] ??= new Chain()).add(source);
    // Counts change by one at a time, so the next number is a neighbour of this one.
    if (size > this.#most) this.#most = size;
    else if (before === this.#most && this.#byNumber[before]?.size === 0) this.#most = size;
  }
}

function giveWay({ places }: Source, nowMs: number): boolean {
  const gives = oldestSilent(places, nowMs) ?? places.first;
  const holder = gives?.holder ?? null;
  if (gives === null || holder === null) return false;
  gives.leave();
  holder.giveUp();
  return true;
}

function oldestSilent({ first }: Chain<HeldPlace>, nowMs: number): HeldPlace | null {
  let asked = 0;
  for (let place = first; place !== null; place = place.after) {
    if (nowMs - place.since < SILENT_MS || asked++ === ASKED) return null;
    if (place.holder?.socket.bytesRead === place.bytesRead) return place;
  }
  return null;
}
