import type { Socket } from 'node:net';

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

interface Holder extends UnprovenPlace {
  readonly since: number;
  readonly socket: Socket;
  /** Bytes that it had sent when it came. */
  readonly bytesRead: number;
  readonly giveUp: () => void;
}

interface Source {
  readonly name: string;
  /** The oldest first. */
  readonly holders: Set<Holder>;
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
  readonly #byNumber: Set<Source>[] = [];
  #most = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  enter(name: string, holder: { readonly socket: Socket; readonly nowMs: number; readonly giveUp: () => void }): UnprovenPlace {
    const source = this.#sources.get(name) ?? { name, holders: new Set() };
    const held: Holder = {
      since: holder.nowMs,
      socket: holder.socket,
      bytesRead: holder.socket.bytesRead,
      giveUp: holder.giveUp,
      leave: () => {
        if (!source.holders.has(held)) return;
        this.#move(source, () => source.holders.delete(held));
        this.#size--;
      },
    };
    this.#move(source, () => source.holders.add(held));
    this.#size++;
    return held;
  }

  /** Returns false where no holder is left. */
  makeRoom(nowMs: number): boolean {
    const [most] = this.#byNumber[this.#most] ?? [];
    return most !== undefined && giveWay(most, nowMs);
  }

  /** Does the same among the holders of one source. */
  makeRoomIn(name: string, nowMs: number): boolean {
    const source = this.#sources.get(name);
    return source !== undefined && giveWay(source, nowMs);
  }

  #move(source: Source, change: () => void): void {
    const before = source.holders.size;
    if (before > 0) this.#byNumber[before]?.delete(source);
    change();
    const { size } = source.holders;
    if (size === 0) this.#sources.delete(source.name);
    else {
      this.#sources.set(source.name, source);
      (this.#byNumber[size] ??= new Set()).add(source);
    }
    // Counts change by one at a time, so the next number is a neighbour of this one.
    if (size > this.#most) this.#most = size;
    else if (before === this.#most && this.#byNumber[before]?.size === 0) this.#most = size;
  }
}

function giveWay({ holders }: Source, nowMs: number): boolean {
  const [oldest] = holders;
  if (oldest === undefined) return false;
  const gives = oldestSilent(holders, nowMs) ?? oldest;
  gives.leave();
  gives.giveUp();
  return true;
}

function oldestSilent(holders: ReadonlySet<Holder>, nowMs: number): Holder | null {
  let asked = 0;
  for (const holder of holders) {
    if (nowMs - holder.since < SILENT_MS || asked++ === ASKED) return null;
    if (holder.socket.bytesRead === holder.bytesRead) return holder;
  }
  return null;
}
