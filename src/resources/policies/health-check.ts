import type { Cluster } from '../../model/cluster.ts';
import { EXPECTED_STATUSES } from '../../model/protection.ts';
import type { HealthCheck, HealthProbe } from '../../model/protection.ts';
import type { MeshExternalService } from '../kinds/mesh-external-service.ts';
import type { HealthCheckConf } from '../kinds/mesh-health-check.ts';
import { flatHeaders } from '../http.ts';
import type { Feature } from './not-yet.ts';

type Protocol = MeshExternalService['protocol'];

/** Kuma's own defaults. */
const DEFAULTS = { intervalMs: 60_000, timeoutMs: 15_000, unhealthyThreshold: 5, healthyThreshold: 1 };
/** Envoy's default. */
const NO_TRAFFIC_INTERVAL_MS = 60_000;

/**
 * Makes the fields that a MeshHealthCheck sets in a cluster: one check, of the kind that fits the
 * protocol of the service.
 */
export function healthFields(conf: HealthCheckConf, protocol: Protocol): Partial<Cluster> {
  const probe = probeOf(conf, protocol);
  const panic = conf.healthyPanicThreshold;
  return {
    ...(probe === null ? {} : { healthChecks: [checkOf(conf, probe)] }),
    ...(panic === undefined ? {} : { panicThresholdPercent: panic }),
    ...(conf.failTrafficOnPanic === true ? { failInPanic: true } : {}),
  };
}

const FEATURES = { tcp: 'TCP health checks', http: 'HTTP health checks', grpc: 'gRPC health checks' } as const;

export function healthFeatures(conf: HealthCheckConf, protocol: Protocol): readonly Feature[] {
  const probe = probeOf(conf, protocol);
  return [
    ...(probe === null ? (isOff(conf) ? [] : (['no health check'] as const)) : [FEATURES[probe.kind]]),
    ...(conf.failTrafficOnPanic === true ? (['failTrafficOnPanic'] as const) : []),
  ];
}

function isOff({ tcp, http, grpc }: HealthCheckConf): boolean {
  return [tcp, http, grpc].every((check) => check === undefined || check.disabled === true);
}

/**
 * Chooses the check of the service's own protocol; a TCP check replaces it only where it is present
 * and disabled.
 */
function probeOf({ tcp, http, grpc }: HealthCheckConf, protocol: Protocol): HealthProbe | null {
  const bytes: HealthProbe | null =
    tcp === undefined || tcp.disabled === true
      ? null
      : { kind: 'tcp', send: hexOf(tcp.send ?? ''), receive: (tcp.receive ?? []).map(hexOf) };
  switch (protocol) {
    case 'tcp':
      return bytes;
    case 'http':
    case 'http2': {
      if (http === undefined) return null;
      if (http.disabled === true) return bytes;
      const { path = '/', expectedStatuses = [] } = http;
      return {
        kind: 'http',
        http2: protocol === 'http2',
        path,
        ...headersOf(http),
        expectedStatuses: expectedStatuses.length === 0 ? EXPECTED_STATUSES : expectedStatuses,
      };
    }
    case 'grpc':
      if (grpc === undefined) return null;
      if (grpc.disabled === true) return bytes;
      return { kind: 'grpc', serviceName: grpc.serviceName ?? '', authority: grpc.authority ?? '' };
    default:
      return protocol satisfies never;
  }
}

/** Kuma splits values at commas, and applies `set` after `add`. */
function headersOf({ headers }: NonNullable<HealthCheckConf['http']>): {
  readonly host?: string;
  readonly headers?: readonly string[];
} {
  const { set = [], add = [] } = headers ?? {};
  const all = [...add.map((header) => ({ ...header, append: true })), ...set.map((header) => ({ ...header, append: false }))];
  const each = all.flatMap(({ name, value, append }) => value.split(',').map((part) => ({ name, value: part, append })));
  const flat = flatHeaders(each.filter(({ name }) => name !== 'host'));
  const host = each.findLast(({ name }) => name === 'host')?.value;
  return { ...(host === undefined ? {} : { host }), ...(flat.length === 0 ? {} : { headers: flat }) };
}

/** Kuma's documentation says base64, but Kuma sends the text as it is written. */
function hexOf(text: string): string {
  return Buffer.from(text).toString('hex');
}

function checkOf(conf: HealthCheckConf, probe: HealthProbe): HealthCheck {
  return {
    probe,
    intervalMs: conf.intervalMs ?? DEFAULTS.intervalMs,
    timeoutMs: conf.timeoutMs ?? DEFAULTS.timeoutMs,
    unhealthyThreshold: conf.unhealthyThreshold ?? DEFAULTS.unhealthyThreshold,
    healthyThreshold: conf.healthyThreshold ?? DEFAULTS.healthyThreshold,
    initialJitterMs: conf.initialJitterMs ?? 0,
    intervalJitterMs: conf.intervalJitterMs ?? 0,
    intervalJitterPercent: conf.intervalJitterPercent ?? 0,
    noTrafficIntervalMs: conf.noTrafficIntervalMs ?? NO_TRAFFIC_INTERVAL_MS,
    reuseConnection: conf.reuseConnection ?? true,
  };
}
