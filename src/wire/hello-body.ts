/**
 * Parses the inside of a ClientHello, given in one piece. It is strict where routing depends on it:
 * the endpoint's TLS library reads the same bytes later, so bytes that two parsers could read
 * differently are refused.
 */
import { hex, latin1, u16, u8 } from './bytes.ts';

export interface ClientHello {
  /** Latin1, exactly as sent, in its case; never empty. Null where the hello has no server name. */
  readonly serverName: string | null;
  /** In the client's order, latin1. */
  readonly alpn: readonly string[];
  /**
   * The highest version offered that this parser knows; `unknown` where the client offers only
   * others (drafts).
   */
  readonly maxVersion: HelloVersion;
  readonly ticket: OfferedTicket;
  /**
   * Bytes from the start to the end of the hello, record headers included. The bytes after it
   * belong to the next message.
   */
  readonly length: number;
}

/**
 * The one ticket of an earlier session that the client offers, of TLS 1.2 or 1.3. `unclear` where
 * it offers several, or the lengths disagree: only the TLS library knows which one it would take.
 */
export type OfferedTicket = Uint8Array | 'unclear' | null;

export type HelloVersion = 'SSLv3' | 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3' | 'unknown';

/** Version, random, empty session id, one cipher suite, one compression method. */
export const MIN_HELLO_BODY: number = 2 + 32 + 1 + 4 + 2;

const SERVER_NAME = 0;
const ALPN = 16;
const SESSION_TICKET = 35;
const PRE_SHARED_KEY = 41;
const SUPPORTED_VERSIONS = 43;

const NO_ALPN: readonly string[] = [];

/**
 * Reads the body by RFC 8446 4.1.2. Every length must end exactly where its surrounding structure
 * ends.
 */
export function readHelloBody(
  bytes: Uint8Array,
  start: number,
  to: { readonly end: number; readonly length: number },
): ClientHello | string {
  const { end, length } = to;
  const version = u16(bytes, start);
  if (version >> 8 !== 3) return `ClientHello of version 0x${hex(version)}`;

  // MIN_HELLO_BODY bytes are there: each field before the extensions is checked before it can reach
  // beyond them.
  let at = start + 34;
  const session = u8(bytes, at);
  if (session > 32) return `session id of ${session} bytes, at most 32 are possible`;
  at += 1 + session;
  if (at + 2 > end) return beyond('session id');
  const suites = u16(bytes, at);
  if (suites === 0 || suites % 2 !== 0) return `cipher suites of ${suites} bytes, an even number above 0 is possible`;
  at += 2 + suites;
  if (at + 1 > end) return beyond('cipher suites');
  const compressions = u8(bytes, at);
  if (compressions === 0) return 'no compression method';
  at += 1 + compressions;
  if (at > end) return beyond('compression methods');

  if (at === end) return hello(null, NO_ALPN, { maxVersion: legacyVersion(version), ticket: null, length });
  if (at + 2 > end) return beyond('extensions');
  const extensions = u16(bytes, at);
  at += 2;
  if (at + extensions !== end) return `extensions of ${extensions} bytes where ${end - at} are left`;
  return parseExtensions(bytes, at, { end, version, length });
}

/**
 * The number of the hello in which each extension type was last seen. It is never cleared, so that
 * a hello costs only its own extensions; comparing all pairs would let 4,000 extensions in 16 KiB
 * cost 8 million steps.
 */
const seenIn = new Uint32Array(65_536);
let helloNumber = 0;

function parseExtensions(
  bytes: Uint8Array,
  start: number,
  of: { readonly end: number; readonly version: number; readonly length: number },
): ClientHello | string {
  const { end } = of;
  helloNumber = (helloNumber + 1) % 2 ** 32;
  if (helloNumber === 0) {
    seenIn.fill(0);
    helloNumber = 1;
  }
  let serverName: string | null = null;
  let alpn = NO_ALPN;
  let maxVersion = legacyVersion(of.version);
  let ticket: OfferedTicket = null;

  for (let at = start; at < end;) {
    if (at + 4 > end) return beyond('extension header');
    const type = u16(bytes, at);
    const data = at + 4;
    const dataEnd = data + u16(bytes, at + 2);
    if (dataEnd > end) return beyond(`extension ${type}`);
    if (seenIn[type] === helloNumber) return `extension ${type} twice`;
    seenIn[type] = helloNumber;
    at = dataEnd;

    if (type === SERVER_NAME) {
      const bad = checkServerName(bytes, data, dataEnd);
      if (bad !== null) return bad;
      serverName = latin1(bytes, data + 5, dataEnd);
    } else if (type === ALPN) {
      const list = readAlpn(bytes, data, dataEnd);
      if (list === null) return 'the ALPN list is empty, or its lengths disagree';
      alpn = list;
    } else if (type === SUPPORTED_VERSIONS) {
      const highest = highestVersion(bytes, data, dataEnd);
      if (highest === null) return 'the list of supported versions is empty, or its lengths disagree';
      maxVersion = highest;
    } else if (type === SESSION_TICKET) {
      // An empty one asks for a ticket.
      if (dataEnd > data) ticket = ticket === null ? bytes.subarray(data, dataEnd) : 'unclear';
    } else if (type === PRE_SHARED_KEY) {
      ticket = ticket === null ? readPreSharedKey(bytes, data, dataEnd) : 'unclear';
    }
  }
  return hello(serverName, alpn, { maxVersion, ticket, length: of.length });
}

