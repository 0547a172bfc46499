import type { Clock, Timer } from '../../base/clock.ts';
import { Scope } from '../../base/scope.ts';
import type { AdsProtocol, AdsState, AdsType } from '../messages/ads-state.ts';
import type { Accept } from './held-resources.ts';
import type { Node } from '#envoy/config/core/v3/base_pb.js';
import type { ProblemReason, StreamEnd, StreamProblem } from './stream-problem.ts';
import { explainDeletion, explainEnd, explainSilence, hasReadinessPort } from './stream-problem.ts';
import type { Finding, StreamEvent, TypeStatus } from './subscriptions.ts';
import { StreamWaits } from './stream-waits.ts';
import { PROTOCOLS } from './protocols.ts';
import { Subscriptions } from './subscriptions.ts';
import type { AdsStream, AdsTarget, AdsTls, KeepAlive } from './transport.ts';
import { openStream } from './transport.ts';

export interface AdsClientOptions {
  readonly clock: Clock;
  /** From the bootstrap. */
  readonly protocol: AdsProtocol;
  readonly target: AdsTarget;
  /** From the bootstrap; sent once per stream. */
  readonly node: Node;
  /**
   * Called for each stream, so that a rotated token is used; null where the control plane asks for
   * none. Rejects when the token cannot be read.
   */
  readonly token: () => Promise<string | null>;
  readonly tls: AdsTls;
  readonly accept: Accept;
  /**
   * Called after each response that was accepted or changed something. Unchanged maps are the same
   * objects as before.
   */
  readonly onState: (state: AdsState) => void;
  readonly onEvent: (event: AdsEvent) => void;
  readonly keepAlive?: KeepAlive;
  /** Returns a number from 0 to below 1: the jitter of the waits. */
  readonly random?: () => number;
}

/**
 * One log line each. An event that repeats is reported once until it changes. Findings are about
 * received resources.
 */
export type AdsEvent =
  | Finding
  /** The first response on a stream. */
  | { readonly kind: 'connected'; readonly attempts: number }
  | (StreamFailure & { readonly kind: 'disconnected'; readonly wasLive: boolean; readonly retryInMs: number })
  /** Refused as busy for longer than the control plane keeps a name: another proxy uses it. */
  | { readonly kind: 'name-taken'; readonly message: string; readonly forMs: number }
  /** Connected, without any response. */
  | { readonly kind: 'silent'; readonly message: string; readonly forMs: number };

export interface StreamFailure extends StreamProblem {
  readonly reason: ProblemReason;
  /** gRPC status code. */
  readonly code: number;
  readonly message: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

export interface AdsStatus {
  readonly phase: 'connecting' | 'waiting' | 'live' | 'backing-off' | 'closed';
  /** When this stream was connected, in milliseconds since the Unix epoch; null while it is not. */
  readonly connectedSince: number | null;
  readonly lastResponseAt: number | null;
  /** True while a received resource waits for its endpoints or secrets before it goes live. */
  readonly warming: boolean;
  /** Streams tried since the start. */
  readonly streams: number;
  readonly lastError: StreamFailure | null;
  readonly types: Readonly<Record<AdsType, TypeStatus>>;
}

export interface AdsClient {
  /** Returns the last good state; it outlives the stream that brought it. */
  state(): AdsState;
  status(): AdsStatus;
  /** Ends the pause before the next stream, where there is one. */
  retryNow(): void;
  /** Ends the stream, its connection and all timers. No callback runs afterwards. */
  close(): void;
}

/** The values of Kuma's bootstrap. */
const KEEP_ALIVE: KeepAlive = { timeMs: 10_000, timeoutMs: 30_000 };
/** Name, TCP and TLS together. */
const CONNECT_TIMEOUT_MS = 5_000;
const SILENT_MS = 30_000;
/** A control plane of 3.0 accepts a stream of the state of the world, and never answers it. */
const SILENT_SOTW_MS = 15_000;
/** The most unrequested types that are reported. */
const MAX_UNASKED = 10;
/**
 * A stream that ends sooner does not reset the waits: one that breaks over and over would be tried
 * without a pause.
 */
const SETTLED_MS = 5_000;
/** gRPC's DEADLINE_EXCEEDED and UNAUTHENTICATED, for ends caused on this side. */
const NO_ANSWER_CODE = 4;
const NO_TOKEN_CODE = 16;
/** INVALID_ARGUMENT. */
const NOT_TRIED_CODE = 3;

/**
 * Keeps one aggregated stream to a control plane open until `close`; StreamWaits sets the pauses.
 * It connects at once.
 */
export function createAdsClient(options: AdsClientOptions): AdsClient {
  const client = new Connection(options);
  client.connect();
  return {
    state: () => client.state,
    status: () => client.status(),
    retryNow: () => client.retryNow(),
    close: () => client.close(),
  };
}

class Connection {
  readonly #options: AdsClientOptions;
  readonly #clock: Clock;
  readonly #subscriptions: Subscriptions;
  readonly #waits: StreamWaits;
  /** Holds the current stream and its timers. */
  #scope: Scope;
  #stream: AdsStream | null = null;
  #phase: AdsStatus['phase'] = 'connecting';
  #connectedSince: number | null = null;
  #lastResponseAt: number | null = null;
  #lastError: StreamFailure | null = null;
  #streams = 0;
  /** When the first response came on this stream, on the monotonic clock. */
  #liveSince = 0;
  /** The last report, so that it is not repeated. */
  #said = '';
  readonly #unasked = new Set<string>();
  /** True when the resource was deleted, and no stream was answered since. */
  #deleted = false;
  #takenSaid = false;
  #silentSaid = false;
  #protocol: AdsProtocol;
  /**
   * True when delta was tried because the state of the world stayed silent; it is not tried again
   * until that one answers.
   */
  #deltaTried = false;
  #fetchTimer: Timer | null = null;
  #shown: AdsState;

