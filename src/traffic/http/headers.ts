/**
 * Changes the heads of requests and answers as Envoy does on Kuma's egress chains. Pure: it maps
 * flat lists of names and values to flat lists. Names are in lower case. It does not decide whether
 * a request may pass.
 */
import { randomUUID } from 'node:crypto';

import type { FlatHeaders, HeadFields } from '../../wire/flat-headers.ts';

/** Headers of one connection, which are never forwarded. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/**
 * Headers that control Envoy for internal clients. No client of a mesh is internal, so they are
 * removed.
 */
const ORDERS: ReadonlySet<string> = new Set([
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-hedge-on-per-try-timeout',
  'x-envoy-internal',
  'x-envoy-max-retries',
  'x-envoy-original-host',
  'x-envoy-retriable-header-names',
  'x-envoy-retriable-status-codes',
  'x-envoy-retry-grpc-on',
  'x-envoy-retry-on',
  'x-envoy-upstream-alt-response',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-upstream-rq-timeout-ms',
]);

/** Returns the separator of a header whose lines Envoy joins into one; null for other headers. */
function jointOf(name: string): string | null {
  return name === 'cookie' ? '; ' : name === 'accept' || name === 'vary' ? ',' : null;
}

export interface RequestRewrite {
  /** The result of `fieldsOf` for the same headers. */
  readonly fields: HeadFields;
  /** The authority as the client sent it. */
  readonly authority: string;
  /** Host name of the endpoint that replaces the authority; null keeps the client's. */
  readonly rewriteTo: string | null;
  /** The time that the route gives the service for its answer. Absent or 0 has no end. */
  readonly requestMs?: number;
  /** Makes a request id where the client sent none. */
  readonly requestId?: () => string;
}

/** Makes the head for the service; `host` is its first line, for HTTP/2 too. */
export function requestHeaders(
  headers: FlatHeaders,
  { fields: { connectionNames: named }, authority, rewriteTo, requestMs = 0, requestId = randomUUID }: RequestRewrite,
): string[] {
  const out: string[] = ['host', rewriteTo ?? authority];
  /** Index in `out` of the values to which further lines of the same header are joined. */
  const joined: Partial<Record<string, number>> = {};
  let hasProto = false;
  let hasId = false;
  let original = false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    if (name === 'host' || name.startsWith(':') || HOP_BY_HOP.has(name) || named.has(name) || name === 'expect') continue;
    if (name === 'x-envoy-original-host' && rewriteTo === null) original = true;
    else if (ORDERS.has(name)) continue;
    if (name === 'te') {
      if (value.split(',').some((each) => each.trim().toLowerCase() === 'trailers')) out.push('te', 'trailers');
      continue;
    }
    const joint = jointOf(name);
    const before = joint === null ? undefined : joined[name];
    if (before !== undefined) {
      out[before] = `${out[before] ?? ''}${joint ?? ''}${value}`;
      continue;
    }
    if (joint !== null) joined[name] = out.length + 1;
    else if (name === 'x-forwarded-proto') hasProto = true;
    else if (name === 'x-request-id') hasId = true;
    out.push(name, value);
  }
  if (!hasProto) out.push('x-forwarded-proto', 'https');
  if (!hasId) out.push('x-request-id', requestId());
  if (requestMs > 0) out.push('x-envoy-expected-rq-timeout-ms', String(Math.round(requestMs)));
  if (rewriteTo !== null && authority !== '' && !original) out.push('x-envoy-original-host', authority);
  return out;
}

/**
 * Makes the head for the client. `serviceTimeMs` is the time from the request to the head of its
 * answer.
 */
export function responseHeaders(
  headers: FlatHeaders,
  { fields, serviceTimeMs, wallMs }: { readonly fields: HeadFields; readonly serviceTimeMs: number; readonly wallMs: number },
): string[] {
  const named = fields.connectionNames;
  const out: string[] = [];
  let hasServer = false;
  let hasDate = false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    if (name.startsWith(':') || HOP_BY_HOP.has(name) || named.has(name)) continue;
    if (name === 'x-envoy-upstream-service-time') continue;
    if (name === 'server') {
      if (!hasServer) out.push('server', SERVER);
      hasServer = true;
      continue;
    }
    if (name === 'date') hasDate = true;
    out.push(name, value);
  }
  out.push('x-envoy-upstream-service-time', String(serviceTimeMs));
  if (!hasDate) out.push('date', new Date(wallMs).toUTCString());
  if (!hasServer) out.push('server', SERVER);
  return out;
}

/** Headers that say where a message ends or belongs: none of them may come behind its body. */
const NOT_BEHIND_A_BODY: ReadonlySet<string> = new Set(['content-length', 'host', 'te', 'trailer']);

/**
 * Makes the trailers for the client. A trailer that belongs to the connection of the service, or
 * that describes the message, is dropped.
 */
export function responseTrailers(trailers: FlatHeaders): string[] {
  return trailers.filter((_, i) => {
    const name = trailers[i - (i % 2)] ?? '';
    return !name.startsWith(':') && !HOP_BY_HOP.has(name) && !NOT_BEHIND_A_BODY.has(name);
  });
}

/** The value that clients of Kuma's egress see. */
export const SERVER = 'envoy';

export function lowerNames(raw: readonly string[]): string[] {
  return raw.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text));
}
