/**
 * Lists the heads of requests that are never served, whatever is configured, and the answers that
 * are never forwarded. Traffic and `explain` ask this one list. Pure.
 */
import { METHODS } from 'node:http';
import { printable } from './route.ts';
import type { FlatHeaders, HeadFields } from '../wire/flat-headers.ts';

export interface Http1Head {
  readonly version: string;
  readonly method: string;
  readonly target: string;
  readonly headers: FlatHeaders;
  /** The result of `fieldsOf` for the same headers. */
  readonly fields: HeadFields;
}

/** The answers to a head that is not served, with their statuses. */
export const UNSERVED = {
  badRequest: 400,
  noHost: 400,
  upgrade: 403,
  notFound: 404,
  upgradeRequired: 426,
  headTooLarge: 431,
  notImplemented: 501,
} as const;

export interface UnservedHead {
  readonly kind: 'unserved';
  readonly answer: keyof typeof UNSERVED;
  readonly why: string;
}

/** The parts of an HTTP/1 head, or why it is not served. */
export type CheckedHead = { readonly kind: 'head'; readonly path: string; readonly authority: string } | UnservedHead;

/** The methods of HTTP/1.1; Node's parser accepts no others. */
const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS);
/** Envoy's limit, `max_headers_count`. */
const MAX_HEADERS = 100;
/**
 * Printable ASCII without the characters that end a host or belong to another part of a URL: a name
 * or an address in brackets, and at most one port. Envoy takes any order of colons and brackets.
 */
const HOST = /^(?!.*[/,<>"\\#?@^`{|}])(?:\[[\da-f:.]+\]|[\x21-\x39\x3b-\x5a\x5c\x5e-\x7e]+)(?::\d*)?$/i;
/** More than a double holds would be sent on as another number. */
const MAX_LENGTH = Number.MAX_SAFE_INTEGER;
const PATH = /^\/[\x21-\x22\x24-\x7e]*$/;
/** Headers for the end of a message and its recipient: `Connection` must not name them. */
const OF_THE_MESSAGE = ['host', 'content-length', 'transfer-encoding'] as const;

/**
 * Refuses heads that Node's parser accepts and Envoy does not, and heads that two readers could
 * read differently. An ambiguous head is refused, never repaired.
 */
export function checkHttp1({ version, method, target, headers, fields }: Http1Head): CheckedHead {
  if (version !== '1.1') return unserved('upgradeRequired', `HTTP/${version} is not served`);
  if (headers.length / 2 > MAX_HEADERS) return unserved('headTooLarge', `the request has over ${MAX_HEADERS} headers`);
  const { hosts, contentLengths, transferEncodings, connectionNames, upgrades } = fields;
  const [host = ''] = hosts;
  if (hosts.length > 1) return unserved('badRequest', 'the request has more than one Host');
  if (!isServedEncoding(transferEncodings))
    return unserved('notImplemented', 'the only transfer encoding that is served is chunked');
  if (contentLengths.length + transferEncodings.length > 1)
    return unserved('badRequest', 'the request names the end of its body more than once');
  if (Number(contentLengths[0] ?? 0) > MAX_LENGTH) return unserved('badRequest', 'the length of the body is no exact number');
  const named = OF_THE_MESSAGE.find((name) => connectionNames.has(name));
  if (named !== undefined) return unserved('badRequest', `Connection names ${named}`);
  const unservedMethod = checkMethod(method);
  if (unservedMethod !== null) return unservedMethod;
  const place = placeOf(target, host);
  if (place === null) return unserved('badRequest', 'the target is neither a path nor a URL of http or https');
  const wrong = checkAuthority(place.authority) ?? (host === '' ? null : checkAuthority(host)) ?? checkPath(method, place.path);
  if (wrong !== null) return wrong;
  const upgrade = upgrades.find((each) => each.toLowerCase() !== 'h2c');
  if (upgrade !== undefined) return unserved('upgrade', `the upgrade to ${printable(upgrade)} is not served`);
  return { kind: 'head', ...place };
}

/** Makes the checks of HTTP/2 that its library leaves to its user. */
export function checkHttp2({
  method,
  path,
  authority,
  fields,
}: {
  method: string;
  path: string;
  authority: string;
  fields?: Pick<HeadFields, 'contentLengths'>;
}): UnservedHead | null {
  if (Number(fields?.contentLengths[0] ?? 0) > MAX_LENGTH)
    return unserved('badRequest', 'the length of the body is no exact number');
  if (!KNOWN_METHODS.has(method)) return unserved('badRequest', `the method ${printable(method)} is not known`);
  return checkMethod(method) ?? checkPath(method, path) ?? checkAuthority(authority);
}

function unserved(answer: UnservedHead['answer'], why: string): UnservedHead {
  return { kind: 'unserved', answer, why };
}

function checkMethod(method: string): UnservedHead | null {
  if (method === 'TRACE') return unserved('badRequest', 'TRACE is not served');
  return method === 'CONNECT' ? unserved('notFound', 'CONNECT is not served') : null;
}

function checkAuthority(host: string): UnservedHead | null {
  if (host === '') return unserved('noHost', 'the request names no host');
  return HOST.test(host) ? null : unserved('badRequest', `${printable(host)} cannot be the name of a host`);
}

function checkPath(method: string, path: string): UnservedHead | null {
  if (path === '*')
    return unserved(method === 'OPTIONS' ? 'notFound' : 'badRequest', `the target * of ${printable(method)} is not served`);
  return PATH.test(path) ? null : unserved('badRequest', 'the path has a character that no path may have');
}

/** Splits the absolute form, which names the authority itself; only its path is forwarded. */
function placeOf(target: string, host: string): { readonly path: string; readonly authority: string } | null {
  if (target.startsWith('/') || target === '*') return { path: target, authority: host };
  const [, authority, path] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target) ?? [];
  if (authority === undefined || path === undefined) return null;
  return { authority, path: path === '' ? '/' : path.startsWith('?') ? `/${path}` : path };
}

function isServedEncoding(encodings: readonly string[]): boolean {
  return encodings.length === 0 || (encodings.length === 1 && encodings[0]?.toLowerCase() === 'chunked');
}

/**
 * Returns why an HTTP/1.1 answer cannot be forwarded; null where it can. An answer whose end two
 * readers could place differently is an error of its service.
 */
export function answerFault(status: number, headers: FlatHeaders, fields: HeadFields): string | null {
  const { transferEncodings, contentLengths } = fields;
  if (status < 200) return `status ${status} is the end of no answer`;
  if (headers.length / 2 > MAX_HEADERS) return `the answer has over ${MAX_HEADERS} headers`;
  if (!isServedEncoding(transferEncodings)) return 'the only transfer encoding that is served is chunked';
  if (Number(contentLengths[0] ?? 0) > MAX_LENGTH) return 'the length of the body is no exact number';
  const isEmpty = transferEncodings.length === 0 && contentLengths.every((length) => /^0+$/.test(length));
  return status !== 204 || isEmpty ? null : 'an answer with status 204 announces a body';
}
