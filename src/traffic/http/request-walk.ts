import type { Clock } from '../../base/clock.ts';
import { Refused, refuse } from '../../base/refusal.ts';
import type { Refusal } from '../../base/refusal.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { Hash64 } from '../../model/endpoint-view.ts';
import type { HttpRoute, HttpTimeouts, RequestRateLimit } from '../../model/http-route.ts';
import type { AttemptOutcome } from '../../model/messages.ts';
import type { Route } from '../../model/route.ts';
import type { Target } from '../../routing/choose.ts';
import { holds } from '../../routing/sender-rules.ts';
import type { Sender } from '../../routing/sender-rules.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import { H2 } from './exchange.ts';
import type { Exchange, ResponseBody } from './exchange.ts';
import { injectFaults, limitedReply, limitFor } from './faults.ts';
import type { Injected } from './faults.ts';
import { requestHash } from './hash-key.ts';
import type { RequestHash } from './hash-key.ts';
import { requestHeaders, responseHeaders, responseTrailers } from './headers.ts';
import { replyTo, resetReply } from './local-reply.ts';
import type { LocalReply, ResetReason } from './local-reply.ts';
import { pacedBody } from './paced-body.ts';
import { RequestTimers, timeoutReply } from './request-timers.ts';
import type { RequestTimeout } from './request-timers.ts';
import type { DialListener, Lease, UpstreamPools } from './upstream.ts';

interface Allowed {
  readonly http: HttpRoute;
  readonly cluster: Cluster;
  readonly route: Route;
  /** Why a permission would have refused it; empty where it did not. */
  readonly wouldRefuse: string;
}

/** The judgement of the next request of a connection, in the live configuration. */
export type JudgedRequest = ({ readonly kind: 'allowed' } & Allowed) | { readonly kind: 'refused'; readonly refusal: Refusal };

/** The side of a connection that a request uses. */
export interface RequestHost {
  readonly clock: Clock;
  readonly pools: UpstreamPools;
  /** Address of the client. */
  readonly client: string;
  /** Returns one value for all requests of the connection, for a cookie that hashes. */
  newCookie(): string;
  /** URI SANs of its certificate. */
  readonly uris: readonly string[];
  judge(): JudgedRequest;
  /** Takes a token of this limit of the route; false where none is left. */
  admit(route: Route, limit: RequestRateLimit, index: number): boolean;
  /**
   * Takes a place among the requests of the cluster. Returns the function that leaves it; null
   * where all places are taken.
   */
  enter(cluster: Cluster): (() => void) | null;
  /** Takes a place among the cluster's requests that are sent a second time. */
  enterRetry(cluster: Cluster): (() => void) | null;
  /**
   * Returns endpoints in the order to try; throws Refused. `hash` is the key for a balancer that
   * hashes, null for a random one.
   */
  targets(cluster: Cluster, hash?: Hash64 | null): readonly Target[] | Promise<readonly Target[]>;
  /** Counts bytes of bodies. */
  moved(direction: 'up' | 'down', bytes: number): void;
  /** Called for connections that are made for the request. */
  readonly dialled: DialListener;
  /** Called when an endpoint takes the request, with this authority and head. */
  sent(target: Target, host: string, headers: FlatHeaders): void;
  /** Reports the outcome of a request at an endpoint. */
  outcome(cluster: Cluster, target: Target, outcome: AttemptOutcome): void;
  /** Called when an answer of the service has begun. */
  answered(status: number, serviceTimeMs: number, headers: FlatHeaders): void;
  /** Called when the whole answer of the service was sent. */
  completed(): void;
  /** Called when the service ended before its answer was complete. */
  reset(reason: ResetReason, detail: string): void;
  timedOut(which: RequestTimeout): void;
  /** Called when a fault holds the request back. */
  delayed(): void;
  /** Records why this request is not served, where the reason does not concern its connection. */
  why(refusal: Refusal): void;
  /** Records a refusal of the client. */
  refused(refusal: Refusal): void;
}

