/**
 * Finds what the rules of a route read of requests, for code that judges a request again from its
 * record.
 */
import { hashOf } from '../model/hash-of.ts';
import type { HttpRoute, HttpTimeouts, RequestRateLimit, SenderRule } from '../model/http-route.ts';
import type { RecordedHeaders } from '../model/request-record.ts';
import { valuesOf } from '../wire/flat-headers.ts';
import type { FlatHeaders } from '../wire/flat-headers.ts';
import { holds, TAGS_HEADER } from './sender-rules.ts';

/** Headers of such names may have secrets, and are in no record. */
const SECRET = /auth|cookie|token|secret|passw|credential|session|signature|key|csrf|xsrf/;

/** The most names in a record; a name with longer values is left out. */
const MAX_NAMES = 16;
const MAX_CHARS = 2_048;

const ONLY_TAGS: readonly string[] = [TAGS_HEADER];
const namesOf = new WeakMap<HttpRoute, readonly string[]>();
const idOf = new WeakMap<RequestRateLimit, string>();

/**
 * Returns the headers of a request that its record keeps. `http` is null where no route admitted
 * it.
 */
export function recordedHeaders(http: HttpRoute | null, headers: FlatHeaders): RecordedHeaders {
  const kept: Record<string, readonly string[]> = {};
  for (const name of http === null ? ONLY_TAGS : headersRead(http)) {
    const values = valuesOf(headers, name);
    if (values.reduce((sum, { length }) => sum + length, 0) <= MAX_CHARS) kept[name] = values;
  }
  return kept;
}

/** In lower case. Includes `x-kuma-tags`, which Kuma's own rules read. */
function headersRead(http: HttpRoute): readonly string[] {
  const known = namesOf.get(http);
  if (known !== undefined) return known;
  const rules = [...(http.rateLimits ?? []), ...(http.faults ?? [])].flatMap(({ clients = [] }) => clients);
  const names = rules.map(headerOf).filter((name) => name !== null && !SECRET.test(name)) as string[];
  const read = [...new Set([TAGS_HEADER, ...names])].slice(0, MAX_NAMES);
  namesOf.set(http, read);
  return read;
}

function headerOf(rule: SenderRule): string | null {
  return rule.kind === 'tags' ? TAGS_HEADER : rule.kind === 'header' ? rule.name : null;
}

/** Identifies a limit: limits that read and allow the same have the same id. */
export function limitId(limit: RequestRateLimit): string {
  const known = idOf.get(limit);
  if (known !== undefined) return known;
  const id = hashOf(JSON.stringify(limit)).slice(0, 16);
  idOf.set(limit, id);
  return id;
}

/** The known facts about the sender of a request. */
export interface KnownSender {
  readonly headers: FlatHeaders;
  readonly uris: readonly string[];
  /** The headers whose values are known; null means all. */
  readonly known: readonly string[] | null;
}

/** Tells whether the rules cover a request; null where that cannot be known. */
export function mayHold(rules: readonly SenderRule[] | undefined, { known, ...sender }: KnownSender): boolean | null {
  if (known === null) return holds(rules, sender);
  const isKnown = (rule: SenderRule): boolean => {
    const name = headerOf(rule);
    return name === null || known.includes(name);
  };
  const all = rules ?? [];
  if (!holds(all.filter(isKnown), sender)) return false;
  return all.every(isKnown) ? true : null;
}

/** Returns the first limit that covers a request; undefined where that cannot be known. */
export function limitOf({ rateLimits = [] }: HttpRoute, sender: KnownSender): RequestRateLimit | null | undefined {
  for (const limit of rateLimits) {
    const isMet = mayHold(limit.clients, sender);
    if (isMet === null) return undefined;
    if (isMet) return limit;
  }
  return null;
}

/**
 * Returns the timeouts of requests of a sender: its own replace those of all. Undefined where that
 * cannot be known.
 */
export function timeoutsFor({ timeouts = {}, clientTimeouts = [] }: HttpRoute, sender: KnownSender): HttpTimeouts | undefined {
  for (const { clients, ...own } of clientTimeouts) {
    const isMet = mayHold(clients, sender);
    if (isMet === null) return undefined;
    if (isMet) return { ...timeouts, ...own };
  }
  return timeouts;
}
