import { NORMAL_ENDS, REFUSALS } from '../base/refusal.ts';
import type { Refusal, RefusalCode, Step } from '../base/refusal.ts';
import type { CertificateSummary, ClientClaims } from '../model/client.ts';
import { meshName, spiffeId } from '../model/names.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { FlatHeaders } from '../wire/flat-headers.ts';
import { unprintable } from '../routing/route.ts';

/** The facts of a described or recorded connection. */
export interface ConnectionFacts {
  /** As the client sends it; null where the hello has no server name. */
  readonly serverName: string | null;
  readonly alpn: readonly string[];
  /** The negotiated version, else the highest offered; empty where neither is known. */
  readonly tlsVersion: string;
  /** Empty where it is not known. */
  readonly clientAddress: string;
  readonly client: ClientFacts;
  /** The record of traffic; null for a described connection. */
  readonly record: SessionRecord | null;
  /** For an HTTP service, the request in question. */
  readonly request?: AskedRequest;
}

export interface AskedRequest {
  readonly method: string;
  readonly path: string;
  /** As the client sends it; empty where it is not known. */
  readonly authority: string;
  /** Names in lower case and values, alternating. */
  readonly headers: FlatHeaders;
  /** Names of the headers whose values are known, e.g. from a record. Absent means all. */
  readonly known?: readonly string[];
  /** For a recorded request, the status of its answer; 0 without an answer. */
  readonly answered?: number;
}

export type ClientFacts =
  /** No certificate, or an unknown one. */
  | { readonly kind: 'none' }
  | { readonly kind: 'claims'; readonly claims: ClientClaims }
  /** A certificate that its mesh refuses. */
  | { readonly kind: 'rejected'; readonly refusal: Refusal; readonly certificate: CertificateSummary | null };

/** A record has all facts of its judgement. */
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

/** Treats a recorded request as a session with only this request. */
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
    endpointTls: request.endpointTls,
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
  const known = Object.keys(request.headers);
  const headers = Object.entries(request.headers).flatMap(([name, values]) => values.flatMap((value) => [name, value]));
  return { ...factsOfRecord(record), request: { method, path, authority, headers, known, answered } };
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
 * How a recorded session ended, and at which step. A code that may occur at several steps counts
 * for the one that was reached.
 */
export type RecordedEnd =
  | { readonly kind: 'refusal'; readonly reason: RefusalCode; readonly step: Step; readonly detail: string }
  /** A normal end. */
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
  // These codes may occur at any step; the others belong to one step.
  if (reason === 'client-gone' || reason === 'over-limit') return reached(record);
  // The refusal came before the request was sent to its endpoint, or concerns only this request.
  if (step === 'request' && !isEarly) return 'splice';
  return step === 'splice' && isEarly ? reached(record) : step;
}

function reached(record: SessionRecord): Step {
  if (record.helloMs < 0) return 'hello';
  if (record.mode === '') return 'route';
  // The rate limit of a route is checked as soon as the route is known, before the client shows a
  // certificate.
  if (record.limit === 'rate') return 'route';
  if (record.limit === 'request-rate') return 'request';
  if (record.limit !== undefined) return 'endpoint';
  if (record.mode === 'terminate' && record.uris.length === 0) return 'identity';
  // Without TLS to the endpoint no later step could have been reached.
  return record.attempts > 0 && record.endpointTls ? 'tls' : 'endpoint';
}
