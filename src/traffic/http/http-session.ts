import { refuse } from '../../base/refusal.ts';
import type { Refusal } from '../../base/refusal.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { Hash64 } from '../../model/endpoint-view.ts';
import type { Target } from '../../routing/choose.ts';
import { logRequest } from '../access-lines.ts';
import type { SessionAccess } from '../access-lines.ts';
import type { SessionContext } from '../session-context.ts';
import type { Exchange, RequestHead } from './exchange.ts';
import type { UnreadRequest } from './front-connection.ts';
import { resetReply } from './local-reply.ts';
import { RequestDraft } from './request-draft.ts';
import type { RequestFacts } from './request-draft.ts';
import { serveRequest } from './request-walk.ts';
import type { JudgedRequest, RequestHost } from './request-walk.ts';
import type { DialListener, UpstreamPools } from './upstream.ts';

/** The side of a session that its requests use. */
export interface HttpSession {
  judge(): JudgedRequest;
  /** Address of the client. */
  readonly client: string;
  /** URI SANs of its certificate. */
  readonly uris: readonly string[];
  /**
   * Returns endpoints in the order to try; throws Refused. `hash` is the key for a balancer that
   * hashes, null for a random one.
   */
  targets(cluster: Cluster, hash?: Hash64 | null): Promise<readonly Target[]>;
  /** Called when a connection to an endpoint is made for one of its requests. */
  readonly dialled: DialListener;
  /** Called when one of its requests is sent to this endpoint. */
  sent(target: Target): void;
  moved(direction: 'up' | 'down', bytes: number): void;
  refused(refusal: Refusal): void;
  /** Called when an answer of the service has begun. */
  answered(): void;
  /** Returns the access logs of its route and what they tell of the session; null without any. */
  access(): SessionAccess | null;
  /** Returns the facts of the session that the record of its next request holds. */
  nextRequest(): RequestFacts;
}

/** The requests of one session: each is walked to its end, and has one record. */
export class HttpRequests {
  readonly #plane: SessionContext;
  readonly #pools: UpstreamPools;
  readonly #session: HttpSession;
  readonly #onRefused: (refusal: Refusal) => void;

  constructor(plane: SessionContext, pools: UpstreamPools, session: HttpSession, onRefused: (refusal: Refusal) => void) {
    this.#plane = plane;
    this.#pools = pools;
    this.#session = session;
    this.#onRefused = onRefused;
  }

  async serve(exchange: Exchange): Promise<void> {
    const draft = this.#draft(exchange.head);
    try {
      await serveRequest(watched(exchange, draft), this.#host(draft));
    } catch (error) {
      this.#plane.fault(error);
      draft.refused(refuse('internal-error', 'a bug of the egress: the log has the stack'));
      if (!exchange.answered) exchange.reply(resetReply('protocol error'));
    }
    this.#report(draft);
  }

  /** Records a request that no codec could read. */
  unread({ reply, why, head, late }: UnreadRequest): void {
    const answered = reply === null ? why : `answered ${reply.status}: ${why}`;
    const refusal = refuse(late === true ? 'request-timeout' : 'malformed-request', answered);
    this.#session.refused(refusal);
    const draft = this.#draft(head);
    draft.refused(refusal);
    if (reply !== null) draft.replied(reply);
    this.#report(draft);
  }

  #host(draft: RequestDraft): RequestHost {
    const session = this.#session;
    const { breakers, clock } = this.#plane;
    return {
      clock,
      pools: this.#pools,
      client: session.client,
      uris: session.uris,
      judge() {
        const judged = session.judge();
        if (judged.kind === 'allowed') draft.admitted(judged.http, judged.cluster.http);
        return judged;
      },
      targets: (cluster, hash) => session.targets(cluster, hash),
      dialled: {
        attempt(target) {
          draft.dialled(target);
          session.dialled.attempt(target);
        },
        connected(ms) {
          draft.connected(ms);
          session.dialled.connected(ms);
        },
      },
      sent(target, host, headers) {
        draft.sent(target, host, headers);
        session.sent(target);
      },
      moved(direction, bytes) {
        draft.moved(direction, bytes);
        session.moved(direction, bytes);
      },
      answered(status, serviceTimeMs, headers) {
        draft.responded(status, serviceTimeMs, headers);
        session.answered();
      },
      completed: () => draft.completed(),
      reset: (reason, detail) => draft.reset(reason, detail),
      timedOut: (which) => draft.timedOut(which),
      delayed: () => draft.delayed(),
      why: (refusal) => draft.refused(refusal),
      refused: (refusal) => {
        draft.refused(refusal);
        session.refused(refusal);
        this.#onRefused(refusal);
      },
      admit(route, limit, index) {
        draft.countedBy(limit);
        return breakers.admitRequest(route, limit, index);
      },
      enter: (cluster) => breakers.enterRequest(cluster),
      enterRetry: (cluster) => breakers.enterRetry(cluster),
      outcome: (cluster, target, outcome) => this.#plane.attempted(cluster, target, outcome),
    };
  }

  #draft(head: RequestHead | null): RequestDraft {
    const { clock } = this.#plane;
    return new RequestDraft(head, this.#session.nextRequest(), { wallMs: clock.wall(), nowMs: clock.now() });
  }

  #report(draft: RequestDraft): void {
    const record = draft.record(this.#plane.clock.now());
    this.#plane.reportRequest(record);
    const access = this.#session.access();
    if (access !== null) logRequest(access, record, draft.heads(), this.#plane);
  }
}

/** Wraps an exchange so that answers of the egress itself are recorded. */
function watched(exchange: Exchange, draft: RequestDraft): Exchange {
  return {
    head: exchange.head,
    body: exchange.body,
    get bodyIsRead() {
      return exchange.bodyIsRead;
    },
    get answered() {
      return exchange.answered;
    },
    get gone() {
      return exchange.gone;
    },
    onGone: (listener) => exchange.onGone(listener),
    reply(reply) {
      draft.replied(reply);
      exchange.reply(reply);
    },
    respond: (head) => exchange.respond(head),
  };
}
