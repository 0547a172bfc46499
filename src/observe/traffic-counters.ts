/**
 * Envoy's counters of a zone egress, summed from the records of sessions: for the listener, and for
 * each cluster of the live configuration. A client cannot create another series. Sums never fall; a
 * cluster that leaves the configuration takes its counters with it.
 */
import type { EndReason } from '../base/refusal.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { EnvoyHistogram } from './envoy-histogram.ts';
import { Growing } from './growing.ts';
import { countRequest, HttpCounters } from './request-counters.ts';

/** The most addresses of a cluster with counters; a new one replaces the oldest. */
const MAX_HOSTS = 256;
const TLS_VERSIONS: ReadonlySet<string> = new Set(['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']);

export class ListenerCounters {
  readonly taken: Growing = new Growing();
  /** Ended connections with a route. */
  ended = 0;
  readonly lengthMs: EnvoyHistogram = new EnvoyHistogram();
  noRoute = 0;
  helloTimeout = 0;
  goneBeforeRoute = 0;
  /** Connections refused because the egress had its maximum of sessions. */
  overflow = 0;
  helloTooLarge = 0;
  tlsFound = 0;
  tlsNotFound = 0;
  alpnFound = 0;
  alpnNotFound = 0;
  sniFound = 0;
  sniNotFound = 0;
  /** Handshakes with a verified client, and their versions. */
  handshakes = 0;
  /** Counts the handshakes that resumed an earlier session. */
  resumed = 0;
  readonly tlsVersions: Map<string, number> = new Map();
  handshakeFailed = 0;
  noCertificate = 0;
  notTrusted = 0;
  wrongNames = 0;
}

export class ClusterCounters {
  /** Connections that were tried, and sessions that were carried. */
  readonly tried: Growing = new Growing();
  readonly carried: Growing = new Growing();
  sessions = 0;
  /** Connections that were tried, that failed, and that timed out. */
  attempts = 0;
  connectFailed = 0;
  connectTimeout = 0;
  gaveUp = 0;
  connected = 0;
  cancelled = 0;
  pending = 0;
  noEndpoint = 0;
  overflow = 0;
  pendingOverflow = 0;
  rateLimited = 0;
  idleTimeout = 0;
  endedByEndpoint = 0;
  endedHere = 0;
  /** Connected sessions that the endpoint ended. */
  cutByEndpoint = 0;
  cutHere = 0;
  /** Bytes to the endpoint, and from it. */
  bytesUp = 0;
  bytesDown = 0;
  allowed = 0;
  denied = 0;
  shadowDenied = 0;
  tlsHandshakes = 0;
  /** Failures of TLS, except refused certificates. */
  tlsFailed = 0;
  serverNotTrusted = 0;
  serverWrongNames = 0;
  /** Ejections by detector: all detections, and those that ejected. */
  readonly ejectionsDetected: Map<string, number> = new Map();
  readonly ejectionsEnforced: Map<string, number> = new Map();
  ejectionsOverflow = 0;
  /** Counters of an HTTP service. */
  readonly http: HttpCounters = new HttpCounters();
  readonly connectMs: EnvoyHistogram = new EnvoyHistogram();
  readonly lengthMs: EnvoyHistogram = new EnvoyHistogram();
  /** Keyed by `address:port`. */
  readonly hosts: Map<string, HostCounters> = new Map();
}

/** Counters of the endpoint that a session was connected to, or tried last. */
export interface HostCounters {
  sessions: number;
  failed: number;
  /** For HTTP: answers below 500, other answers, and timeouts. */
  requestsGood: number;
  requestsBad: number;
  requestsLate: number;
}

export class TrafficCounters {
  #listener = new ListenerCounters();
  readonly #clusters = new Map<string, ClusterCounters>();

  get listener(): ListenerCounters {
    return this.#listener;
  }

  /** Begins all counts at 0. Sessions that are open count when they end. */
  reset(): void {
    this.#listener = new ListenerCounters();
    this.#clusters.clear();
  }

