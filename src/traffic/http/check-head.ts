import { METHODS } from 'node:http';
import { connectionNames } from './headers.ts';
import { valuesOf } from '../../wire/flat-headers.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import { REPLIES } from './local-reply.ts';
import type { LocalReply } from './local-reply.ts';

export interface Http1Head {
  readonly version: string;
  readonly method: string;
  readonly target: string;
  readonly headers: FlatHeaders;
}

/** The parts of an HTTP/1 head, or the answer that refuses it. */
export type CheckedHead =
  | { readonly kind: 'head'; readonly path: string; readonly authority: string; readonly headers: FlatHeaders }
  | { readonly kind: 'refused'; readonly reply: LocalReply };

/** The methods of HTTP/1.1; Node's parser accepts no others. */
const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS);
/** Envoy's limit, `max_headers_count`. */
const MAX_HEADERS = 100;
/** Printable ASCII without the characters that end a host or belong to another part of a URL. */
const HOST = /^(?!.*[/,<>"\\#?@^`{|}])[\x21-\x7e]+$/;
const PATH = /^\/[\x21-\x22\x24-\x7e]*$/;

/**
 * Refuses heads that Node's parser accepts and Envoy does not, and heads that two readers could
 * read differently. An ambiguous head is refused, never repaired.
 */
export function checkHttp1({ version, method, target, headers }: Http1Head): CheckedHead {
  if (version !== '1.1') return refused(REPLIES.upgradeRequired);
  if (headers.length / 2 > MAX_HEADERS) return refused(REPLIES.headTooLarge);
  const hosts = valuesOf(headers, 'host');
  const [host = ''] = hosts;
  if (hosts.length > 1) return refused(REPLIES.badRequest);
  const encodings = valuesOf(headers, 'transfer-encoding');
  if (encodings.length > 1 || (encodings.length === 1 && encodings[0]?.toLowerCase() !== 'chunked'))
    return refused(REPLIES.notImplemented);
  if (valuesOf(headers, 'content-length').length + encodings.length > 1) return refused(REPLIES.badRequest);
  const named = connectionNames(headers);
  if (named.has('host') || named.has('content-length') || named.has('transfer-encoding')) return refused(REPLIES.badRequest);
  if (method === 'TRACE') return refused(REPLIES.badRequest);
  if (method === 'CONNECT') return refused(REPLIES.notFound);
  const place = placeOf(target, host);
  if (place === null) return refused(REPLIES.badRequest);
  if (place.authority === '') return refused(REPLIES.noHost);
  if (!HOST.test(place.authority) || (host !== '' && !HOST.test(host))) return refused(REPLIES.badRequest);
  if (place.path === '*') return refused(method === 'OPTIONS' ? REPLIES.notFound : REPLIES.badRequest);
  if (!PATH.test(place.path)) return refused(REPLIES.badRequest);
  const upgrades = valuesOf(headers, 'upgrade');
  if (upgrades.some((each) => each.toLowerCase() !== 'h2c')) return refused(REPLIES.upgrade);
  return { kind: 'head', ...place, headers };
}

function refused(reply: LocalReply): CheckedHead {
  return { kind: 'refused', reply };
}

/** Splits the absolute form, which names the authority itself; only its path is forwarded. */
function placeOf(target: string, host: string): { readonly path: string; readonly authority: string } | null {
  if (target.startsWith('/') || target === '*') return { path: target, authority: host };
  const [, authority, path] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target) ?? [];
  if (authority === undefined || path === undefined) return null;
  return { authority, path: path === '' ? '/' : path.startsWith('?') ? `/${path}` : path };
}

/** Makes the checks of HTTP/2 that its library leaves to its user. */
export function checkHttp2({ method, path, authority }: { method: string; path: string; authority: string }): LocalReply | null {
  if (method === 'TRACE' || !KNOWN_METHODS.has(method)) return REPLIES.badRequest;
  if (method === 'CONNECT') return REPLIES.notFound;
  if (path === '*') return method === 'OPTIONS' ? REPLIES.notFound : REPLIES.badRequest;
  if (!PATH.test(path)) return REPLIES.badRequest;
  if (authority === '') return REPLIES.noHost;
  return HOST.test(authority) ? null : REPLIES.badRequest;
}

/**
 * Tells whether an HTTP/1.1 answer can be forwarded. An answer whose end two readers could place
 * differently is an error of its service.
 */
export function isSoundAnswer(status: number, headers: FlatHeaders): boolean {
  if (status < 200 || headers.length / 2 > MAX_HEADERS) return false;
  const encodings = valuesOf(headers, 'transfer-encoding');
  const [encoding] = encodings;
  if (encodings.length > 1 || (encoding !== undefined && encoding.toLowerCase() !== 'chunked')) return false;
  return status !== 204 || (encoding === undefined && valuesOf(headers, 'content-length').every((length) => /^0+$/.test(length)));
}
