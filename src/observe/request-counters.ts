/** Envoy's counters of the requests of a cluster, summed from their records. */
import type { RequestRecord, ResponseFlag } from '../model/request-record.ts';
import { EnvoyHistogram } from './envoy-histogram.ts';

/** Counts ended requests. */
export class HttpCounters {
  /** Requests of clients, and those of them that were sent to an endpoint. */
  requests = 0;
  sent = 0;
  http1 = 0;
  http2 = 0;
  /** Ended sessions with requests. */
  sessions = 0;
  /** Answers by status: those that clients read, and those of the service. */
  readonly answered: Map<number, number> = new Map();
  readonly upstream: Map<number, number> = new Map();
  /** Requests that no codec could read, or that were refused for their form. */
  malformed = 0;
  allowed = 0;
  denied = 0;
  rateLimited = 0;
  faultAborts = 0;
  faultDelays = 0;
  overflow = 0;
  timeout = 0;
  idleTimeout = 0;
  maxDuration = 0;
  resetByClient = 0;
  resetByService = 0;
  resetHere = 0;
  protocolError = 0;
  /** Connections that were tried, and made. */
  attempts = 0;
  connections = 0;
  noEndpoint = 0;
  connectTimeout = 0;
  readonly timeMs: EnvoyHistogram = new EnvoyHistogram();
  readonly serviceTimeMs: EnvoyHistogram = new EnvoyHistogram();
}

export function countRequest(to: HttpCounters, record: RequestRecord): void {
  const { reason, status, forwarded, details } = record;
  const flags = record.flags.split(',');
  to.requests++;
  if (record.protocol === 'HTTP/2') to.http2++;
  else to.http1++;
  if (status > 0) countStatus(to.answered, status);
  to.timeMs.observe(record.totalMs);
  if (reason === 'denied' || reason === 'unsupported-policy') to.denied++;
  else if (reason === 'malformed-request') to.malformed++;
  // A request whose head never came was not judged.
  else if (record.method !== '') to.allowed++;
  to.attempts += record.attempts;
  to.connections += record.connections;
  // Envoy counts its own answer for a service that failed or cannot be reached as an answer of the
  // cluster.
  if (status > 0 && (forwarded || flags.some((flag) => OF_CLUSTER.has(flag)))) countStatus(to.upstream, status);
  if (forwarded) {
    to.sent++;
    if (record.serviceTimeMs >= 0) to.serviceTimeMs.observe(record.serviceTimeMs);
  }
  if (reason === 'no-endpoint' || reason === 'dns-failed' || reason === 'forbidden-address') to.noEndpoint++;
  if (reason === 'connect-timeout') to.connectTimeout++;
  if (details === 'downstream_remote_disconnect') {
    to.resetByClient++;
    if (forwarded) to.resetHere++;
  }
  if (details === 'downstream_local_disconnect' && forwarded) to.resetHere++;
  for (const flag of flags) countFlag(to, flag);
}

/** No endpoint, no connection to one, and a limit of the cluster. */
const OF_CLUSTER: ReadonlySet<string> = new Set(['UH', 'UF', 'UO'] satisfies readonly ResponseFlag[]);

function countFlag(to: HttpCounters, flag: string): void {
  switch (flag) {
    case 'RL':
      to.rateLimited++;
      return;
    case 'FI':
      to.faultAborts++;
      return;
    case 'DI':
      to.faultDelays++;
      return;
    case 'UO':
      to.overflow++;
      return;
    case 'UT':
      to.timeout++;
      return;
    case 'SI':
      to.idleTimeout++;
      return;
    case 'UMSDR':
      to.maxDuration++;
      return;
    case 'UPE':
      to.protocolError++;
      return;
    case 'UC':
    case 'UR':
      to.resetByService++;
      return;
    default:
      return;
  }
}

function countStatus(to: Map<number, number>, status: number): void {
  to.set(status, (to.get(status) ?? 0) + 1);
}

/** Sums a class of statuses, e.g. `2` for 2xx. */
export function ofClass(counts: ReadonlyMap<number, number>, first: number): number {
  let sum = 0;
  for (const [status, count] of counts) if (Math.floor(status / 100) === first) sum += count;
  return sum;
}