/**
 * Checks RFC 6066 3: each name type occurs at most once and host_name is the only type, so the list
 * has exactly one entry that ends where the list ends. Routing judges the characters, except NUL,
 * which many other programs take for the end of a name.
 */
function checkServerName(bytes: Uint8Array, start: number, end: number): string | null {
  if (start + 5 > end || u16(bytes, start) !== end - start - 2) return 'the length of the server name list disagrees';
  if (u8(bytes, start + 2) !== 0) return `server name of type ${u8(bytes, start + 2)}`;
  const size = u16(bytes, start + 3);
  if (size === 0) return 'the server name is empty';
  if (start + 5 + size > end) return 'the server name reaches beyond its list';
  if (start + 5 + size < end) return 'more than one server name';
  if (size > 255) return `server name of ${size} bytes, at most 255 are possible`;
  for (let at = start + 5; at < end; at++) {
    if (bytes[at] === 0) return 'the server name has a NUL';
  }
  return null;
}

/** Reads RFC 7301 3.1. */
function readAlpn(bytes: Uint8Array, start: number, end: number): string[] | null {
  if (start + 4 > end || u16(bytes, start) !== end - start - 2) return null;
  const list: string[] = [];
  for (let at = start + 2; at < end;) {
    const size = u8(bytes, at);
    if (size === 0 || at + 1 + size > end) return null;
    list.push(latin1(bytes, at + 1, at + 1 + size));
    at += 1 + size;
  }
  return list;
}

/** Reads RFC 8446 4.2.1; skips GREASE and drafts. */
function highestVersion(bytes: Uint8Array, start: number, end: number): HelloVersion | null {
  const size = end - start - 1;
  if (size < 2 || size % 2 !== 0 || u8(bytes, start) !== size) return null;
  let highest = 0;
  for (let at = start + 1; at < end; at += 2) {
    const version = u16(bytes, at);
    if (version >= 0x0300 && version <= 0x0304 && version > highest) highest = version;
  }
  return highest === 0x0304 ? 'TLSv1.3' : highest === 0 ? 'unknown' : legacyVersion(highest);
}

/** Reads RFC 8446 4.2.11 as far as the identities; the TLS library checks the rest. */
function readPreSharedKey(bytes: Uint8Array, start: number, end: number): OfferedTicket {
  if (start + 4 > end) return 'unclear';
  const listEnd = start + 2 + u16(bytes, start);
  const identity = start + 4;
  const identityEnd = identity + u16(bytes, start + 2);
  // The age of the ticket follows its identity.
  if (listEnd > end || identityEnd === identity || identityEnd + 4 !== listEnd) return 'unclear';
  return bytes.subarray(identity, identityEnd);
}

/**
 * A hello without supported_versions means at most TLS 1.2, even when it names a higher version.
 */
function legacyVersion(version: number): HelloVersion {
  switch (version) {
    case 0x0300:
      return 'SSLv3';
    case 0x0301:
      return 'TLSv1';
    case 0x0302:
      return 'TLSv1.1';
    default:
      return 'TLSv1.2';
  }
}

function hello(
  serverName: string | null,
  alpn: readonly string[],
  rest: { readonly maxVersion: HelloVersion; readonly ticket: OfferedTicket; readonly length: number },
): ClientHello | string {
  return { serverName, alpn, maxVersion: rest.maxVersion, ticket: rest.ticket, length: rest.length };
}

function beyond(what: string): string {
  return `the ${what} would reach beyond the ClientHello`;
}
