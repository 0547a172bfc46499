/** Judges a request of an HTTP service before an endpoint is chosen. */
import { refuse } from '../base/refusal.ts';
import type { Refusal } from '../base/refusal.ts';
import type { HttpFault, HttpRoute, RequestRateLimit } from '../model/http-route.ts';
import { holds } from '../routing/sender-rules.ts';
import { printable } from '../routing/route.ts';
import { valuesOf } from '../wire/flat-headers.ts';
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
    const { status, why } = unserved;
    return { refusal: refuse('malformed-request', why), status, text: why, candidates: [] };
  }
  const limits = http.rateLimits ?? [];
  const faults = http.faults ?? [];
  const headers = asked?.headers ?? null;
  const limit = headers === null ? undefined : limits.find(({ clients }) => holds(clients, { headers, uris }));
  const met = headers === null ? [] : faults.filter(({ clients }) => holds(clients, { headers, uris }));
  const candidates = [
    ...limits.map((each) => candidate(limitText(each), headers === null ? null : each === limit)),
    ...faults.map((each) => candidate(faultText(each), headers === null ? null : met.includes(each))),
  ];
  const abort = met.find(({ abort }) => abort !== undefined && abort.percent >= 100)?.abort;
  const refusal =
    abort === undefined ? null : refuse('fault-injected', `a fault answers every such request with ${abort.status}`);
  return { refusal, status: abort?.status ?? null, text: textOf(http, asked), candidates };
}

/**
 * Finds requests that no configuration serves, among those that a question can describe. Traffic
 * refuses more in the bytes of a head (`src/traffic/http/check-head.ts`).
 */
function unservedHead({ method, headers }: AskedRequest): { readonly status: number; readonly why: string } | null {
  if (method === 'TRACE') return { status: 400, why: 'TRACE is not served' };
  if (method === 'CONNECT') return { status: 404, why: 'CONNECT is not served' };
  if (headers === null) return null;
  const encodings = valuesOf(headers, 'transfer-encoding');
  if (valuesOf(headers, 'host').length > 1) return { status: 400, why: 'the request has more than one Host' };
  if (encodings.length > 1 || encodings.some((each) => each.toLowerCase() !== 'chunked'))
    return { status: 501, why: 'the only transfer encoding that is served is chunked' };
  if (valuesOf(headers, 'content-length').length + encodings.length > 1)
    return { status: 400, why: 'the request names the end of its body more than once' };
  const upgrade = valuesOf(headers, 'upgrade').find((each) => each.toLowerCase() !== 'h2c');
  return upgrade === undefined ? null : { status: 403, why: `the upgrade to ${printable(upgrade)} is not served` };
}

function textOf({ rateLimits = [], faults = [], timeouts = {} }: HttpRoute, asked: AskedRequest | null): string {
  const what = asked === null ? 'each request is judged by itself' : `${asked.method} ${printable(asked.path)}`;
  const rules = rateLimits.length + faults.length;
  const timeout = timeouts.requestMs === undefined ? '' : `, answered within ${timeouts.requestMs} ms`;
  return `${what}: ${rules === 0 ? 'no rate limit and no fault' : `${rateLimits.length} rate limits, ${faults.length} faults`}${timeout}`;
}

function candidate(name: string, isMet: boolean | null): Candidate {
  if (isMet === true) return { name, outcome: 'matched', field: '', wanted: '', found: '', place: null };
  const found = isMet === null ? 'the headers of the request are not known' : 'it is about other clients';
  return { name, outcome: 'rejected', field: '', wanted: '', found, place: null };
}

function limitText({ requests, intervalMs, status = 429 }: RequestRateLimit): string {
  return `rate limit of ${requests} requests in ${intervalMs} ms, then ${status}`;
}

function faultText({ delay, abort, bandwidth }: HttpFault): string {
  const parts = [
    ...(delay === undefined ? [] : [`delay of ${delay.ms} ms for ${delay.percent} %`]),
    ...(abort === undefined ? [] : [`abort with ${abort.status} for ${abort.percent} %`]),
    ...(bandwidth === undefined ? [] : [`${bandwidth.kibPerSecond} KiB/s for ${bandwidth.percent} %`]),
  ];
  return `fault: ${parts.join(', ')}`;
}
