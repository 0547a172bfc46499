/**
 * The bytes of sessions: what a TLS client keeps, and what a ticket holds (OpenSSL's SSL_SESSION in
 * DER). Tests change them as an attacker would.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { Walker } from '../../src/identity/der-walker.ts';

export const FIELD = { peer: 0xa3, context: 0xa4, verifyResult: 0xa5, serverName: 0xa6, ticket: 0xaa, flags: 0xad } as const;

const SEQUENCE = 0x30;
const OCTETS = 0x04;
const INTEGER = 0x02;

export function der(tag: number, body: Uint8Array): Buffer {
  const { length } = body;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

export function octets(bytes: Uint8Array): Buffer {
  return der(OCTETS, bytes);
}

export function integer(value: number): Buffer {
  return der(INTEGER, Buffer.from([value]));
}

/** Newer versions of Node write the server name before the session that a client keeps. */
const NODE_MARK = Buffer.from('\0nodejs:tls:session:1\0');

function parted(session: Buffer): { readonly before: Buffer; readonly bytes: Buffer } {
  if (!session.subarray(0, NODE_MARK.length).equals(NODE_MARK)) return { before: Buffer.alloc(0), bytes: session };
  const at = NODE_MARK.length + 2 + session.readUInt16BE(NODE_MARK.length);
  return { before: session.subarray(0, at), bytes: session.subarray(at) };
}

/** Returns the content of a field, without its explicit tag. */
export function fieldOf(session: Buffer, field: number): Buffer | null {
  const fields = new Walker(new Walker(parted(session).bytes, 'session').next(SEQUENCE).body, 'session');
  while (!fields.done) {
    const { tag, body } = fields.next();
    if (tag === field) return body;
  }
  return null;
}

/** Replaces a field, adds it in its order, or removes it. */
export function withField(session: Buffer, field: number, content: Buffer | null): Buffer {
  const { before, bytes } = parted(session);
  const fields = new Walker(new Walker(bytes, 'session').next(SEQUENCE).body, 'session');
  const kept: { tag: number; raw: Buffer }[] = [];
  while (!fields.done) {
    const { tag, raw } = fields.next();
    if (tag !== field) kept.push({ tag, raw });
  }
  const lower = kept.filter(({ tag }) => tag < field).map(({ raw }) => raw);
  const higher = kept.filter(({ tag }) => tag > field).map(({ raw }) => raw);
  const added = content === null ? [] : [der(field, content)];
  return Buffer.concat([before, der(SEQUENCE, Buffer.concat([...lower, ...added, ...higher]))]);
}

export function ticketOf(session: Buffer): Buffer {
  const field = fieldOf(session, FIELD.ticket);
  if (field === null) throw new Error('the session has no ticket');
  return new Walker(field, 'ticket').next(OCTETS).body;
}

export function withTicket(session: Buffer, ticket: Uint8Array): Buffer {
  return withField(session, FIELD.ticket, octets(ticket));
}

/** Node's client offers a session only under the name that it was made for. */
export function withServerName(session: Buffer, name: string): Buffer {
  const { before, bytes } = parted(withField(session, FIELD.serverName, octets(Buffer.from(name))));
  const length = Buffer.from([name.length >> 8, name.length & 255]);
  return before.length === 0 ? bytes : Buffer.concat([NODE_MARK, length, Buffer.from(name), bytes]);
}

/** Opens a ticket with the key that sealed it. */
export function unseal(ticket: Buffer, key: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-128-cbc', key.subarray(32), ticket.subarray(16, 32));
  return Buffer.concat([decipher.update(ticket.subarray(32, -32)), decipher.final()]);
}

export function seal(session: Uint8Array, key: Uint8Array): Buffer {
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-128-cbc', key.subarray(32), iv);
  const body = Buffer.concat([key.subarray(0, 16), iv, cipher.update(session), cipher.final()]);
  return Buffer.concat([body, createHmac('sha256', key.subarray(16, 32)).update(body).digest()]);
}
