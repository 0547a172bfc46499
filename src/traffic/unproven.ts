import type { Socket } from 'node:net';

/**
 * Of a source that holds most, one that has sent nothing for so long goes before older ones that
 * have.
 */
const SILENT_MS = 1_000;
/** How many of the oldest are looked at for whether they have sent something. */
const ASKED = 32;

/** A place of a connection that has not proven itself yet. Safe to leave twice. */
export interface UnprovenPlace {
  leave(): void;
}

interface Holder extends UnprovenPlace {
  readonly since: number;
  readonly socket: Socket;
  /** What it had sent when it came. */
  readonly bytesRead: number;
  readonly giveUp: () => void;
}

interface Source {
  readonly name: string;
  /** The oldest first. */
  readonly holders: Set<Holder>;
}

/**
 * Who holds a place and has not proven itself: connections before their hello, handshakes that are
 * not done. Where all places are taken one of them makes room: of the source that holds most, the
 * oldest that has sent nothing. So a flood from one source, or from many, costs itself its places,
 * and who comes while it lasts has as long as the flood needs to fill them all.
 */
export class Unproven {
  readonly #sources = new Map<string, Source>();
  /** By the number of places that they hold. */
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

  /** False where none holds a place. */
  makeRoom(nowMs: number): boolean {
    const [most] = this.#byNumber[this.#most] ?? [];
    return most !== undefined && giveWay(most, nowMs);
  }

  /** The same among those that come from there. */
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
    // One more or one less at a time, so that the next number is beside this one.
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
