import { Buffer } from 'node:buffer';
import { sameValue } from '../../model/changes.ts';
import { EXPECTED_STATUSES } from '../../model/protection.ts';
import type { HealthCheck, HealthProbe } from '../../model/protection.ts';
import { flatHeaders, headerProblem } from '../../resources/http.ts';
import { milliseconds } from '../messages/duration.ts';
import { HeaderValueOption_HeaderAppendAction, RequestMethod } from '#envoy/config/core/v3/base_pb.js';
import type { HeaderValueOption } from '#envoy/config/core/v3/base_pb.js';
import type {
  HealthCheck as EnvoyCheck,
  HealthCheck_HttpHealthCheck,
  HealthCheck_Payload,
  HealthCheck_TcpHealthCheck,
} from '#envoy/config/core/v3/health_check_pb.js';
import type { LbEndpoint } from '#envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { Int64Range } from '#envoy/type/v3/range_pb.js';
import { CodecClientType } from '#envoy/type/v3/http_pb.js';

/**
 * Reads the active checks of a cluster's endpoints, each once. Parts that cannot be done as in
 * Envoy are remarks.
 */
export function readHealthChecks(
  healthChecks: readonly EnvoyCheck[],
  endpoints: readonly LbEndpoint[],
  remarks: string[],
): readonly HealthCheck[] {
  if (healthChecks.length > 0 && endpoints.some(isCheckedElsewhere)) {
    remarks.push('its health checks are not made: an endpoint has another place or name for them');
    return [];
  }
  const checks: HealthCheck[] = [];
  for (const check of healthChecks) {
    const read = readCheck(check, remarks);
    // Kuma sends the same check once for each mesh.
    if (read !== null && !checks.some((other) => sameValue(other, read))) checks.push(read);
  }
  return checks;
}

function isCheckedElsewhere({ hostIdentifier: of }: LbEndpoint): boolean {
  const config = of.case === 'endpoint' ? of.value.healthCheckConfig : undefined;
  if (config === undefined) return false;
  return config.portValue !== 0 || config.hostname !== '' || config.address !== undefined || config.disableActiveHealthCheck;
}

/** Envoy's default. */
const NO_TRAFFIC_INTERVAL_MS = 60_000;

/**
 * Returns null for a check that cannot be made here: a different check could remove healthy
 * endpoints.
 */
function readCheck(check: EnvoyCheck, remarks: string[]): HealthCheck | null {
  const probe = readProbe(check, remarks);
  const impossible =
    probe === null
      ? `of the kind ${check.healthChecker.case ?? 'none'}`
      : check.altPort !== undefined
        ? `of another port (${check.altPort})`
        : check.transportSocketMatchCriteria !== undefined
          ? 'over a transport socket of its own'
          : null;
  if (impossible !== null) remarks.push(`its health check ${impossible} is not made`);
  if (probe === null || impossible !== null) return null;
  const paces = {
    noTrafficHealthyInterval: check.noTrafficHealthyInterval,
    unhealthyInterval: check.unhealthyInterval,
    unhealthyEdgeInterval: check.unhealthyEdgeInterval,
    healthyEdgeInterval: check.healthyEdgeInterval,
  };
  const unused = Object.entries(paces).flatMap(([name, pace]) => (pace === undefined ? [] : [name]));
  if (check.tlsOptions !== undefined) unused.push('tlsOptions');
  if (unused.length > 0) remarks.push(`of its health check these are not used: ${unused.join(', ')}`);
  return {
    probe,
    intervalMs: milliseconds(check.interval) ?? 0,
    timeoutMs: milliseconds(check.timeout) ?? 0,
    unhealthyThreshold: check.unhealthyThreshold ?? 0,
    healthyThreshold: check.healthyThreshold ?? 0,
    initialJitterMs: milliseconds(check.initialJitter) ?? 0,
    intervalJitterMs: milliseconds(check.intervalJitter) ?? 0,
    intervalJitterPercent: check.intervalJitterPercent,
    noTrafficIntervalMs: milliseconds(check.noTrafficInterval) ?? NO_TRAFFIC_INTERVAL_MS,
    reuseConnection: check.reuseConnection ?? true,
  };
}

