import { hexEscape, isPlain } from '../base/plain-text.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';

const MAX_TEXT = 255;
const MAX_LONG_TEXT = 1_024;
const MAX_LIST = 16;

/**
 * Writes a record as the fields of its log line: JSON without the braces, under the names of the
 * record. Every text of a client is made printable and bounded. Hand-written, because each session
 * has one.
 */
export function sessionFields(record: SessionRecord, startedAt: string): string {
  return (
    `"id":${text(record.id)},"reason":"${record.reason}","detail":${text(record.detail, MAX_LONG_TEXT)},"startedAt":"${startedAt}"` +
    `,"snapshotVersion":${text(record.snapshotVersion)},"clientAddress":${text(record.clientAddress)},"clientPort":${record.clientPort}` +
    `,"sni":${text(record.sni)},"alpn":${list(record.alpn)},"tlsOffered":${text(record.tlsOffered)},"mode":"${record.mode}"` +
    `,"mesh":${text(record.mesh)},"destination":${text(record.destination, MAX_LONG_TEXT)},"cluster":${text(record.cluster, MAX_LONG_TEXT)}` +
    `,"tlsVersion":${text(record.tlsVersion)},"spiffeIds":${list(record.spiffeIds)},"uris":${list(record.uris)}` +
    `,"certificateIssuer":${text(record.certificateIssuer, MAX_LONG_TEXT)},"certificateExpiry":${text(record.certificateExpiry)}` +
    `,"permission":${text(record.permission, MAX_LONG_TEXT)},"shadowDenied":${record.shadowDenied}` +
    `,"endpoint":${text(record.endpoint)},"endpointTls":${record.endpointTls},"attempts":${record.attempts}` +
    `,"bytesUp":${record.bytesUp},"bytesDown":${record.bytesDown}` +
    `,"helloMs":${record.helloMs},"handshakeMs":${record.handshakeMs},"connectMs":${record.connectMs},"totalMs":${record.totalMs}` +
    (record.limit === undefined ? '' : `,"limit":"${record.limit}"`) +
    (record.requests === undefined ? '' : `,"requests":${record.requests}`) +
    (record.waitedMs === undefined ? '' : `,"waitedMs":${record.waitedMs}`) +
    (record.resumed === undefined ? '' : ',"resumed":true') +
    wouldRefuse(record)
  );
}

/** Does the same for a request. */
export function requestFields(record: RequestRecord, startedAt: string): string {
  return (
    `"id":${text(record.id)},"session":${text(record.session)},"reason":"${record.reason}","detail":${text(record.detail, MAX_LONG_TEXT)}` +
    `,"startedAt":"${startedAt}","snapshotVersion":${text(record.snapshotVersion)},"clientAddress":${text(record.clientAddress)}` +
    `,"sni":${text(record.sni)},"mesh":${text(record.mesh)},"destination":${text(record.destination, MAX_LONG_TEXT)}` +
    `,"cluster":${text(record.cluster, MAX_LONG_TEXT)},"spiffeIds":${list(record.spiffeIds)},"protocol":"${record.protocol}"` +
    `,"method":${text(record.method)},"path":${text(record.path)},"authority":${text(record.authority)},"host":${text(record.host)}` +
    `,"requestId":${text(record.requestId)},"status":${record.status},"flags":"${record.flags}","details":${text(record.details)}` +
    `,"endpoint":${text(record.endpoint)},"attempts":${record.attempts},"connections":${record.connections}` +
    `,"connectMs":${record.connectMs},"forwarded":${record.forwarded},"bytesUp":${record.bytesUp},"bytesDown":${record.bytesDown}` +
    `,"serviceTimeMs":${record.serviceTimeMs},"totalMs":${record.totalMs}` +
    (record.traceparent === undefined ? '' : `,"traceparent":${text(record.traceparent)}`) +
    wouldRefuse(record)
  );
}

function wouldRefuse(record: Pick<SessionRecord, 'wouldRefuse'>): string {
  return record.wouldRefuse === undefined ? '' : `,"wouldRefuse":${text(record.wouldRefuse, MAX_LONG_TEXT)}`;
}

function text(value: string, most: number = MAX_TEXT): string {
  if (value.length <= most && isPlain(value)) return `"${value}"`;
  return JSON.stringify(printable(value, most));
}

function list(values: readonly string[]): string {
  if (values.length === 0) return '[]';
  return `[${values
    .slice(0, MAX_LIST)
    .map((value) => text(value))
    .join(',')}]`;
}

/**
 * Keeps printable ASCII and writes other characters as \xNN. Texts of a record that are printable
 * already do not change.
 */
function printable(value: string, most: number): string {
  const cut = value.length > most ? value.slice(0, most) : value;
  const escaped = cut.replace(/[^\x20-\x7e]/g, hexEscape);
  return escaped.length > most ? escaped.slice(0, most) : escaped;
}
