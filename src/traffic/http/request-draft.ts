import { refuse } from '../../base/refusal.ts';
import type { EndReason, Refusal } from '../../base/refusal.ts';
import type { RequestRecord, ResponseFlag } from '../../model/request-record.ts';
import { addressKey } from '../../model/endpoint-view.ts';
import type { Target } from '../../routing/choose.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { HttpRoute, RequestRateLimit } from '../../model/http-route.ts';
import { limitId, recordedHeaders } from '../../routing/request-rules.ts';
import { printable } from '../../routing/route.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import type { LoggedHeads } from '../access-lines.ts';
import type { RequestHead } from './exchange.ts';
import { RESET_CAUSES, resetDetails } from './local-reply.ts';
import type { LocalReply, ResetReason } from './local-reply.ts';
import type { RequestTimeout } from './request-timers.ts';
import { timeoutCause } from './request-timers.ts';

/** Facts of the connection that a request record holds. */
export type RequestFacts = Pick<
  RequestRecord,
  'id' | 'session' | 'snapshotVersion' | 'clientAddress' | 'sni' | 'mesh' | 'destination' | 'cluster' | 'spiffeIds' | 'uris'
>;

/** The longest text of a client that a record keeps. */
const MAX_TEXT = 255;
const MAX_METHOD = 32;
const MAX_DETAIL = 1_024;
const NO_HEADERS: FlatHeaders = [];

/** A RequestRecord in the making. */
export class RequestDraft {
  readonly #head: RequestHead | null;
  readonly #facts: RequestFacts;
  readonly #startedAt: number;
  readonly #startedMs: number;
  readonly #flags: ResponseFlag[] = [];
  #refusal: Refusal | null = null;
  #reply: LocalReply | null = null;
  #status = 0;
  #details = '';
  /** The reason why the service ended, in brackets. */
  #why = '';
  #host = '';
  #target: Target | null = null;
  #attempts = 0;
  #connections = 0;
  #connectMs = -1;
  #serviceTimeMs = -1;
  #bytesUp = 0;
  #bytesDown = 0;
  #forwarded = false;
  #whole = false;
  #http: HttpRoute | null = null;
  #upstream: Cluster['http'] | null = null;
  #sent: FlatHeaders | null = null;
  #answer: FlatHeaders | null = null;
  #limit: RequestRateLimit | null = null;
  #wouldRefuse = '';

  constructor(head: RequestHead | null, facts: RequestFacts, now: { readonly wallMs: number; readonly nowMs: number }) {
    this.#facts = facts;
    this.#head = head;
    this.#startedAt = now.wallMs;
    this.#startedMs = now.nowMs;
  }

  /** Records why it is not served; the first reason counts. */
  refused(refusal: Refusal): void {
    this.#refusal ??= refusal;
  }

  /** Records that it is served by the route. */
  admitted(http: HttpRoute, upstream: Cluster['http'], wouldRefuse: string): void {
    this.#wouldRefuse = wouldRefuse.slice(0, MAX_DETAIL);
    this.#http = http;
    this.#upstream = upstream ?? null;
  }

  /** Records the limit that counts it. */
  countedBy(limit: RequestRateLimit): void {
    this.#limit = limit;
  }

  replied(reply: LocalReply): void {
    this.#reply = reply;
    this.#answer = reply.headers ?? NO_HEADERS;
    this.#status = reply.status;
  }

  responded(status: number, serviceTimeMs: number, headers: FlatHeaders): void {
    this.#status = status;
    this.#answer = headers;
    this.#serviceTimeMs = serviceTimeMs;
  }

  delayed(): void {
    this.#flags.push('DI');
  }

  /** Records that an address is dialled for it. */
  dialled(target: Target): void {
    this.#target = target;
    this.#attempts++;
  }

