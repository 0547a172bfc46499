import type { Clock } from '../../base/clock.ts';
import type { Refusal } from '../../base/refusal.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { Hash64 } from '../../model/endpoint-view.ts';
import type { RequestRateLimit } from '../../model/http-route.ts';
import type { AttemptOutcome } from '../../model/messages.ts';
import type { Route } from '../../model/route.ts';
import type { Target } from '../../routing/choose.ts';
import type { FlatHeaders } from '../../wire/flat-headers.ts';
import type { SessionContext } from '../session-context.ts';
import type { Exchange, RequestHead, ResponseBody, ResponseHead } from './exchange.ts';
import type { HttpSession } from './http-session.ts';
import type { LocalReply, ResetReason } from './local-reply.ts';
import type { RequestBody } from './request-body.ts';
import type { RequestDraft } from './request-draft.ts';
import type { RequestTimeout } from './request-timers.ts';
import type { JudgedRequest, RequestHost } from './request-walk.ts';
import type { DialListener, UpstreamPools } from './upstream.ts';

/** The state that all requests of a connection share. */
export interface RequestsOfConnection {
  readonly plane: SessionContext;
  readonly pools: UpstreamPools;
  readonly session: HttpSession;
  readonly onRefused: (refusal: Refusal) => void;
}

/** Tells the session and the record of a request what happens to it. */
export class HostOfRequest implements RequestHost, DialListener {
  readonly #to: RequestsOfConnection;
  readonly #draft: RequestDraft;
  readonly clock: Clock;
  readonly pools: UpstreamPools;
  readonly client: string;
  readonly uris: readonly string[];

  constructor(to: RequestsOfConnection, draft: RequestDraft) {
    this.#to = to;
    this.#draft = draft;
    this.clock = to.plane.clock;
    this.pools = to.pools;
    this.client = to.session.client;
    this.uris = to.session.uris;
  }

  newCookie(): string {
    return this.#to.session.newCookie();
  }

  get dialled(): DialListener {
    return this;
  }

  attempt(target: Target): void {
    this.#draft.dialled(target);
    this.#to.session.dialled.attempt(target);
  }

  connected(ms: number): void {
    this.#draft.connected(ms);
    this.#to.session.dialled.connected(ms);
  }

  judge(): JudgedRequest {
    const judged = this.#to.session.judge();
    if (judged.kind === 'allowed') this.#draft.admitted(judged.http, judged.cluster.http, judged.wouldRefuse);
    return judged;
  }

  targets(cluster: Cluster, hash?: Hash64 | null): readonly Target[] | Promise<readonly Target[]> {
    return this.#to.session.targets(cluster, hash);
  }

  sent(target: Target, host: string, headers: FlatHeaders): void {
    this.#draft.sent(target, host, headers);
    this.#to.session.sent(target);
  }

  moved(direction: 'up' | 'down', bytes: number): void {
    this.#draft.moved(direction, bytes);
    this.#to.session.moved(direction, bytes);
  }

  answered(status: number, serviceTimeMs: number, headers: FlatHeaders): void {
    this.#draft.responded(status, serviceTimeMs, headers);
    this.#to.session.answered();
  }

  completed(): void {
    this.#draft.completed();
  }

  reset(reason: ResetReason, detail: string): void {
    this.#draft.reset(reason, detail);
  }

  timedOut(which: RequestTimeout): void {
    this.#draft.timedOut(which);
  }

  delayed(): void {
    this.#draft.delayed();
  }

  why(refusal: Refusal): void {
    this.#draft.refused(refusal);
  }

  refused(refusal: Refusal): void {
    this.#draft.refused(refusal);
    this.#to.session.refused(refusal);
    this.#to.onRefused(refusal);
  }

  admit(route: Route, limit: RequestRateLimit, index: number): boolean {
    this.#draft.countedBy(limit);
    return this.#to.plane.breakers.admitRequest(route, limit, index);
  }

  enter(cluster: Cluster): (() => void) | null {
    return this.#to.plane.breakers.enterRequest(cluster);
  }

  enterRetry(cluster: Cluster): (() => void) | null {
    return this.#to.plane.breakers.enterRetry(cluster);
  }

  outcome(cluster: Cluster, target: Target, outcome: AttemptOutcome): void {
    this.#to.plane.attempted(cluster, target, outcome);
  }
}

/** Records the answers of the egress itself. */
export class WatchedExchange implements Exchange {
  readonly #exchange: Exchange;
  readonly #draft: RequestDraft;
  readonly head: RequestHead;
  readonly body: RequestBody | null;

  constructor(exchange: Exchange, draft: RequestDraft) {
    this.#exchange = exchange;
    this.#draft = draft;
    this.head = exchange.head;
    this.body = exchange.body;
  }

  get bodyIsRead(): boolean {
    return this.#exchange.bodyIsRead;
  }

  get answered(): boolean {
    return this.#exchange.answered;
  }

  get gone(): boolean {
    return this.#exchange.gone;
  }

  onGone(listener: () => void): void {
    this.#exchange.onGone(listener);
  }

  reply(reply: LocalReply): void {
    this.#draft.replied(reply);
    this.#exchange.reply(reply);
  }

  respond(head: ResponseHead): ResponseBody {
    return this.#exchange.respond(head);
  }
}