/** A request that may be forwarded, with the settings that hold until its end. */
interface Request {
  readonly exchange: Exchange;
  readonly host: RequestHost;
  readonly http: HttpRoute;
  readonly cluster: Cluster;
  readonly mesh: string;
  readonly startedAt: number;
  readonly timeouts: HttpTimeouts;
  readonly timers: RequestTimers;
  readonly hash: RequestHash | null;
  readonly kibPerSecond: number | null;
  /** The reaction to a timeout or the end of the client; each step sets its own. */
  onEnd: (() => void) | null;
  timedOut: RequestTimeout | null;
}

/**
 * Walks a request: judge it, limit it, apply faults, choose an endpoint, forward it, pass the
 * answer on. Answers exactly once in every case.
 */
export async function serveRequest(exchange: Exchange, host: RequestHost): Promise<void> {
  const startedAt = host.clock.now();
  const judged = host.judge();
  if (judged.kind === 'refused') return refused(exchange, host, judged.refusal);
  const { http, cluster, route } = judged;
  const sender: Sender = { headers: exchange.head.headers, uris: host.uris };
  if (http.limitsFirst === true && isOverLimit(exchange, host, judged, sender)) return;

  let whenGone: (() => void) | null = null;
  exchange.onGone(() => whenGone?.());
  const faults = http.faults ?? [];
  const injected: Injected =
    faults.length === 0
      ? { kind: 'pass', kibPerSecond: null }
      : await injectFaults(faults, exchange, {
          sender,
          clock: host.clock,
          draw: Math.random,
          whenGone: (listener) => (whenGone = listener),
          onDelay: () => host.delayed(),
        });
  if (exchange.gone) return;
  if (injected.kind === 'abort') return exchange.reply(injected.reply);
  if (http.limitsFirst !== true && isOverLimit(exchange, host, judged, sender)) return;

  const leave = host.enter(cluster);
  if (leave === null) {
    host.why(refuse('over-limit', `${cluster.name} has its maximum of requests (maxRequests of its circuit breaker)`));
    return exchange.reply(resetReply('overflow'));
  }
  const timeouts = timeoutsOf(http, cluster, sender);
  const request: Request = {
    exchange,
    host,
    http,
    cluster,
    mesh: route.mesh,
    startedAt,
    timeouts,
    timers: new RequestTimers(host.clock, timeouts, (which) => {
      request.timedOut = which;
      host.timedOut(which);
      request.onEnd?.();
    }),
    hash: http.hashPolicies === undefined ? null : requestHash(http.hashPolicies, exchange.head, host),
    kibPerSecond: injected.kibPerSecond,
    onEnd: null,
    timedOut: null,
  };
  whenGone = () => request.onEnd?.();
  if (exchange.body === null) request.timers.requestRead();
  else exchange.body.whenRead(() => request.timers.requestRead());
  try {
    await carry(request);
  } finally {
    request.timers.end();
    leave();
  }
}

/**
 * Tells whether a limit of the route has no token left for the request; answers the request then.
 */
function isOverLimit(exchange: Exchange, host: RequestHost, { http, route }: Allowed, sender: Sender): boolean {
  const limited = limitFor(http.rateLimits, sender);
  if (limited === null) return false;
  const { requests, intervalMs, percent = 100, enforcedPercent = 100 } = limited.limit;
  if (!isDrawn(percent) || host.admit(route, limited.limit, limited.index) || !isDrawn(enforcedPercent)) return false;
  host.why(refuse('over-limit', `${route.destination} had its ${requests} requests in ${intervalMs} ms (rate limit)`));
  exchange.reply(limitedReply(limited.limit));
  return true;
}

function isDrawn(percent: number): boolean {
  return Math.random() * 100 < percent;
}

