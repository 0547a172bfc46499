import { NORMAL_ENDS, REFUSALS } from '../base/refusal.ts';
import type { Refusal, RefusalCode, Step } from '../base/refusal.ts';
import type { CertificateSummary, ClientClaims } from '../model/client.ts';
import { meshName, spiffeId } from '../model/names.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { FlatHeaders } from '../wire/flat-headers.ts';
import { unprintable } from '../routing/route.ts';

/**
 * What is known of a connection that is asked about: one that somebody thinks of, or one that was
 * recorded.
 */
export interface ConnectionFacts {
  /** As the client sends it, null where the hello names no server. */
  readonly serverName: string | null;
  readonly alpn: readonly string[];
  /** The version that was negotiated, else the highest on offer; empty where neither is known. */
  readonly tlsVersion: string;
  /** Empty where it is not known. */
  readonly clientAddress: string;
  readonly client: ClientFacts;
  /** What traffic made of it. */
  readonly record: SessionRecord | null;
  /** Of a service that speaks HTTP: the request that is asked about. */
  readonly request?: AskedRequest;
}

export interface AskedRequest {
  readonly method: string;
  readonly path: string;
  /** As the client sends it; empty where it is not known. */
  readonly authority: string;
  /**
   * Names in lower case and values in turns; null where they are not known, as of a recorded one.
   */
  readonly headers: FlatHeaders | null;
  /** Of a recorded one: what the client was answered; 0 where it got no answer. */
  readonly answered?: number;
}

export type ClientFacts =
  /** No certificate, or none that is known. */
  | { readonly kind: 'none' }
  | { readonly kind: 'claims'; readonly claims: ClientClaims }
  /** A certificate that its mesh does not take. */
  | { readonly kind: 'rejected'; readonly refusal: Refusal; readonly certificate: CertificateSummary | null };

/** A record keeps all that the judgement was made from. */
export function factsOfRecord(record: SessionRecord): ConnectionFacts {
  return {
    serverName: record.sni === '' ? null : unprintable(record.sni),
    alpn: record.alpn,
    tlsVersion: record.tlsVersion === '' ? record.tlsOffered : record.tlsVersion,
    clientAddress: record.clientAddress,
    client: clientOf(record),
    record,
  };
}

/** A request that was recorded, as a session that had this request only. */
export function factsOfRequest(request: RequestRecord): ConnectionFacts {
  const {
    flags,
    status: answered,
    method,
    path,
    authority,
    forwarded,
    connectMs,
    sni,
    mesh,
    destination,
    cluster,
    spiffeIds,
    uris,
  } = request;
  const record: SessionRecord = {
    id: request.id,
    reason: request.reason,
    detail: request.detail,
    startedAt: request.startedAt,
    snapshotVersion: request.snapshotVersion,
    clientAddress: request.clientAddress,
    clientPort: 0,
    sni,
    alpn: [],
    tlsOffered: '',
    mode: 'terminate',
    mesh,
    destination,
    cluster,
    tlsVersion: '',
    spiffeIds,
    uris,
    certificateIssuer: '',
    certificateExpiry: '',
    permission: '',
    shadowDenied: false,
    endpoint: request.endpoint,
    endpointTls: false,
    attempts: request.attempts,
    bytesUp: request.bytesUp,
    bytesDown: request.bytesDown,
    helloMs: 0,
    handshakeMs: 0,
    connectMs: forwarded ? Math.max(0, connectMs) : -1,
    totalMs: request.totalMs,
    requests: 1,
    ...(flags.split(',').includes('RL') ? { limit: 'request-rate' } : {}),
  };
  return { ...factsOfRecord(record), request: { method, path, authority, headers: null, answered } };
}

function clientOf(record: SessionRecord): ClientFacts {
  const { mesh, spiffeIds, uris, certificateIssuer: issuer, certificateExpiry: expiry } = record;
  const end = endOf(record);
  if (end.kind === 'refusal' && end.step === 'identity') {
    const certificate = issuer === '' && spiffeIds.length === 0 ? null : { spiffeIds, issuer, expiry };
    return { kind: 'rejected', refusal: { kind: 'refusal', code: end.reason, detail: end.detail }, certificate };
  }
  if (uris.length === 0) return { kind: 'none' };
  return { kind: 'claims', claims: { mesh: meshName(mesh), spiffeIds: spiffeIds.map(spiffeId), uris, issuer, expiry } };
}

/**
 * How a recorded session ended, and at which step: of codes that may come at several, the one that
 * it had reached.
 */
export type RecordedEnd =
  | { readonly kind: 'refusal'; readonly reason: RefusalCode; readonly step: Step; readonly detail: string }
  /** Nothing was wrong. */
  | { readonly kind: 'normal' };

export function endOf(record: SessionRecord): RecordedEnd {
  const { reason, detail } = record;
  if (isNormal(reason)) return { kind: 'normal' };
  return { kind: 'refusal', reason, step: stepOf(record, reason), detail };
}

function isNormal(reason: SessionRecord['reason']): reason is Exclude<SessionRecord['reason'], RefusalCode> {
  return Object.hasOwn(NORMAL_ENDS, reason);
}

function stepOf(record: SessionRecord, reason: RefusalCode): Step {
  const { step } = REFUSALS[reason];
  const isEarly = record.connectMs < 0;
  // These come whenever they come; the others belong to one step.
  if (reason === 'client-gone' || reason === 'over-limit') return reached(record);
  // What came before it went out to its endpoint, or is a request of its own.
  if (step === 'request' && !isEarly) return 'splice';
  return step === 'splice' && isEarly ? reached(record) : step;
}

function reached(record: SessionRecord): Step {
  if (record.helloMs < 0) return 'hello';
  if (record.mode === '') return 'route';
  // The rate of a route is looked at as soon as the route is known, before anything is asked of the
  // client.
  if (record.limit === 'rate') return 'route';
  if (record.limit === 'request-rate') return 'request';
  if (record.limit !== undefined) return 'endpoint';
  if (record.mode === 'terminate' && record.uris.length === 0) return 'identity';
  // Where the endpoint has no TLS there is nothing behind the connection that could have been
  // reached.
  return record.attempts > 0 && record.endpointTls ? 'tls' : 'endpoint';
}