  connected(ms: number): void {
    this.#connections++;
    if (this.#connectMs < 0) this.#connectMs = ms;
  }

  /** Records the endpoint and the authority that it is sent to. */
  sent(target: Target, host: string, headers: FlatHeaders): void {
    this.#target = target;
    this.#host = host;
    this.#sent = headers;
    this.#forwarded = true;
  }

  moved(direction: 'up' | 'down', bytes: number): void {
    if (direction === 'up') this.#bytesUp += bytes;
    else this.#bytesDown += bytes;
  }

  /** Records that the service ended before its answer was complete; a local reply may follow. */
  reset(reason: ResetReason, detail: string): void {
    const why = detail === '' ? '' : ` (${printable(detail)})`;
    this.#why = why;
    if (this.#status === 0) return;
    const { code, flag } = RESET_CAUSES[reason];
    this.#flags.push(flag);
    this.#details = resetDetails(reason, true);
    this.refused(refuse(code, `the answer was cut off: ${reason}${why}`));
  }

  timedOut(which: RequestTimeout): void {
    if (this.#status === 0) return;
    const { code, flag, details } = timeoutCause(which);
    if (flag !== '') this.#flags.push(flag);
    this.#details = details;
    this.refused(refuse(code, `the answer was cut off: ${details.replaceAll('_', ' ')}`));
  }

  /** Records that the egress ended the connection while it ran. */
  cutBy(refusal: Refusal): void {
    if (this.#whole || this.#reply !== null || this.#refusal !== null) return;
    this.#refusal = refusal;
    this.#flags.push('DC');
    this.#details = 'downstream_local_disconnect';
  }

  /** Records that the whole answer was sent. */
  completed(): void {
    this.#whole = true;
  }

  /** Returns the heads, for access logs: no record has them. */
  heads(): LoggedHeads {
    const head = this.#head;
    const request =
      head === null ? null : { ...head, authority: this.#host || head.authority, headers: this.#sent ?? head.headers };
    const upstream = this.#upstream === 'http2' ? 'HTTP/2' : 'HTTP/1.1';
    return { request, response: this.#answer, upstreamProtocol: this.#forwarded ? upstream : '' };
  }

  record(nowMs: number): RequestRecord {
    const head = this.#head;
    const target = this.#target;
    const { reason, detail, details } = this.#end();
    return Object.freeze({
      ...this.#facts,
      reason,
      detail: detail.length > MAX_DETAIL ? `${detail.slice(0, MAX_DETAIL)}...` : detail,
      startedAt: this.#startedAt,
      protocol: head === null ? '' : head.protocol,
      method: head === null ? '' : bounded(head.method, MAX_METHOD),
      path: head === null ? '' : bounded(withoutQuery(head.path)),
      authority: head === null ? '' : bounded(head.authority),
      host: this.#host,
      requestId: head === null ? '' : bounded(head.fields.requestId || sentId(this.#sent)),
      status: this.#status,
      flags: this.#flags.join(','),
      details,
      endpoint: target === null ? '' : addressKey(target.ip, target.endpoint.port),
      endpointTls: (target?.endpoint.tls ?? null) !== null,
      attempts: this.#attempts,
      connections: this.#connections,
      connectMs: micros(this.#connectMs),
      forwarded: this.#forwarded,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
      serviceTimeMs: micros(this.#serviceTimeMs),
      totalMs: micros(nowMs - this.#startedMs),
      headers: head === null ? {} : recordedHeaders(this.#http, head.headers),
      rateLimit: this.#limit === null ? '' : limitId(this.#limit),
      ...(this.#wouldRefuse === '' ? {} : { wouldRefuse: this.#wouldRefuse }),
      ...(head === null || head.fields.traceparent === '' ? {} : { traceparent: head.fields.traceparent }),
    });
  }

  #end(): { readonly reason: EndReason; readonly detail: string; readonly details: string } {
    const reply = this.#reply;
    const refusal = this.#refusal;
    if (reply !== null) {
      const { code, flag, details } = reply.cause;
      if (flag !== '') this.#flags.push(flag);
      const body = reply.body === '' ? '' : ` ${JSON.stringify(reply.body)}`;
      return { reason: refusal?.code ?? code, detail: refusal?.detail ?? `answered ${reply.status}${body}${this.#why}`, details };
    }
    if (refusal !== null) return { reason: refusal.code, detail: refusal.detail, details: this.#details };
    if (this.#whole) return { reason: 'closed', detail: '', details: 'via_upstream' };
    this.#flags.push('DC');
    return { reason: 'client-reset', detail: '', details: 'downstream_remote_disconnect' };
  }
}

/** Returns the id that the egress made for a request without one; it is among the last headers. */
function sentId(headers: FlatHeaders | null): string {
  const at = headers?.lastIndexOf('x-request-id') ?? -1;
  return at < 0 ? '' : (headers?.[at + 1] ?? '');
}

function withoutQuery(path: string): string {
  const query = path.indexOf('?');
  return query < 0 ? path : path.slice(0, query);
}

function bounded(text: string, most: number = MAX_TEXT): string {
  return printable(text.length > most ? text.slice(0, most) : text);
}

/** Rounds milliseconds to the microsecond: further digits are noise, and long to write. */
function micros(ms: number): number {
  return ms < 0 ? -1 : Math.round(ms * 1_000) / 1_000;
}
