import type { Clock } from '../../base/clock.ts';
import { Refused } from '../../base/refusal.ts';
import type { Refusal } from '../../base/refusal.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { HttpRoute } from '../../model/http-route.ts';
import type { Target } from '../../routing/choose.ts';
import type { Exchange, ResponseBody } from './exchange.ts';
import { requestHeaders, responseHeaders } from './headers.ts';
import { REPLIES, resetReply } from './local-reply.ts';
import type { LocalReply, ResetReason } from './local-reply.ts';
import type { Lease, UpstreamPools } from './upstream.ts';

/** What is live for the next request of a connection. */
export type Judged =
  | { readonly kind: 'allowed'; readonly http: HttpRoute; readonly cluster: Cluster }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** What a request needs of the connection that it came on. */
export interface RequestHost {
  readonly clock: Clock;
  readonly pools: UpstreamPools;
  judge(): Judged;
  /** Endpoints in the order to try; throws Refused. */
  targets(cluster: Cluster): Promise<readonly Target[]>;
  /** Bytes of bodies. */
  moved(direction: 'up' | 'down', bytes: number): void;
  /** An endpoint takes the request. */
  attempt(target: Target): void;
  /** An answer of the service has begun. */
  answered(): void;
  /** Something a client was refused for. */
  refused(refusal: Refusal): void;
}

/**
 * The walk of a request: judge it, choose an endpoint, forward, pass the answer on. Answers exactly
 * once, whatever happens.
 */
export async function serveRequest(exchange: Exchange, host: RequestHost): Promise<void> {
  const startedAt = host.clock.now();
  const judged = host.judge();
  if (judged.kind === 'refused') {
    host.refused(judged.refusal);
    exchange.reply(replyTo(judged.refusal));
    return;
  }
  const { http, cluster } = judged;
  let fresh = false;
  for (;;) {
    let lease: Lease;
    try {
      const targets = await host.targets(cluster);
      if (exchange.gone) return;
      lease = await host.pools.lease(cluster, targets, fresh);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      host.refused(error.refusal);
      exchange.reply(replyTo(error.refusal));
      return;
    }
    if (exchange.gone) return lease.drop();
    host.attempt(lease.target);
    const outcome = await forward(exchange, host, { lease, http, startedAt });
    // A service may end an idle connection just when a request comes: one that nobody has begun to
    // answer and that may be sent twice gets a new one.
    const again =
      outcome === 'stale' &&
      lease.reused &&
      !fresh &&
      exchange.body === null &&
      /^(GET|HEAD|OPTIONS)$/.test(exchange.head.method);
    if (outcome === 'done') return;
    if (!again) {
      if (!exchange.answered) exchange.reply(resetReply('connection termination'));
      return;
    }
    fresh = true;
  }
}

/**
 * Sends the request and passes the answer on. `stale`: the connection ended before a byte of an
 * answer, and nothing was answered.
 */
function forward(
  exchange: Exchange,
  host: RequestHost,
  { lease, http, startedAt }: { readonly lease: Lease; readonly http: HttpRoute; readonly startedAt: number },
): Promise<'done' | 'stale'> {
  const { head, body } = exchange;
  const { address } = lease.target.endpoint;
  const rewriteTo = http.autoHostRewrite && address.kind === 'name' ? address.name : null;
  return new Promise((resolve) => {
    let answer: ResponseBody | null = null;
    const call = lease.send(
      {
        method: head.method,
        path: head.path,
        body,
        headers: requestHeaders(head.headers, { authority: head.authority, rewriteTo }),
      },
      {
        onSent: (bytes) => host.moved('up', bytes),
        onHead({ status, headers }) {
          host.answered();
          const serviceTimeMs = Math.round(host.clock.now() - startedAt);
          try {
            const out = responseHeaders(headers, { serviceTimeMs, wallMs: host.clock.wall() });
            answer = exchange.respond({ status, headers: out });
          } catch {
            call.cancel();
            exchange.reply(resetReply('protocol error'));
            return resolve('done');
          }
          answer.onDrain(() => call.resume());
        },
        onData(chunk) {
          host.moved('down', chunk.length);
          return answer?.write(chunk) ?? true;
        },
        onEnd(trailers) {
          answer?.end(trailers);
          resolve('done');
        },
        onReset(reason, code) {
          if (answer !== null) answer.reset(code);
          else if (reason === 'connection termination') return resolve('stale');
          else exchange.reply(resetReply(reason));
          resolve('done');
        },
      },
    );
    exchange.onGone(() => {
      call.cancel();
      resolve('done');
    });
  });
}

/** Envoy's answer to what a session would be refused for. */
function replyTo({ code }: Refusal): LocalReply {
  switch (code) {
    case 'denied':
    case 'unsupported-policy':
    case 'wrong-mesh':
    case 'client-not-trusted':
      return REPLIES.denied;
    case 'no-route':
    case 'policy-changed':
      return REPLIES.notFound;
    case 'no-endpoint':
    case 'dns-failed':
    case 'forbidden-address':
      return REPLIES.noEndpoint;
    default:
      return resetReply(RESETS[code] ?? 'remote connection failure');
  }
}

const RESETS: Readonly<Partial<Record<Refusal['code'], ResetReason>>> = {
  'over-limit': 'overflow',
  'connect-timeout': 'connection timeout',
};
