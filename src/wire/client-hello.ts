/**
 * Reads the first flight of a TLS client: the name, ALPN and the version of its ClientHello. It
 * knows no socket and changes no byte. It does not judge names (routing does), and it skips
 * extensions that routing does not need, including ECH: it returns the outer name.
 */
import { Buffer } from 'node:buffer';
import { hex, latin1, u16, u8 } from './bytes.ts';
import { MIN_HELLO_BODY, readHelloBody } from './hello-body.ts';
import type { ClientHello } from './hello-body.ts';

export type { ClientHello, OfferedTicket } from './hello-body.ts';

export type HelloResult =
  /**
   * Not a hello yet, and nothing wrong so far. With fewer than `needed` bytes in total (at most the
   * limit) the result stays the same.
   */
  | { readonly kind: 'incomplete'; readonly needed: number }
  | { readonly kind: 'hello'; readonly hello: ClientHello }
  | { readonly kind: 'not-tls'; readonly detail: string }
  | { readonly kind: 'malformed'; readonly detail: string }
  | { readonly kind: 'too-large'; readonly detail: string };

/** The largest hello, record headers included; the same as in Envoy's tls_inspector. */
const DEFAULT_LIMIT = 16_384;

const RECORD_HEADER = 5;
const HANDSHAKE_HEADER = 4;
const MAX_RECORD = 16_384;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;

/**
 * Parses a hello. The result depends only on the bytes, not on how they arrived; bytes after the
 * hello do not change it. The hello may be cut into records at any byte (RFC 8446 5.1). Each call
 * walks the records from the start; the limit bounds the worst case, records of one byte, to 2,730.
 */
export function parseClientHello(bytes: Uint8Array, limit: number = DEFAULT_LIMIT): HelloResult {
  // Ignores bytes beyond the limit, so that one big read gives the same result as many small ones.
  const length = Math.min(bytes.length, limit);
  let record = 0;
  let gathered = 0;
  let total = 0; // length of the handshake message with its header; 0 until the header is there
  let header = 0;

  for (;;) {
    const bad = checkRecordHeader(bytes, record, length);
    if (bad !== null) return bad;
    const start = record + RECORD_HEADER;
    // Judges the type and the major version as they come, the rest of the header only as a whole.
    if (length < start) return incomplete(length, length < record + 2 ? length + 1 : start, limit);
    const size = u16(bytes, record + 3);
    const present = Math.min(size, length - start);

    for (let i = 0; gathered + i < HANDSHAKE_HEADER && i < present; i++) {
      const byte = u8(bytes, start + i);
      if (gathered + i === 0 && byte !== CLIENT_HELLO) return malformed(`handshake message of type ${byte}, not a ClientHello`);
      header = header * 256 + byte;
      if (gathered + i === HANDSHAKE_HEADER - 1) total = HANDSHAKE_HEADER + (header % 2 ** 24);
    }
    if (gathered === 0 && present === 0) return incomplete(length, start + 1, limit);
    if (total > 0) {
      const claim = total - HANDSHAKE_HEADER;
      if (claim < MIN_HELLO_BODY) return malformed(`ClientHello of ${claim} bytes, at least ${MIN_HELLO_BODY} are needed`);
      if (total > limit) return { kind: 'too-large', detail: `the ClientHello says ${total} bytes (limit ${limit})` };
      if (gathered + size >= total) {
        const end = start + total - gathered;
        if (length < end) return incomplete(length, end, limit);
        if (record === 0) return result(readHelloBody(bytes, start + HANDSHAKE_HEADER, { end, length: end }));
        return result(readHelloBody(gather(bytes, total), HANDSHAKE_HEADER, { end: total, length: end }));
      }
    } else if (gathered + size >= HANDSHAKE_HEADER) {
      return incomplete(length, start + HANDSHAKE_HEADER - gathered, limit);
    }
    // The next judgement needs the type of the next record: a foreign type ends the parse at once.
    if (length < start + size) return incomplete(length, start + size + 1, limit);
    gathered += size;
    record = start + size;
  }
}

/**
 * Judges the part of a record header that has arrived. It ignores the minor version, as RFC 8446
 * 5.1 asks.
 */
function checkRecordHeader(bytes: Uint8Array, at: number, length: number): HelloResult | null {
  const there = length - at;
  if (there >= 1 && u8(bytes, at) !== HANDSHAKE) {
    return at === 0 ? notTls(bytes) : malformed(`record of type ${u8(bytes, at)} inside the ClientHello`);
  }
  if (there >= 2 && u8(bytes, at + 1) !== 3) {
    return at === 0 ? notTls(bytes) : malformed(`record of version ${u8(bytes, at + 1)} inside the ClientHello`);
  }
  if (there < RECORD_HEADER) return null;
  const size = u16(bytes, at + 3);
  return size === 0 || size > MAX_RECORD ? malformed(`record of ${size} bytes, 1 to ${MAX_RECORD} are possible`) : null;
}

/** Copies the hello once, when all of it is there. */
function gather(bytes: Uint8Array, total: number): Uint8Array {
  const message = Buffer.allocUnsafe(total);
  let filled = 0;
  for (let record = 0; filled < total; record += RECORD_HEADER + u16(bytes, record + 3)) {
    const start = record + RECORD_HEADER;
    const piece = bytes.subarray(start, start + Math.min(u16(bytes, record + 3), total - filled));
    message.set(piece, filled);
    filled += piece.length;
  }
  return message;
}

function result(hello: ClientHello | string): HelloResult {
  return typeof hello === 'string' ? malformed(hello) : { kind: 'hello', hello };
}

function incomplete(length: number, needed: number, limit: number): HelloResult {
  if (length >= limit) return { kind: 'too-large', detail: `${length} bytes and still incomplete (limit ${limit})` };
  return { kind: 'incomplete', needed: Math.min(needed, limit) };
}

function malformed(detail: string): HelloResult {
  return { kind: 'malformed', detail };
}

/**
 * Names the protocol where a few bytes show it; the usual cause is a client that uses the wrong
 * port.
 */
function notTls(bytes: Uint8Array): HelloResult {
  const text = latin1(bytes, 0, Math.min(bytes.length, 8));
  if (text.startsWith('SSH-')) return { kind: 'not-tls', detail: 'looks like SSH' };
  if (/^(PROXY |\r\n\r\n\0\r\nQ)/.test(text)) return { kind: 'not-tls', detail: 'looks like the PROXY protocol' };
  if (/^[A-Z]{3,7} /.test(text)) return { kind: 'not-tls', detail: 'looks like plain HTTP' };
  if (u8(bytes, 0) >= 0x80 && bytes[2] === 1) return { kind: 'not-tls', detail: 'looks like an SSLv2 hello' };
  if (u8(bytes, 0) === HANDSHAKE && bytes[1] === 0xfe) return { kind: 'not-tls', detail: 'looks like DTLS' };
  return { kind: 'not-tls', detail: `starts with 0x${hex(u8(bytes, 0))}, not with a TLS handshake record` };
}