function timeoutsOf(
  { timeouts: ofAll = {}, clientTimeouts = [] }: HttpRoute,
  { httpPool }: Cluster,
  sender: Sender,
): HttpTimeouts {
  const own = clientTimeouts.find(({ clients }) => holds(clients, sender));
  const timeouts = own === undefined ? ofAll : { ...ofAll, ...own };
  const limits = [timeouts.maxStreamMs, httpPool?.maxStreamMs].filter((ms) => ms !== undefined && ms > 0);
  return limits.length === 0 ? timeouts : { ...timeouts, maxStreamMs: Math.min(...(limits as number[])) };
}

/**
 * Sends the request, and sends it again on a new connection where the service ended an idle
 * connection just before. It must not have been sent, or must be repeatable and without any byte of
 * an answer, and the cluster must allow one more retry.
 */
async function carry(request: Request): Promise<void> {
  const { exchange, host, cluster } = request;
  const first = await attempt(request, false);
  if (first === 'done') return;
  const leave = first.mayRepeat ? host.enterRetry(cluster) : null;
  if (leave === null) return exchange.reply(first.reply);
  try {
    const second = await attempt(request, true);
    if (second !== 'done') exchange.reply(second.reply);
  } finally {
    leave();
  }
}

interface Unanswered {
  readonly reply: LocalReply;
  readonly mayRepeat: boolean;
}

async function attempt(request: Request, fresh: boolean): Promise<'done' | Unanswered> {
  const { exchange } = request;
  const lease = await leased(request, fresh);
  if (lease === null) return 'done';
  const outcome = await forward(request, lease);
  if (outcome === 'done') return 'done';
  const isSafe = lease.reused && /^(GET|HEAD|OPTIONS)$/.test(exchange.head.method);
  return {
    reply: resetReply(outcome === 'refused' ? 'remote refused stream reset' : 'connection termination'),
    mayRepeat: outcome === 'unsent' ? lease.reused : exchange.body === null && (outcome === 'refused' || isSafe),
  };
}

/** Takes a place on a connection; null where the request is over before it gets one. */
async function leased(request: Request, fresh: boolean): Promise<Lease | null> {
  const { exchange, host, cluster, hash } = request;
  const isOver = (): boolean => exchange.gone || request.timedOut !== null;
  // The wait may continue; its connection then serves the next request.
  let cancel = (): void => {};
  request.onEnd = () => {
    cancel();
    if (request.timedOut !== null && !exchange.gone) exchange.reply(timeoutReply(request.timedOut, exchange.bodyIsRead));
  };
  let lease: Lease;
  try {
    const known = host.targets(cluster, hash === null ? undefined : hash.key);
    const targets = known instanceof Promise ? await known : known;
    if (isOver()) return null;
    const whenOver = (given: () => void): void => void (cancel = given);
    const coming = host.pools.lease({ mesh: request.mesh, cluster, targets, fresh, whenOver, dialled: host.dialled });
    lease = coming instanceof Promise ? await coming : coming;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (!isOver()) refused(exchange, host, error.refusal);
    return null;
  }
  if (!isOver()) return lease;
  lease.drop();
  return null;
}

/**
 * Sends the request and passes the answer on. `stale`: the connection ended before a byte of an
 * answer; `unsent`: before a byte of the request. In both cases nothing was answered. Over 60
 * lines: the events of one answer share whether it has begun.
 */