function readProbe({ healthChecker }: EnvoyCheck, remarks: string[]): HealthProbe | null {
  switch (healthChecker.case) {
    case 'tcpHealthCheck':
      return tcpProbe(healthChecker.value, remarks);
    case 'httpHealthCheck':
      return httpProbe(healthChecker.value, remarks);
    case 'grpcHealthCheck': {
      const { serviceName, authority, initialMetadata } = healthChecker.value;
      return { kind: 'grpc', serviceName, authority, ...headersOf(initialMetadata, remarks) };
    }
    case 'customHealthCheck':
    case undefined:
      return null;
    default:
      return healthChecker satisfies never;
  }
}

function tcpProbe({ send, receive, proxyProtocolConfig }: HealthCheck_TcpHealthCheck, remarks: string[]): HealthProbe {
  if (proxyProtocolConfig !== undefined) remarks.push('its TCP health check is sent without the PROXY protocol');
  return { kind: 'tcp', send: hexOf(send), receive: receive.map(hexOf) };
}

/** The text of a payload is hex already. */
function hexOf(payload: HealthCheck_Payload | undefined): string {
  const what = payload?.payload;
  return what?.case === 'binary' ? Buffer.from(what.value).toString('hex') : (what?.value ?? '').toLowerCase();
}

/** Returns null where parts that are not supported decide about the answer. */
function httpProbe(check: HealthCheck_HttpHealthCheck, remarks: string[]): HealthProbe | null {
  const { method, host, path, requestHeadersToAdd, retriableStatuses, codecClientType } = check;
  const judged = [
    ...(check.send === undefined ? [] : ['send']),
    ...(check.receive.length === 0 ? [] : ['receive']),
    ...(check.serviceNameMatcher === undefined ? [] : ['serviceNameMatcher']),
  ];
  if (judged.length > 0) {
    remarks.push(`of its HTTP health check these are not understood: ${judged.join(', ')}`);
    return null;
  }
  if (check.requestHeadersToRemove.length > 0)
    remarks.push(`its health check is sent with these headers too: ${check.requestHeadersToRemove.join(', ')}`);
  const retriable = statusesOf(retriableStatuses);
  const expected = statusesOf(check.expectedStatuses);
  return {
    kind: 'http',
    http2: codecClientType === CodecClientType.HTTP2,
    path,
    ...(method === RequestMethod.METHOD_UNSPECIFIED || method === RequestMethod.GET ? {} : { method: RequestMethod[method] }),
    ...(host === '' ? {} : { host }),
    ...headersOf(requestHeadersToAdd, remarks),
    expectedStatuses: expected.length === 0 ? EXPECTED_STATUSES : expected,
    ...(retriable.length === 0 ? {} : { retriableStatuses: retriable }),
  };
}

/** Ranges are half open, and within 100 to 600. */
function statusesOf(ranges: readonly Int64Range[]): readonly number[] {
  return ranges.flatMap(({ start, end }) => Array.from({ length: Number(end - start) }, (_, i) => Number(start) + i));
}

function headersOf(options: readonly HeaderValueOption[], remarks: string[]): { readonly headers?: readonly string[] } {
  const all = options.map(({ header, append, appendAction }) => ({
    name: (header?.key ?? '').toLowerCase(),
    value: header?.value ?? '',
    append: append ?? appendAction === HeaderValueOption_HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD,
  }));
  const bad = all.filter(({ name, value }) => headerProblem(name, value) !== null);
  if (bad.length > 0) remarks.push(`its health check is sent without these headers: ${bad.map(({ name }) => name).join(', ')}`);
  const flat = flatHeaders(all.filter((header) => !bad.includes(header)));
  return flat.length === 0 ? {} : { headers: flat };
}
