import { createDecipheriv, createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Unreadable, Walker } from './der-walker.ts';

/** The facts of a session that a ticket holds. */
export interface TicketSession {
  /** The client's own certificate, DER. A ticket does not hold the chain above it. */
  readonly leaf: Buffer;
  /** True for TLS 1.2, where a client offers one ticket again and again. */
  readonly isReused: boolean;
}

/** A key as `tls.Server` takes it: the name that begins each ticket, then two keys. */
interface OpenedKey {
  readonly name: Buffer;
  readonly mac: KeyObject;
  readonly cipher: KeyObject;
}

export const TICKET_NAME_BYTES = 16;
export const TICKET_KEY_BYTES = 48;
const IV_BYTES = 16;
const MAC_BYTES = 32;

const opened = new WeakMap<Uint8Array, OpenedKey>();

/**
 * Opens a ticket of this key, and reads the session in it. Null means that it cannot be resumed: it
 * is not of this key, it was changed, or its session had no verified client. It opens what Node
 * seals (RFC 5077 section 4, AES-128-CBC and HMAC-SHA256) and reads what OpenSSL writes: where a
 * later version of them does either in another way, no ticket can be opened, and each client makes
 * a full handshake. Throws where a ticket of the key holds no session.
 */
export function openTicket(ticket: Uint8Array, key: Uint8Array): TicketSession | null {
  const { name, mac, cipher } = openedKey(key);
  const macAt = ticket.length - MAC_BYTES;
  const bodyAt = TICKET_NAME_BYTES + IV_BYTES;
  if (macAt <= bodyAt || name.compare(ticket, 0, TICKET_NAME_BYTES) !== 0) return null;
  const sum = createHmac('sha256', mac).update(ticket.subarray(0, macAt)).digest();
  if (!timingSafeEqual(sum, ticket.subarray(macAt))) return null;
  const decipher = createDecipheriv('aes-128-cbc', cipher, ticket.subarray(TICKET_NAME_BYTES, bodyAt));
  const parts = [decipher.update(ticket.subarray(bodyAt, macAt)), decipher.final()];
  const der = Buffer.concat(parts);
  try {
    return readSession(der);
  } finally {
    // They hold the secret of the session.
    for (const bytes of [...parts, der]) bytes.fill(0);
  }
}

function openedKey(key: Uint8Array): OpenedKey {
  const known = opened.get(key);
  if (known !== undefined) return known;
  const made = {
    name: Buffer.from(key.subarray(0, TICKET_NAME_BYTES)),
    mac: createSecretKey(key.subarray(16, 32)),
    cipher: createSecretKey(key.subarray(32, 48)),
  };
  opened.set(key, made);
  return made;
}

const TAG = {
  integer: 0x02,
  octetString: 0x04,
  sequence: 0x30,
  peer: 0xa3,
  verifyResult: 0xa5,
  flags: 0xad,
} as const;

const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;
/** The session has an extended master secret (RFC 7627). */
const EXTENDED_MASTER = 1;

/** Reads OpenSSL's SSL_SESSION, as far as it decides. */
function readSession(der: Buffer): TicketSession | null {
  const outer = new Walker(der, 'session');
  const fields = new Walker(outer.next(TAG.sequence).body, 'session');
  outer.end();
  fields.next(TAG.integer);
  const version = numberIn(fields.next(TAG.integer).body);
  for (let i = 0; i < 3; i++) fields.next(TAG.octetString); // cipher, id, master secret
  let leaf: Buffer | null = null;
  let verified = true;
  let flags = 0;
  while (!fields.done) {
    const { tag, body } = fields.next();
    if (tag === TAG.peer) leaf = body;
    // It is there only for an error.
    else if (tag === TAG.verifyResult) verified = false;
    else if (tag === TAG.flags) flags = numberIn(new Walker(body, 'flags').next(TAG.integer).body);
  }
  if (leaf === null || !verified) return null;
  // RFC 7627 section 5.3: a session of TLS 1.2 without it is not bound to its handshake.
  if (version !== TLS_1_3 && (version !== TLS_1_2 || flags % 2 !== EXTENDED_MASTER)) return null;
  const own = Buffer.allocUnsafeSlow(leaf.length);
  leaf.copy(own);
  return { leaf: own, isReused: version === TLS_1_2 };
}

function numberIn(body: Buffer): number {
  if (body.length === 0 || body.length > 6) throw new Unreadable('session: an integer of another size');
  return body.readUIntBE(0, body.length);
}
