import type { CertificateCheck, EndReason } from '../base/refusal.ts';
import type { CertificateSummary, VerifiedClient } from '../model/client.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { ShownSession } from '../model/shown-session.ts';
import type { Route } from '../model/route.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { BreakerLimit, SessionRecord } from '../model/session-record.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Allowed } from '../routing/authorise.ts';
import type { Target } from '../routing/choose.ts';
import { printable } from '../routing/route.ts';
import type { ClientHello } from '../wire/client-hello.ts';
import type { SessionAccess } from './access-lines.ts';

const NONE: readonly string[] = [];
/** The longest text of a client that a record keeps, so that ten thousand records stay small. */
const MAX_DETAIL = 1_024;
const MAX_URIS_LENGTH = 8_192;
const MAX_ALPN_LENGTH = 1_024;

/**
 * A SessionRecord in the making. It records what happens to a session; the session never reads it.
 */
export class SessionDraft {
  readonly #id: string;
  readonly #startedAt: number;
  readonly #acceptedAt: number;
  readonly #clientAddress: string;
  readonly #clientPort: number;
  #snapshotVersion = '';
  #tlsVersion = '';
  #resumed = false;
  #bytesUp = 0;
  #bytesDown = 0;
  /** The limit of a cluster or route that refused. */
  #limit: BreakerLimit | null = null;
  /** Requests that were served or refused; null where the bytes are not read as requests. */
  #requests: number | null = null;
  #sni = '';
  #alpn: readonly string[] = NONE;
  #tlsOffered = '';
  #route: Route | null = null;
  #uris: readonly string[] = NONE;
  #spiffeIds: readonly string[] = NONE;
  #issuer = '';
  #expiry = '';
  #permission = '';
  #shadowDenied = false;
  #wouldRefuse = '';
  #target: Target | null = null;
  #attempts = 0;
  #helloMs = -1;
  #handshakeMs = -1;
  #waitedMs = 0;
  #connectMs = -1;
  #reason: EndReason = 'internal-error';
  #detail = '';
  #check: CertificateCheck | null = null;
  #sampledUp = 0;
  #sampledDown = 0;
  #sampledAt: number;
  #rateUp = 0;
  #rateDown = 0;
  /** The last sample that found new bytes. */
  #movedAt: number;

  constructor(start: {
    readonly id: string;
    readonly wallMs: number;
    readonly nowMs: number;
    readonly address: string;
    readonly port: number;
  }) {
    this.#id = start.id;
    this.#startedAt = start.wallMs;
    this.#acceptedAt = start.nowMs;
    this.#clientAddress = start.address;
    this.#clientPort = start.port;
    this.#sampledAt = start.nowMs;
    this.#movedAt = start.nowMs;
  }

