/**
 * The attributes of a session and of a request: by the semantic conventions of OpenTelemetry where
 * they have a name, else below `zone_egress`.
 */
import { NORMAL_ENDS, REFUSALS } from '../../base/refusal.ts';
import type { EndReason, RefusalInfo } from '../../base/refusal.ts';
import type { RequestRecord } from '../../model/request-record.ts';
import type { SessionRecord } from '../../model/session-record.ts';
import { outcomeOf } from '../destination-series.ts';

export type Attributes = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** `undefined` and the empty text are unknown, and are left out. */
type Facts = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

const MOST_IDS = 16;

export function sessionAttributes(record: SessionRecord): Attributes {
  const { clientAddress, clientPort, tlsVersion, resumed } = record;
  return known({
    'network.transport': 'tcp',
    'client.address': clientAddress,
    'client.port': clientPort,
    'network.peer.address': clientAddress,
    'network.peer.port': clientPort,
    'server.address': record.sni,
    ...tlsAttributes(tlsVersion, resumed === true),
    'tls.client.issuer': record.certificateIssuer,
    'tls.client.not_after': record.certificateExpiry,
    'error.type': errorType(record.reason),
    'zone_egress.session.id': record.id,
    'zone_egress.reason': record.reason,
    'zone_egress.outcome': outcomeOf(record),
    'zone_egress.mode': record.mode,
    'zone_egress.mesh': record.mesh,
    'zone_egress.destination': record.destination,
    'zone_egress.cluster': record.cluster,
    'zone_egress.endpoint': record.endpoint,
    'zone_egress.client.spiffe_ids': record.spiffeIds.slice(0, MOST_IDS),
    'zone_egress.permission': record.permission,
    'zone_egress.shadow_denied': record.shadowDenied || undefined,
    'zone_egress.would_refuse': record.wouldRefuse,
    'zone_egress.limit': record.limit,
    'zone_egress.check': record.check,
    'zone_egress.attempts': record.attempts,
    'zone_egress.requests': record.requests,
    'zone_egress.bytes.up': record.bytesUp,
    'zone_egress.bytes.down': record.bytesDown,
    'zone_egress.snapshot.version': record.snapshotVersion,
  });
}

export function requestAttributes(record: RequestRecord): Attributes {
  const { clientAddress, method, protocol, status } = record;
  const isKnown = KNOWN_METHODS.has(method);
  return known({
    'http.request.method': method === '' ? undefined : isKnown ? method : '_OTHER',
    'http.request.method_original': isKnown ? undefined : method,
    'http.response.status_code': status === 0 ? undefined : status,
    'url.path': record.path,
    'network.protocol.name': protocol === '' ? undefined : 'http',
    'network.protocol.version': protocol === '' ? undefined : protocol === 'HTTP/2' ? '2' : '1.1',
    'client.address': clientAddress,
    'network.peer.address': clientAddress,
    'server.address': record.authority,
    'error.type': errorType(record.reason) ?? (status >= 500 ? String(status) : undefined),
    'zone_egress.request.id': record.id,
    'zone_egress.session.id': record.session,
    'zone_egress.reason': record.reason,
    'zone_egress.mesh': record.mesh,
    'zone_egress.destination': record.destination,
    'zone_egress.cluster': record.cluster,
    'zone_egress.endpoint': record.endpoint,
    'zone_egress.client.spiffe_ids': record.spiffeIds.slice(0, MOST_IDS),
    'zone_egress.would_refuse': record.wouldRefuse,
    'zone_egress.request_id': record.requestId,
    'zone_egress.response_flags': record.flags,
    'zone_egress.response_details': record.details,
    'zone_egress.attempts': record.attempts,
    'zone_egress.connect_ms': record.connectMs < 0 ? undefined : record.connectMs,
    'zone_egress.service_time_ms': record.serviceTimeMs < 0 ? undefined : record.serviceTimeMs,
    'zone_egress.bytes.up': record.bytesUp,
    'zone_egress.bytes.down': record.bytesDown,
    'zone_egress.snapshot.version': record.snapshotVersion,
  });
}

/** Empty where the TLS of the client does not end here. */
export function tlsAttributes(version: string, resumed: boolean): Attributes {
  if (version === '') return {};
  return { 'tls.protocol.name': 'tls', 'tls.protocol.version': version.replace(/^TLSv/, ''), 'tls.resumed': resumed };
}

/** Takes `address:port` of a record apart. */
export function endpointAttributes(endpoint: string): Attributes {
  const at = endpoint.lastIndexOf(':');
  if (at < 0) return {};
  const address = endpoint.slice(0, at).replace(/^\[|\]$/g, '');
  const port = Number(endpoint.slice(at + 1));
  return { 'server.address': address, 'server.port': port, 'network.peer.address': address, 'network.peer.port': port };
}

/** Returns the sentence of a session or request that did not end well; null for the others. */
export function sentenceOf({ reason, detail }: { readonly reason: EndReason; readonly detail: string }): string | null {
  if (Object.hasOwn(NORMAL_ENDS, reason)) return null;
  return detail === '' ? (refusalOf(reason)?.meaning ?? reason) : detail;
}

/** Returns what is known of the end; null for a normal one. */
export function refusalOf(reason: EndReason): RefusalInfo | null {
  const known: Readonly<Record<string, RefusalInfo>> = REFUSALS;
  return known[reason] ?? null;
}

/** Other methods are a client's own words, and no name of a span. */
export const KNOWN_METHODS: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'QUERY',
  'TRACE',
]);

function errorType(reason: EndReason): string | undefined {
  return Object.hasOwn(NORMAL_ENDS, reason) ? undefined : reason;
}

function known(facts: Facts): Attributes {
  const found: Record<string, string | number | boolean | readonly string[]> = {};
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined || value === '' || (Array.isArray(value) && value.length === 0)) continue;
    found[name] = value;
  }
  return found;
}
