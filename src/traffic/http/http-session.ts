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
import { HostOfRequest, WatchedExchange } from './request-host.ts';
import type { RequestsOfConnection } from './request-host.ts';
import { serveRequest } from './request-walk.ts';
import type { JudgedRequest } from './request-walk.ts';
import type { DialListener, UpstreamPools } from './upstream.ts';

/** The side of a session that its requests use. */
export interface HttpSession {
  judge(): JudgedRequest;
  /** Address of the client. */
  readonly client: string;
  /** Returns one value for all requests of the connection, for a cookie that hashes. */
  newCookie(): string;
  /** URI SANs of its certificate. */
  readonly uris: readonly string[];
  /**
   * Returns endpoints in the order to try; throws Refused. `hash` is the key for a balancer that
   * hashes, null for a random one.
   */
  targets(cluster: Cluster, hash?: Hash64 | null): readonly Target[] | Promise<readonly Target[]>;
  /** Called when a connection to an endpoint is made for one of its requests. */
  readonly dialled: DialListener;
  /** Called when one of its requests is sent to this endpoint. */
  sent(target: Target): void;
  moved(direction: 'up' | 'down', bytes: number): void;
  refused(refusal: Refusal): void;
  /** Returns why the egress ended the connection; null where it did not. */
  endedBy(): Refusal | null;
  /** Called when an answer of the service has begun. */
  answered(): void;
  /** Returns the access logs of its route and what they tell of the session; null without any. */
  access(): SessionAccess | null;
  /** Returns the facts of the session that the record of its next request holds. */
  nextRequest(): RequestFacts;
}

/** The requests of one session: each is walked to its end, and has one record. */
export class HttpRequests {
  readonly #shared: RequestsOfConnection;

  constructor(plane: SessionContext, pools: UpstreamPools, session: HttpSession, onRefused: (refusal: Refusal) => void) {
    this.#shared = { plane, pools, session, onRefused };
  }

  async serve(exchange: Exchange): Promise<void> {
    const draft = this.#draft(exchange.head);
    try {
      await serveRequest(new WatchedExchange(exchange, draft), new HostOfRequest(this.#shared, draft));
    } catch (error) {
      this.#shared.plane.fault(error);
      draft.refused(refuse('internal-error', 'a bug of the egress: the log has the stack'));
      if (!exchange.answered) exchange.reply(resetReply('protocol error'));
    }
    this.#report(draft);
  }

  /** Records a request that no codec could read. */
  unread({ reply, why, head, late }: UnreadRequest): void {
    const answered = reply === null ? why : `answered ${reply.status}: ${why}`;
    const refusal = refuse(late === true ? 'request-timeout' : 'malformed-request', answered);
    this.#shared.session.refused(refusal);
    const draft = this.#draft(head);
    draft.refused(refusal);
    if (reply !== null) draft.replied(reply);
    this.#report(draft);
  }

  #draft(head: RequestHead | null): RequestDraft {
    const { clock } = this.#shared.plane;
    return new RequestDraft(head, this.#shared.session.nextRequest(), { wallMs: clock.wall(), nowMs: clock.now() });
  }

  #report(draft: RequestDraft): void {
    const end = this.#shared.session.endedBy();
    if (end !== null) draft.cutBy(end);
    const record = draft.record(this.#shared.plane.clock.now());
    this.#shared.plane.reportRequest(record);
    const access = this.#shared.session.access();
    if (access !== null) logRequest(access, record, draft.heads(), this.#shared.plane);
  }
}