  /** Returns zeros before its first session. */
  cluster(name: string): ClusterCounters {
    const known = this.#clusters.get(name);
    if (known !== undefined) return known;
    const made = new ClusterCounters();
    this.#clusters.set(name, made);
    return made;
  }

  /** Keeps the counters of the clusters in the live configuration. */
  keep(clusters: ReadonlyMap<string, unknown>): void {
    for (const name of this.#clusters.keys()) if (!clusters.has(name)) this.#clusters.delete(name);
  }

  /** Counts a detection of outlier detection for an endpoint of a cluster, with any result. */
  ejection(cluster: string, detector: string, result: 'ejected' | 'overflow' | 'not_enforced'): void {
    const to = this.cluster(cluster);
    to.ejectionsDetected.set(detector, (to.ejectionsDetected.get(detector) ?? 0) + 1);
    if (result === 'overflow') to.ejectionsOverflow++;
    if (result === 'ejected') to.ejectionsEnforced.set(detector, (to.ejectionsEnforced.get(detector) ?? 0) + 1);
  }

  recordRequest(record: RequestRecord): void {
    if (record.cluster === '') return;
    const to = this.cluster(record.cluster);
    countRequest(to.http, record);
    to.bytesUp += record.bytesUp;
    to.bytesDown += record.bytesDown;
    if (record.connections > 0) to.connectMs.observe(record.connectMs);
    if (record.endpoint !== '') countRequestAt(hostOf(to.hosts, record.endpoint), record);
  }

  record(record: SessionRecord): void {
    countHello(this.listener, record);
    if (record.cluster === '') return;
    this.listener.ended++;
    this.listener.lengthMs.observe(record.totalMs);
    countHandshake(this.listener, record);
    countSession(this.cluster(record.cluster), record);
  }
}

function countHello(to: ListenerCounters, { reason, cluster, sni, alpn, helloMs }: SessionRecord): void {
  if (helloMs >= 0) {
    to.tlsFound++;
    if (sni === '') to.sniNotFound++;
    else to.sniFound++;
    if (alpn.length === 0) to.alpnNotFound++;
    else to.alpnFound++;
  }
  if (cluster !== '') return;
  switch (reason) {
    case 'not-tls':
      to.tlsNotFound++;
      to.noRoute++;
      return;
    case 'no-route':
    case 'no-sni':
      to.noRoute++;
      return;
    case 'hello-too-large':
      to.helloTooLarge++;
      return;
    case 'hello-timeout':
      to.helloTimeout++;
      return;
    case 'client-gone':
      to.goneBeforeRoute++;
      return;
    case 'over-limit':
      to.overflow++;
      return;
    default:
      return;
  }
}

function countHandshake(to: ListenerCounters, record: SessionRecord): void {
  switch (record.reason) {
    case 'handshake-failed':
      to.handshakeFailed++;
      return;
    case 'no-client-certificate':
      to.noCertificate++;
      return;
    case 'client-not-trusted':
    case 'wrong-mesh':
      // Envoy counts names that its own check refuses, and certificates that BoringSSL refuses
      // before that, as two numbers.
      if (record.check === 'names') to.wrongNames++;
      else to.notTrusted++;
      return;
    default:
      if (!isVerified(record)) return;
      to.handshakes++;
      if (record.resumed === true) to.resumed++;
      if (TLS_VERSIONS.has(record.tlsVersion))
        to.tlsVersions.set(record.tlsVersion, (to.tlsVersions.get(record.tlsVersion) ?? 0) + 1);
  }
}

function countSession(to: ClusterCounters, record: SessionRecord): void {
  const { reason, attempts, connectMs, limit } = record;
  const isConnected = connectMs >= 0;
  to.sessions++;
  if (reason === 'denied' || reason === 'unsupported-policy') to.denied++;
  else if (isVerified(record)) to.allowed++;
  if (record.shadowDenied || record.wouldRefuse !== undefined) to.shadowDenied++;
  if (record.requests !== undefined) {
    // The requests and their connections are counted from their own records.
    to.http.sessions++;
    return;
  }
  to.bytesUp += record.bytesUp;
  to.bytesDown += record.bytesDown;
  if (limit === 'max-connections') to.overflow++;
  else if (limit === 'max-pending') to.pendingOverflow++;
  else if (limit === 'rate') to.rateLimited++;
  if (reason === 'no-endpoint' || reason === 'dns-failed' || reason === 'forbidden-address') to.noEndpoint++;
  if (reason === 'idle-timeout') to.idleTimeout++;
  if (reason === 'upstream-tls-failed') {
    if (record.check === 'names') to.serverWrongNames++;
    else if (record.check === 'chain') to.serverNotTrusted++;
    else to.tlsFailed++;
  }
  if (attempts === 0) return;

  // The last attempt has not failed when its client stopped waiting for it.
  const failed = attempts - (FAILED.has(reason) && !isConnected ? 0 : 1);
  to.attempts += attempts;
  to.pending++;
  to.connectFailed += failed;
  to.endedByEndpoint += failed;
  if (isConnected) countConnected(to, record);
  else if (FAILED.has(reason)) to.gaveUp++;
  else to.cancelled++;
  if (reason === 'connect-timeout' && !isConnected) to.connectTimeout++;
  countHost(to.hosts, record.endpoint, isConnected);
}

function countConnected(to: ClusterCounters, record: SessionRecord): void {
  const { reason, connectMs, helloMs, handshakeMs, totalMs } = record;
  to.connected++;
  to.connectMs.observe(connectMs);
  to.lengthMs.observe(Math.max(0, totalMs - Math.max(0, helloMs) - Math.max(0, handshakeMs)));
  if (record.endpointTls) to.tlsHandshakes++;
  if (isEndedByEndpoint(reason)) {
    to.endedByEndpoint++;
    to.cutByEndpoint++;
  } else {
    to.endedHere++;
    to.cutHere++;
  }
}

/**
 * The order is not known where both sides ended without an error. Envoy sees the endpoint's end,
 * because it has passed on the client's.
 */
function isEndedByEndpoint(reason: EndReason): boolean {
  return reason === 'closed' || reason === 'endpoint-reset' || reason === 'upstream-tls-failed';
}

function isVerified({ mode, tlsVersion, reason }: SessionRecord): boolean {
  return mode === 'terminate' && tlsVersion !== '' && !REJECTED.has(reason);
}

const FAILED: ReadonlySet<EndReason> = new Set(['connect-refused', 'connect-timeout', 'upstream-tls-failed']);

const REJECTED: ReadonlySet<EndReason> = new Set([
  'handshake-failed',
  'no-client-certificate',
  'client-not-trusted',
  'wrong-mesh',
]);

function countHost(hosts: Map<string, HostCounters>, key: string, isConnected: boolean): void {
  const host = hostOf(hosts, key);
  host.sessions++;
  if (!isConnected) host.failed++;
}

/** Counts connections with the request for which they were made. */
function countRequestAt(host: HostCounters, { attempts, connections, forwarded, status, flags }: RequestRecord): void {
  host.sessions += attempts;
  host.failed += attempts - connections;
  if (!forwarded) return;
  if (flags.includes('UT')) host.requestsLate++;
  if (status > 0 && status < 500) host.requestsGood++;
  else host.requestsBad++;
}

function hostOf(hosts: Map<string, HostCounters>, key: string): HostCounters {
  const known = hosts.get(key);
  if (known !== undefined) return known;
  const host = { sessions: 0, failed: 0, requestsGood: 0, requestsBad: 0, requestsLate: 0 };
  const [oldest] = hosts.keys();
  if (hosts.size >= MAX_HOSTS && oldest !== undefined) hosts.delete(oldest);
  hosts.set(key, host);
  return host;
}
