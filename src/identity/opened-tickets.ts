import { LRUCache } from 'lru-cache';
import { openTicket } from './session-ticket.ts';
import type { TicketSession } from './session-ticket.ts';

/** Tickets of one key that are remembered; each takes 2 to 4 KB. */
const REMEMBERED = 500;
const MAC_BYTES = 32;

interface Opened {
  readonly ticket: Buffer;
  readonly session: TicketSession;
}

/**
 * Opens tickets, and remembers what those of TLS 1.2 hold: a client offers one again and again. The
 * same bytes under the same key always hold the same session, so that only the decryption is saved;
 * what is in the session is judged each time. The memory of a key goes with the key.
 */
export class OpenedTickets {
  readonly #of = new WeakMap<Uint8Array, LRUCache<string, Opened>>();

  /** See `openTicket`. */
  open(ticket: Uint8Array, key: Uint8Array): TicketSession | null {
    const name = Buffer.from(ticket.subarray(-MAC_BYTES)).toString('latin1');
    const known = this.#of.get(key)?.get(name);
    if (known !== undefined && known.ticket.equals(ticket)) return known.session;
    const session = openTicket(ticket, key);
    if (session !== null && session.isReused) this.#memoryOf(key).set(name, { ticket: ownCopy(ticket), session });
    return session;
  }

  #memoryOf(key: Uint8Array): LRUCache<string, Opened> {
    let memory = this.#of.get(key);
    if (memory === undefined) {
      memory = new LRUCache<string, Opened>({ max: REMEMBERED });
      this.#of.set(key, memory);
    }
    return memory;
  }
}

/** Copies into memory that no other buffer shares, which would live as long. */
function ownCopy(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