function forward(request: Request, lease: Lease): Promise<'done' | 'stale' | 'refused' | 'unsent'> {
  const { exchange, host, http, cluster, timers, startedAt } = request;
  const { head, body } = exchange;
  const { address } = lease.target.endpoint;
  const rewriteTo = http.autoHostRewrite && address.kind === 'name' ? address.name : null;
  return new Promise((resolve) => {
    let answer: ResponseBody | null = null;
    const sent = {
      method: head.method,
      path: head.path,
      body,
      headers: requestHeaders(head.headers, {
        fields: head.fields,
        authority: head.authority,
        rewriteTo,
        requestMs: request.timeouts.requestMs ?? 0,
      }),
    };
    let waits = false;
    const onDrain = (): void => {
      timers.moved();
      call.resume();
    };
    host.sent(lease.target, rewriteTo ?? head.authority, sent.headers);
    const call = lease.send(sent, {
      onSent(bytes) {
        timers.moved();
        host.moved('up', bytes);
      },
      onHead({ status, headers, fields, isWhole = false, isComplete = false }) {
        timers.moved();
        host.outcome(cluster, lease.target, outcomeOf(status, head.isGrpc ? fields.grpcStatus : null));
        const serviceTimeMs = Math.round(host.clock.now() - startedAt);
        try {
          const out = responseHeaders(headers, { fields, serviceTimeMs, wallMs: host.clock.wall() });
          for (const cookie of request.hash?.cookies ?? []) out.push('set-cookie', cookie);
          // A paced answer lasts, and may be cut off.
          answer = exchange.respond({ status, headers: out, isWhole, isComplete: isComplete && request.kibPerSecond === null });
          host.answered(status, serviceTimeMs, out);
        } catch {
          call.cancel();
          exchange.reply(resetReply('protocol error'));
          return resolve('done');
        }
        if (request.kibPerSecond !== null) answer = pacedBody(answer, request.kibPerSecond, host.clock);
      },
      onData(chunk) {
        timers.moved();
        host.moved('down', chunk.length);
        if (answer === null || answer.write(chunk)) return true;
        if (!waits) answer.onDrain(onDrain);
        waits = true;
        return false;
      },
      onEnd(trailers) {
        answer?.end(responseTrailers(trailers));
        host.completed();
        resolve('done');
      },
      onReset(reason, code, detail) {
        host.reset(reason, detail);
        const isStale = answer === null && reason === 'connection termination';
        const isSentAway = answer === null && reason === 'remote refused stream reset' && lease.isLeaving();
        // Envoy counts a reset as a failure of the connection, before an answer and within it.
        if (!isSentAway && !(isStale && lease.reused)) host.outcome(cluster, lease.target, 'connect-failed');
        if (answer !== null) {
          answer.reset(code);
          return resolve('done');
        }
        if (isStale) return resolve('stale');
        if (isSentAway) return resolve('refused');
        exchange.reply(resetReply(reason));
        resolve('done');
      },
      onUnsent(detail) {
        host.reset('connection termination', detail);
        if (!lease.reused) host.outcome(cluster, lease.target, 'connect-failed');
        resolve('unsent');
      },
    });
    request.onEnd = () => {
      call.cancel();
      const { timedOut } = request;
      if (timedOut === 'request') host.outcome(cluster, lease.target, 'timeout');
      if (answer !== null) answer.reset(H2.cancel);
      else if (timedOut !== null && !exchange.gone) exchange.reply(timeoutReply(timedOut, exchange.bodyIsRead));
      resolve('done');
    };
    if (exchange.gone || request.timedOut !== null) request.onEnd();
  });
}

/**
 * Maps an answer to the outcome that outlier detection counts. `grpcStatus`: the gRPC status of a
 * gRPC answer, which, if it is in the head, counts instead of the HTTP status.
 */
function outcomeOf(status: number, grpcStatus: string | null): AttemptOutcome {
  const counted = grpcStatus === null ? status : (FAILED_GRPC.get(grpcStatus) ?? 200);
  if (counted < 500) return 'answered';
  return counted >= 502 && counted <= 504 ? 'answered-gateway-error' : 'answered-5xx';
}

/** The gRPC statuses that are failures of the service, with their HTTP statuses. */
const FAILED_GRPC: ReadonlyMap<string, number> = new Map([
  ['2', 500],
  ['4', 504],
  ['12', 501],
  ['13', 500],
  ['14', 503],
  ['15', 500],
]);

function refused(exchange: Exchange, host: RequestHost, refusal: Refusal): void {
  host.refused(refusal);
  exchange.reply(replyTo(refusal));
}
