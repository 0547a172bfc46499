/** Makes the lines of the access logs of a route, which leave the data side as text. */
import { hostname } from 'node:os';
import type { EndReason } from '../base/refusal.ts';
import type { AccessLogTarget } from '../model/access-log.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { Route } from '../model/route.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { accessLine, isAboutClient } from '../routing/access-line.ts';
import type { AccessFacts } from '../routing/access-line.ts';
import type { SessionContext } from './session-context.ts';

type Plane = Pick<SessionContext, 'clock' | 'settings' | 'accessLine'>;

/** The access logs of a route, and the facts of a session that they tell. */
export interface SessionAccess extends Pick<
  SessionRecord,
  'clientPort' | 'tlsVersion' | 'certificateIssuer' | 'certificateExpiry'
> {
  readonly logs: readonly AccessLogTarget[];
}

/** The heads of a request, which no record has. */
export type LoggedHeads = Pick<AccessFacts, 'request' | 'response' | 'upstreamProtocol'>;

/** Lines for this file are thrown away, so that they are not made. */
const NOWHERE = '/dev/null';

let host: string | undefined;

/**
 * Writes the lines of a session that is joined to its endpoint, or has ended. Where its requests
 * are read, each of them has lines and the session has none, as with Envoy.
 */
export function logSession(
  route: Route,
  record: SessionRecord,
  type: Exclude<AccessFacts['type'], 'DownstreamEnd'>,
  plane: Plane,
): void {
  if (route.kind === 'terminate' && route.http !== undefined && plane.settings.http) return;
  const logs = (route.accessLogs ?? []).filter(({ onConnect = false }) => type === 'TcpConnectionEnd' || onConnect);
  if (logs.length === 0) return;
  const isOver = type === 'TcpConnectionEnd';
  write(logs, plane, {
    ...common(record, record),
    type,
    connectionId: record.id,
    streamId: '',
    writtenAt: plane.clock.wall(),
    durationMs: isOver ? record.totalMs : null,
    protocol: '',
    status: 0,
    flags: isOver ? flagsOf(record) : '',
    details: '',
    terminationDetails: record.reason === 'denied' ? 'rbac_access_denied_matched_policy[none]' : '',
    transportFailure: record.reason === 'upstream-tls-failed' ? record.detail : '',
    serviceTimeMs: -1,
    upstreamProtocol: '',
    request: null,
    response: null,
  });
}

/** Writes the lines of a request that has ended. */
export function logRequest(access: SessionAccess, record: RequestRecord, heads: LoggedHeads, plane: Plane): void {
  write(access.logs, plane, {
    ...common(record, access),
    ...heads,
    type: 'DownstreamEnd',
    connectionId: record.session,
    streamId: record.id,
    writtenAt: plane.clock.wall(),
    durationMs: record.totalMs,
    protocol: record.protocol,
    status: record.status,
    flags: record.flags,
    details: record.details,
    terminationDetails: '',
    transportFailure: record.reason === 'upstream-tls-failed' ? record.detail : '',
    serviceTimeMs: record.serviceTimeMs,
  });
}

function common(
  record: SessionRecord | RequestRecord,
  of: Omit<SessionAccess, 'logs'>,
): Pick<
  AccessFacts,
  | 'startedAt'
  | 'bytesReceived'
  | 'bytesSent'
  | 'endpoint'
  | 'cluster'
  | 'attempts'
  | 'clientAddress'
  | 'clientPort'
  | 'tlsVersion'
  | 'sni'
  | 'uris'
  | 'issuer'
  | 'expiry'
  | 'hostname'
> {
  return {
    startedAt: record.startedAt,
    bytesReceived: record.bytesUp,
    bytesSent: record.bytesDown,
    endpoint: record.endpoint,
    cluster: record.cluster,
    attempts: record.attempts,
    clientAddress: record.clientAddress,
    clientPort: of.clientPort,
    tlsVersion: of.tlsVersion,
    sni: record.sni,
    uris: record.uris,
    issuer: of.certificateIssuer,
    expiry: of.certificateExpiry,
    hostname: (host ??= hostname()),
  };
}

function write(logs: readonly AccessLogTarget[], plane: Plane, facts: AccessFacts): void {
  for (const log of logs) {
    if (log.path !== NOWHERE && isAboutClient(log, facts.uris))
      plane.accessLine({ path: log.path, line: accessLine(log.format, facts) });
  }
}

/**
 * The flags of a session that did not reach its endpoint. Envoy tries one endpoint, and says so.
 */
const FLAGS: Partial<Readonly<Record<EndReason, string>>> = {
  'no-endpoint': 'UH',
  'dns-failed': 'UH',
  'forbidden-address': 'UH',
  misconfigured: 'UH',
  'connect-refused': 'UF,URX',
  'connect-timeout': 'UF,URX',
  'upstream-tls-failed': 'UF,URX',
};

function flagsOf({ reason, limit }: SessionRecord): string {
  return limit === 'max-connections' || limit === 'max-pending' ? 'UO' : (FLAGS[reason] ?? '');
}