  /** Measures the rates of bytes since the last call. */
  sample(nowMs: number): void {
    const ms = nowMs - this.#sampledAt;
    if (ms <= 0) return;
    const [up, down] = [this.#bytesUp - this.#sampledUp, this.#bytesDown - this.#sampledDown];
    this.#rateUp = Math.round((up * 1_000) / ms);
    this.#rateDown = Math.round((down * 1_000) / ms);
    if (up + down > 0) this.#movedAt = nowMs;
    this.#sampledUp = this.#bytesUp;
    this.#sampledDown = this.#bytesDown;
    this.#sampledAt = nowMs;
  }

  /** Returns what is known of it while it is open. */
  open(nowMs: number): Omit<ShownSession, 'worker' | 'state'> {
    const route = this.#route;
    const target = this.#target;
    const hasNews = this.#bytesUp + this.#bytesDown > this.#sampledUp + this.#sampledDown;
    return {
      id: this.#id,
      startedAt: this.#startedAt,
      ageMs: Math.round(nowMs - this.#acceptedAt),
      idleMs: hasNews ? 0 : Math.round(nowMs - this.#movedAt),
      clientAddress: this.#clientAddress,
      clientPort: this.#clientPort,
      spiffeIds: this.#spiffeIds,
      sni: this.#sni,
      mode: route === null ? '' : route.kind,
      mesh: route === null ? '' : route.mesh,
      destination: route === null ? '' : route.destination,
      cluster: route === null ? '' : route.cluster,
      endpoint: target === null ? '' : addressKey(target.ip, target.endpoint.port),
      endpointTls: target !== null && target.endpoint.tls !== null,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
      rateUp: this.#rateUp,
      rateDown: this.#rateDown,
      ...(this.#requests === null ? {} : { requests: this.#requests }),
      ...(this.#wouldRefuse === '' ? {} : { wouldRefuse: this.#wouldRefuse }),
    };
  }

  /** Records the configuration that judges the session from now on. */
  judgedBy({ version }: Snapshot): void {
    this.#snapshotVersion = version;
  }

  hello(hello: ClientHello, nowMs: number): void {
    this.#helloMs = micros(nowMs - this.#acceptedAt);
    this.#sni = hello.serverName === null ? '' : printable(hello.serverName);
    this.#alpn = hello.alpn.length === 0 ? NONE : bounded(hello.alpn.slice(0, 16).map(printable), MAX_ALPN_LENGTH);
    this.#tlsOffered = hello.maxVersion;
  }

  route(route: Route): void {
    this.#route = route;
  }

  handshake({ protocol, resumed }: { readonly protocol: string; readonly resumed: boolean }, ms: number): void {
    this.#tlsVersion = protocol;
    this.#resumed = resumed;
    this.#handshakeMs = micros(ms);
  }

  /** Records the certificate of a rejected client. */
  certificate(certificate: CertificateSummary): void {
    this.#spiffeIds = bounded(certificate.spiffeIds.slice(0, 16).map(printable));
    this.#issuer = printable(certificate.issuer);
    this.#expiry = certificate.expiry;
  }

  client(client: VerifiedClient): void {
    this.#spiffeIds = bounded(client.spiffeIds);
    this.#uris = bounded(client.uris);
    this.#issuer = printable(client.issuer);
    this.#expiry = client.expiry;
  }

  allowed(allowed: Allowed): void {
    this.#permission = allowed.by;
    this.#shadowDenied = allowed.shadowDenied;
    this.#wouldRefuse = shortened(allowed.wouldRefuse ?? '');
  }

  limited(limit: BreakerLimit): void {
    this.#limit = limit;
  }

  moved(direction: 'up' | 'down', bytes: number): void {
    if (direction === 'up') this.#bytesUp += bytes;
    else this.#bytesDown += bytes;
  }

  /** Counts its requests from now on. */
  servesRequests(): void {
    this.#requests = 0;
  }

  attempt(target: Target): void {
    this.#target = target;
    this.#attempts++;
  }

  /** Records the wait for names. */
  waited(ms: number): void {
    this.#waitedMs = micros(ms);
  }

  connected(ms: number): void {
    this.#connectMs = micros(ms);
  }

  /** For requests, the first connection counts. */
  connectedFirst(ms: number): void {
    if (this.#connectMs < 0) this.connected(ms);
  }

  /**
   * Records that a request is sent to this endpoint; the time is 0 where no connection had to be
   * made.
   */
  sent(target: Target): void {
    this.#target = target;
    this.connectedFirst(0);
  }

  nextRequest(): Pick<
    RequestRecord,
    'id' | 'session' | 'snapshotVersion' | 'clientAddress' | 'sni' | 'mesh' | 'destination' | 'cluster' | 'spiffeIds' | 'uris'
  > {
    this.#requests = (this.#requests ?? 0) + 1;
    const { mesh = '', destination = '', cluster = '' } = this.#route ?? {};
    return {
      id: `${this.#id}.${this.#requests}`,
      session: this.#id,
      snapshotVersion: this.#snapshotVersion,
      clientAddress: this.#clientAddress,
      sni: this.#sni,
      mesh,
      destination,
      cluster,
      spiffeIds: this.#spiffeIds,
      uris: this.#uris,
    };
  }

  /** Returns the access logs of the route, and what they tell of the session; null without any. */
  access(): SessionAccess | null {
    const logs = this.#route?.accessLogs;
    if (logs === undefined) return null;
    return {
      logs,
      clientPort: this.#clientPort,
      tlsVersion: this.#tlsVersion,
      certificateIssuer: this.#issuer,
      certificateExpiry: this.#expiry,
    };
  }

  finish(reason: EndReason, detail: string, check?: CertificateCheck): void {
    this.#check = check ?? null;
    this.#reason = reason;
    this.#detail = shortened(detail);
  }

  record(nowMs: number): SessionRecord {
    const route = this.#route;
    const target = this.#target;
    const record: SessionRecord = {
      id: this.#id,
      reason: this.#reason,
      detail: this.#detail,
      startedAt: this.#startedAt,
      snapshotVersion: this.#snapshotVersion,
      clientAddress: this.#clientAddress,
      clientPort: this.#clientPort,
      sni: this.#sni,
      alpn: this.#alpn,
      tlsOffered: this.#tlsOffered,
      mode: route === null ? '' : route.kind,
      mesh: route === null ? '' : route.mesh,
      destination: route === null ? '' : route.destination,
      cluster: route === null ? '' : route.cluster,
      tlsVersion: this.#tlsVersion,
      spiffeIds: this.#spiffeIds,
      uris: this.#uris,
      certificateIssuer: this.#issuer,
      certificateExpiry: this.#expiry,
      permission: this.#permission,
      shadowDenied: this.#shadowDenied,
      endpoint: target === null ? '' : addressKey(target.ip, target.endpoint.port),
      endpointTls: target !== null && target.endpoint.tls !== null,
      attempts: this.#attempts,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
      helloMs: this.#helloMs,
      handshakeMs: this.#handshakeMs,
      connectMs: this.#connectMs,
      totalMs: micros(nowMs - this.#acceptedAt),
    };
    const isPlain = this.#limit === null && this.#check === null && this.#requests === null && this.#wouldRefuse === '';
    if (isPlain && !this.#resumed && this.#waitedMs === 0) return Object.freeze(record);
    return Object.freeze({
      ...record,
      ...(this.#waitedMs === 0 ? {} : { waitedMs: this.#waitedMs }),
      ...(this.#resumed ? { resumed: true } : {}),
      ...(this.#wouldRefuse === '' ? {} : { wouldRefuse: this.#wouldRefuse }),
      ...(this.#limit === null ? {} : { limit: this.#limit }),
      ...(this.#check === null ? {} : { check: this.#check }),
      ...(this.#requests === null ? {} : { requests: this.#requests }),
    });
  }
}

function shortened(text: string): string {
  return text.length > MAX_DETAIL ? `${text.slice(0, MAX_DETAIL)}...` : text;
}

/** Rounds milliseconds to the microsecond: further digits are noise, and long to write. */
function micros(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

/** Keeps as many texts as fit; the limit holds all names of a certificate from a control plane. */
function bounded(texts: readonly string[], most: number = MAX_URIS_LENGTH): readonly string[] {
  let length = 0;
  for (const [i, text] of texts.entries()) {
    length += text.length;
    if (length > most) return texts.slice(0, i);
  }
  return texts;
}
