/** Judges a request of an HTTP service before an endpoint is chosen. */
import { plural } from '../base/plural.ts';
import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import type { HttpFault, HttpRoute, RequestRateLimit } from '../model/http-route.ts';
import { checkHttp1, UNSERVED } from '../routing/check-head.ts';
import type { UnservedHead } from '../routing/check-head.ts';
import { limitOf, mayHold, timeoutsFor } from '../routing/request-rules.ts';
import type { KnownSender } from '../routing/request-rules.ts';
import { printable } from '../routing/route.ts';
import { fieldsOf } from '../wire/flat-headers.ts';
import type { AskedRequest } from './facts.ts';
import type { Candidate } from './trace.ts';

export interface TracedRequest {
  /** Set where the egress answers every such request itself. */
  readonly refusal: Refusal | null;
  /** The status of its answer; null where it gives none. */
  readonly status: number | null;
  readonly text: string;
  readonly candidates: readonly Candidate[];
}

export function judgeRequest(http: HttpRoute, asked: AskedRequest | null, uris: readonly string[]): TracedRequest {
  const unserved = asked === null ? null : unservedHead(asked);
  if (unserved !== null) {
    const { answer, why } = unserved;
    return { refusal: refuse('malformed-request', why), status: UNSERVED[answer], text: why, candidates: [] };
  }
  const limits = http.rateLimits ?? [];
  const faults = http.faults ?? [];
  const sender = asked === null ? null : senderOf(asked, uris);
  const isMet = (clients: RequestRateLimit['clients']): boolean | null => (sender === null ? null : mayHold(clients, sender));
  const limit = sender === null ? undefined : limitOf(http, sender);
  const countsIt = (each: RequestRateLimit): boolean | null =>
    limit !== undefined ? each === limit : isMet(each.clients) === false ? false : null;
  const met = faults.filter(({ clients }) => isMet(clients) === true);
  const candidates = [
    ...limits.map((each) => candidate(limitText(each), countsIt(each))),
    ...faults.map((each) => candidate(faultText(each), isMet(each.clients))),
  ];
  const abort = met.find(({ abort }) => abort !== undefined && abort.percent >= 100)?.abort;
  const refusal =
    abort === undefined ? null : refuse('fault-injected', `a fault answers every such request with ${abort.status}`);
  return { refusal, status: abort?.status ?? null, text: textOf(http, asked, uris), candidates };
}

export function senderOf({ headers, known }: AskedRequest, uris: readonly string[]): KnownSender {
  return { headers, uris, known: known ?? null };
}

/**
 * Checks the head as traffic checks that of HTTP/1.1. A question that names no Host, and one whose
 * headers are not known, is about a request with a Host that can be served.
 */
function unservedHead({ method, path, headers: known }: AskedRequest): UnservedHead | null {
  const named = fieldsOf(known).hosts.length > 0 ? known : [...known, 'host', 'any'];
  const checked = checkHttp1({ version: '1.1', method, target: path, headers: named, fields: fieldsOf(named) });
  return checked.kind === 'unserved' ? checked : null;
}

function textOf(http: HttpRoute, asked: AskedRequest | null, uris: readonly string[]): string {
  const { rateLimits = [], faults = [] } = http;
  const what = asked === null ? 'each request is judged by itself' : `${asked.method} ${printable(asked.path)}`;
  const rules = rateLimits.length + faults.length;
  const { requestMs = 0 } = timeoutsFor(http, asked === null ? { headers: [], uris, known: [] } : senderOf(asked, uris)) ?? {};
  const timeout = requestMs === 0 ? '' : `, answered within ${requestMs} ms`;
  return `${what}: ${rules === 0 ? 'no rate limit and no fault' : `${plural(rateLimits.length, 'rate limit')}, ${plural(faults.length, 'fault')}`}${timeout}`;
}

function candidate(name: string, isMet: boolean | null): Candidate {
  if (isMet === true) return { name, outcome: 'matched', field: '', wanted: '', found: '', place: null };
  const found = isMet === null ? 'the headers of the request are not known' : 'it is about other clients';
  return { name, outcome: 'rejected', field: '', wanted: '', found, place: null };
}

export function limitText({ requests, intervalMs, status = 429 }: RequestRateLimit): string {
  return `rate limit of ${requests} requests in ${intervalMs} ms, then ${status}`;
}

export function faultText({ delay, abort, bandwidth }: HttpFault): string {
  const parts = [
    ...(delay === undefined ? [] : [`delay of ${delay.ms} ms for ${delay.percent} %`]),
    ...(abort === undefined ? [] : [`abort with ${abort.status} for ${abort.percent} %`]),
    ...(bandwidth === undefined ? [] : [`${bandwidth.kibPerSecond} KiB/s for ${bandwidth.percent} %`]),
  ];
  return `fault: ${parts.join(', ')}`;
}
