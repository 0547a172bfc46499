import { HEALTH_CHECKERS, missingExtension } from '../messages/cluster-extensions.ts';
import { isPositive, milliseconds } from '../messages/duration.ts';
import type { CircuitBreakers } from '#envoy/config/cluster/v3/circuit_breaker_pb.js';
import type { OutlierDetection } from '#envoy/config/cluster/v3/outlier_detection_pb.js';
import { RoutingPriority } from '#envoy/config/core/v3/base_pb.js';
import type { HealthCheck, HealthCheck_HttpHealthCheck, HealthCheck_Payload } from '#envoy/config/core/v3/health_check_pb.js';
import { above, constraint, notPositive, undefinedEnum } from './proto-constraint.ts';
import { CodecClientType } from '#envoy/type/v3/http_pb.js';

/** Returns why Envoy would refuse these limits, with Envoy's messages. */
export function* breakerRefusals(breakers: CircuitBreakers | undefined): Iterable<string> {
  for (const { priority } of breakers?.thresholds ?? [])
    yield* undefinedEnum('CircuitBreakers_Thresholds', { Priority: [priority, RoutingPriority] });
}

const BASE_EJECTION_MS = 30_000;

export function* outlierRefusals(outlier: OutlierDetection | undefined): Iterable<string> {
  if (outlier === undefined) return;
  yield* notPositive('OutlierDetection', {
    Interval: outlier.interval,
    BaseEjectionTime: outlier.baseEjectionTime,
    MaxEjectionTime: outlier.maxEjectionTime,
  });
  yield* above(100, 'OutlierDetection', {
    MaxEjectionPercent: outlier.maxEjectionPercent,
    EnforcingConsecutive_5Xx: outlier.enforcingConsecutive5xx,
    EnforcingSuccessRate: outlier.enforcingSuccessRate,
    EnforcingConsecutiveGatewayFailure: outlier.enforcingConsecutiveGatewayFailure,
    EnforcingConsecutiveLocalOriginFailure: outlier.enforcingConsecutiveLocalOriginFailure,
    EnforcingLocalOriginSuccessRate: outlier.enforcingLocalOriginSuccessRate,
    FailurePercentageThreshold: outlier.failurePercentageThreshold,
    EnforcingFailurePercentage: outlier.enforcingFailurePercentage,
    EnforcingFailurePercentageLocalOrigin: outlier.enforcingFailurePercentageLocalOrigin,
  });
  const longest = milliseconds(outlier.maxEjectionTime);
  const base = milliseconds(outlier.baseEjectionTime) ?? BASE_EJECTION_MS;
  if (longest !== undefined && longest < base)
    yield "outlier detector's max_ejection_time cannot be smaller than base_ejection_time";
}

/** `speaksHttp2`: the cluster's own protocol, which a gRPC check needs. */
export function* checkRefusals(
  check: HealthCheck,
  { cluster, speaksHttp2 }: { readonly cluster: string; readonly speaksHttp2: boolean },
): Iterable<string> {
  const { timeout, interval, unhealthyThreshold, healthyThreshold, healthChecker } = check;
  for (const [field, duration] of Object.entries({ Timeout: timeout, Interval: interval })) {
    if (duration === undefined) yield constraint('HealthCheck', field, 'value is required');
    else if (!isPositive(duration)) yield constraint('HealthCheck', field, 'value must be greater than 0s');
  }
  if (unhealthyThreshold === undefined) yield constraint('HealthCheck', 'UnhealthyThreshold', 'value is required');
  if (healthyThreshold === undefined) yield constraint('HealthCheck', 'HealthyThreshold', 'value is required');
  yield* notPositive('HealthCheck', {
    NoTrafficInterval: check.noTrafficInterval,
    NoTrafficHealthyInterval: check.noTrafficHealthyInterval,
    UnhealthyInterval: check.unhealthyInterval,
    UnhealthyEdgeInterval: check.unhealthyEdgeInterval,
    HealthyEdgeInterval: check.healthyEdgeInterval,
  });
  switch (healthChecker.case) {
    case 'tcpHealthCheck':
      yield* payloadRefusals(healthChecker.value);
      return;
    case 'httpHealthCheck':
      yield* payloadRefusals(healthChecker.value);
      yield* httpRefusals(healthChecker.value);
      return;
    case 'grpcHealthCheck':
      if (!speaksHttp2) yield `${cluster} cluster must support HTTP/2 for gRPC healthchecking`;
      return;
    case 'customHealthCheck': {
      const { name, configType } = healthChecker.value;
      const missing = missingExtension(name, configType.value, HEALTH_CHECKERS);
      if (missing !== null) yield missing;
      return;
    }
    case undefined:
      yield constraint('HealthCheck', 'HealthChecker', 'value is required');
      return;
    default:
      healthChecker satisfies never;
  }
}

function* payloadRefusals({
  send,
  receive,
}: {
  readonly send?: HealthCheck_Payload | undefined;
  readonly receive: readonly HealthCheck_Payload[];
}): Iterable<string> {
  for (const { payload } of send === undefined ? receive : [send, ...receive]) {
    if (payload.case === undefined) yield constraint('HealthCheck_Payload', 'Payload', 'value is required');
    if (payload.case !== 'text') continue;
    if (payload.value === '') yield constraint('HealthCheck_Payload', 'Text', 'value length must be at least 1 characters');
    if (!/^(?:[0-9a-f]{2})*$/i.test(payload.value)) yield `invalid hex string '${payload.value}'`;
  }
}

function* httpRefusals({ path, codecClientType, expectedStatuses }: HealthCheck_HttpHealthCheck): Iterable<string> {
  if (path === '') yield constraint('HealthCheck_HttpHealthCheck', 'Path', 'value length must be at least 1 characters');
  yield* undefinedEnum('HealthCheck_HttpHealthCheck', { CodecClientType: [codecClientType, CodecClientType] });
  for (const { start, end } of expectedStatuses) {
    if (start >= end) yield `Invalid http expected status range: expecting start < end, but found start=${start} and end=${end}`;
    if (start < 100n) yield `Invalid http expected status range: expecting start >= 100, but found start=${start}`;
    if (end > 600n) yield `Invalid http expected status range: expecting end <= 600, but found end=${end}`;
  }
}