  constructor(options: AdsClientOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#protocol = options.protocol;
    this.#subscriptions = new Subscriptions(options.node, options.accept, PROTOCOLS[options.protocol]);
    this.#waits = new StreamWaits(options.clock, options.random ?? Math.random);
    this.#shown = this.#subscriptions.state;
    this.#scope = new Scope(options.clock);
  }

  get state(): AdsState {
    return this.#subscriptions.state;
  }

  status(): AdsStatus {
    return {
      phase: this.#phase,
      connectedSince: this.#connectedSince,
      lastResponseAt: this.#lastResponseAt,
      warming: this.#subscriptions.warming,
      streams: this.#streams,
      lastError: this.#lastError,
      types: this.#subscriptions.status(),
    };
  }

  connect(): void {
    const scope = new Scope(this.#clock);
    this.#scope = scope;
    this.#phase = 'connecting';
    this.#streams++;
    const { token } = this.#options;
    readToken(token).then(
      (value) => {
        if (!scope.ended) this.#tryOpen(scope, value);
      },
      (error: unknown) => {
        if (scope.ended) return;
        const why = error instanceof Error ? error.message : String(error);
        this.#ended({ code: NO_TOKEN_CODE, message: `read the token for the control plane: ${why}` }, TOKEN_UNREADABLE);
      },
    );
  }

  retryNow(): void {
    if (this.#phase !== 'backing-off') return;
    this.#scope.end();
    this.connect();
  }

  close(): void {
    this.#phase = 'closed';
    this.#forgetStream();
  }

  /**
   * A target or a CA that cannot even be tried counts like one that does not answer: it may change
   * by the next time.
   */
  #tryOpen(scope: Scope, token: string | null): void {
    try {
      this.#open(scope, token);
    } catch (error) {
      const { host, port } = this.#options.target;
      const why = error instanceof Error ? error.message : String(error);
      this.#ended({ code: NOT_TRIED_CODE, message: `connect to the control plane at ${host}:${port}: ${why}` }, NOT_TRIED);
    }
  }

  #open(scope: Scope, token: string | null): void {
    const { target, tls, keepAlive = KEEP_ALIVE } = this.#options;
    const protocol = PROTOCOLS[this.#protocol];
    this.#subscriptions.speak(protocol);
    const connectTimer = scope.after(CONNECT_TIMEOUT_MS, () => {
      const message = `connect to the control plane at ${target.host}:${target.port}: no answer within ${CONNECT_TIMEOUT_MS} ms`;
      this.#ended({ code: NO_ANSWER_CODE, message }, { reason: 'unreachable', advice: null });
    });
    const stream = openStream(
      { protocol, target, tls, keepAlive, token },
      {
        onReady: () => {
          connectTimer.cancel();
          this.#ready(scope);
        },
        onAnswer: (answer) => {
          this.#responded();
          this.#tell({ kind: 'answer', answer, now: this.#clock.now(), wall: this.#clock.wall() });
        },
        onEnd: ({ code, message }) => {
          const problem = explainEnd({ code, message }, this.#options.node.id);
          const before = this.#connectedSince === null ? `connect to the control plane at ${target.host}:${target.port}: ` : '';
          this.#ended({ code, message: before + message.replace(/ Resolution note: *$/, '') }, problem);
        },
      },
    );
    // The stream may have ended before it was returned.
    if (scope.ended) return stream.close();
    this.#stream = stream;
    scope.add(() => stream.close());
  }

  #ready(scope: Scope): void {
    this.#phase = 'waiting';
    this.#connectedSince = this.#clock.wall();
    scope.after(this.#triesDelta() ? SILENT_SOTW_MS : SILENT_MS, () => this.#silent());
    this.#tell({ kind: 'opened', now: this.#clock.now() });
  }

  /** Called before the content of a response is read. */
  #responded(): void {
    this.#lastResponseAt = this.#clock.wall();
    if (this.#phase === 'live') return;
    this.#phase = 'live';
    this.#liveSince = this.#clock.now();
    this.#emit({ kind: 'connected', attempts: this.#waits.failures + 1 });
    this.#waits.responded();
    this.#takenSaid = false;
    this.#silentSaid = false;
    this.#deleted = false;
    if (this.#protocol === 'sotw') this.#deltaTried = false;
  }

  #tell(event: StreamEvent): void {
    const { requests, findings } = this.#subscriptions.on(event);
    for (const request of requests) this.#stream?.send(request);
    this.#fetchTimer?.cancel();
    this.#fetchTimer = null;
    const { deadline, state } = this.#subscriptions;
    if (deadline !== null) {
      const ms = Math.max(0, deadline - this.#clock.now());
      this.#fetchTimer = this.#clock.after(ms, () => this.#tell({ kind: 'elapsed', now: this.#clock.now() }));
    }
    for (const finding of findings) if (this.#isNews(finding)) this.#emit(finding);
    if (state === this.#shown || this.#phase === 'closed') return;
    this.#shown = state;
    this.#options.onState(state);
  }

  /** A control plane may send unrequested types without end, under any name. */
  #isNews(finding: Finding): boolean {
    if (finding.kind !== 'unasked') return true;
    if (this.#unasked.has(finding.typeUrl) || this.#unasked.size >= MAX_UNASKED) return false;
    this.#unasked.add(finding.typeUrl);
    return true;
  }

  /** Without a readiness port the reason for the silence is known already. */
  #triesDelta(): boolean {
    return this.#protocol === 'sotw' && !this.#deltaTried && hasReadinessPort(this.#options.node);
  }

  #silent(): void {
    if (this.#phase !== 'waiting') return;
    const { node, target } = this.#options;
    const triesDelta = this.#triesDelta();
    const forMs = triesDelta ? SILENT_SOTW_MS : SILENT_MS;
    if (!this.#silentSaid) this.#emit({ kind: 'silent', message: explainSilence(node, target, { forMs, triesDelta }), forMs });
    this.#silentSaid = true;
    // The form of the bootstrap is the one to wait for where neither form is answered.
    const goesBack = this.#protocol !== this.#options.protocol;
    if (this.#isClosed() || !(triesDelta || goesBack)) return;
    this.#protocol = triesDelta ? 'delta' : this.#options.protocol;
    this.#deltaTried = true;
    this.#forgetStream();
    this.connect();
  }

  #ended({ code, message }: StreamEnd, problem: StreamProblem): void {
    const wasLive = this.#phase === 'live';
    const deletedBefore = this.#deleted;
    this.#deleted = problem.reason === 'name-not-found' && (wasLive || deletedBefore);
    const { reason, advice } = this.#deleted ? explainDeletion(this.#options.node) : problem;
    // Delta was a try: a server that does not support it is asked again in the form of the
    // bootstrap.
    if (!wasLive && reason === 'not-a-control-plane') this.#protocol = this.#options.protocol;
    if (wasLive && this.#clock.now() - this.#liveSince >= SETTLED_MS) {
      this.#waits.lasted();
      this.#said = '';
    }
    this.#lastError = { code, message, reason, advice, at: this.#clock.wall() };
    this.#forgetStream();
    this.#phase = 'backing-off';
    const retryInMs = this.#waits.next(reason);
    // The text of a stream that ends differs from that of a stream that is refused.
    const said = this.#deleted ? reason : `${reason} ${message}`;
    if (said !== this.#said) this.#emit({ kind: 'disconnected', ...this.#lastError, wasLive, retryInMs });
    this.#said = said;
    this.#sayTaken();
    if (this.#isClosed()) return;
    this.#scope = new Scope(this.#clock);
    this.#scope.after(retryInMs, () => this.connect());
  }

  #sayTaken(): void {
    const forMs = this.#waits.takenForMs();
    if (forMs === null || this.#takenSaid) return;
    this.#takenSaid = true;
    const message =
      `the control plane has had an active stream of ${this.#options.node.id} for ${Math.round(forMs / 1000)} s: another egress runs under this name; ` +
      'each instance needs a name of its own';
    this.#emit({ kind: 'name-taken', message, forMs });
  }

  #forgetStream(): void {
    this.#scope.end();
    this.#stream = null;
    this.#connectedSince = null;
    this.#fetchTimer?.cancel();
    this.#fetchTimer = null;
    this.#subscriptions.on({ kind: 'ended' });
  }

  #emit(event: AdsEvent): void {
    if (!this.#isClosed()) this.#options.onEvent(event);
  }

  /** A callback may have closed the client. */
  #isClosed(): boolean {
    return this.#phase === 'closed';
  }
}

const NOT_TRIED: StreamProblem = { reason: 'unreachable', advice: null };
const TOKEN_UNREADABLE: StreamProblem = { reason: 'token-unreadable', advice: null };

/** Refuses a token that no header can carry: gRPC would repeat it in its error. */
async function readToken(source: AdsClientOptions['token']): Promise<string | null> {
  const token = (await source())?.trim() ?? null;
  if (token !== null && !/^[\x21-\x7e]+$/.test(token))
    throw new Error('it is empty, or has spaces, line breaks or characters that a token cannot have');
  return token;
}
