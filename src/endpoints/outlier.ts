/**
 * Outlier detection of one cluster, as Envoy does it for TCP: consecutive failures eject at once,
 * rates are evaluated every interval. A failure to connect counts as a 5xx of the gateway kind,
 * unless local failures are split. Pure: time and chance are passed in, ejections are reported to
 * `onChange`.
 */
import type { ConsecutiveDetector, OutlierDetection } from '../model/cluster.ts';
import type { AttemptOutcome } from '../model/messages.ts';

/** Detectors, by the names of Envoy's statistics. */
export type Detector =
  'consecutive_5xx' | 'consecutive_gateway_failure' | 'consecutive_local_origin_failure' | 'success_rate' | 'failure_percentage';

export type Detected = 'ejected' | 'overflow' | 'not_enforced';

export interface OutlierEvents {
  onChange(key: string, ejected: boolean): void;
  /**
   * `overflow` where the limit of ejections prevented it, `not_enforced` where the settings did.
   */
  onDetected(detector: Detector, result: Detected): void;
  /** Returns a number in [0, 1). */
  draw(): number;
}

/** Envoy's default, which Kuma keeps. */
const MAX_EJECTION_MS = 300_000;

interface Host {
  in5xx: number;
  inGateway: number;
  inLocal: number;
  ejectedAt: number | null;
  /**
   * The next ejection lasts this many times the base time; decreases by one in each interval
   * without an ejection of the host.
   */
  multiplier: number;
  current: Volume;
  last: Volume;
}

interface Volume {
  total: number;
  good: number;
}

export class ClusterOutliers {
  readonly settings: OutlierDetection;
  readonly #events: OutlierEvents;
  readonly #hosts = new Map<string, Host>();
  #ejected = 0;

  constructor(settings: OutlierDetection, events: OutlierEvents) {
    this.settings = settings;
    this.#events = events;
  }

  get ejected(): number {
    return this.#ejected;
  }

  /** Sets the existing endpoints. A removed one is forgotten, with its ejection. */
  setHosts(keys: ReadonlySet<string>): void {
    for (const [key, host] of this.#hosts) {
      if (keys.has(key)) continue;
      if (host.ejectedAt !== null) this.#restore(key, host);
      this.#hosts.delete(key);
    }
    for (const key of keys) if (!this.#hosts.has(key)) this.#hosts.set(key, newHost());
  }

  report(key: string, outcome: AttemptOutcome, nowMs: number): void {
    const host = this.#hosts.get(key);
    if (host === undefined) return;
    if (outcome.startsWith('answered')) return this.#answered(key, host, outcome, nowMs);
    if (outcome === 'connected') {
      if (!this.settings.splitLocalErrors) return;
      host.inLocal = 0;
      host.current.total++;
      host.current.good++;
      return;
    }
    host.current.total++;
    if (outcome === 'ok') {
      host.current.good++;
      host.in5xx = host.inGateway = host.inLocal = 0;
      return;
    }
    const { splitLocalErrors, consecutiveLocalFailures, consecutiveGatewayFailures, consecutiveTotalFailures } = this.settings;
    if (splitLocalErrors) {
      if (++host.inLocal === consecutiveLocalFailures.threshold) this.#detected(key, 'consecutive_local_origin_failure', nowMs);
      return;
    }
    if (++host.inGateway === consecutiveGatewayFailures.threshold) this.#detected(key, 'consecutive_gateway_failure', nowMs);
    if (++host.in5xx === consecutiveTotalFailures.threshold) this.#detected(key, 'consecutive_5xx', nowMs);
  }

  /**
   * Counts answers of an HTTP service. Where local failures are split, the rates count only those
   * failures.
   */
  #answered(key: string, host: Host, outcome: AttemptOutcome, nowMs: number): void {
    const { splitLocalErrors, consecutiveGatewayFailures, consecutiveTotalFailures } = this.settings;
    const isGood = outcome === 'answered';
    if (!splitLocalErrors) {
      host.current.total++;
      if (isGood) host.current.good++;
    }
    if (outcome !== 'answered-gateway-error') host.inGateway = 0;
    else if (++host.inGateway === consecutiveGatewayFailures.threshold) this.#detected(key, 'consecutive_gateway_failure', nowMs);
    if (isGood) host.in5xx = 0;
    else if (++host.in5xx === consecutiveTotalFailures.threshold) this.#detected(key, 'consecutive_5xx', nowMs);
  }

  /**
   * Call it every interval: it ends ejections that are over, then evaluates the rates of the
   * interval.
   */
  sweep(nowMs: number): void {
    for (const [key, host] of this.#hosts) {
      if (host.ejectedAt === null) host.multiplier = Math.max(0, host.multiplier - 1);
      else if (nowMs - host.ejectedAt >= this.#ejectionMs(host)) this.#restore(key, host);
      host.last = host.current;
      host.current = { total: 0, good: 0 };
    }
    this.#successRates(nowMs);
    this.#failurePercentages(nowMs);
  }

  /** Ends the ejection of an endpoint that an active check found healthy. */
  checkedHealthy(key: string): void {
    const host = this.#hosts.get(key);
    if (host !== undefined && host.ejectedAt !== null) this.#restore(key, host);
  }

  #successRates(nowMs: number): void {
    const { threshold: thousandths, minimumHosts, requestVolume } = this.settings.successRate;
    const rates = this.#rates(requestVolume);
    if (rates.length === 0 || rates.length < minimumHosts) return;
    const mean = rates.reduce((sum, { percent }) => sum + percent, 0) / rates.length;
    const variance = rates.reduce((sum, { percent }) => sum + (percent - mean) ** 2, 0) / rates.length;
    const threshold = mean - (thousandths / 1_000) * Math.sqrt(variance);
    for (const { key, percent } of rates) if (percent < threshold) this.#detected(key, 'success_rate', nowMs);
  }

  #failurePercentages(nowMs: number): void {
    const { threshold, minimumHosts, requestVolume } = this.settings.failurePercentage;
    const rates = this.#rates(requestVolume);
    if (rates.length < minimumHosts) return;
    for (const { key, percent } of rates) if (100 - percent >= threshold) this.#detected(key, 'failure_percentage', nowMs);
  }

  /** Returns the rates of hosts in use with enough attempts. */
  #rates(volume: number): { readonly key: string; readonly percent: number }[] {
    return [...this.#hosts].flatMap(([key, { ejectedAt, last }]) =>
      ejectedAt === null && last.total > 0 && last.total >= volume ? [{ key, percent: (100 * last.good) / last.total }] : [],
    );
  }

  #detected(key: string, detector: Detector, nowMs: number): void {
    const host = this.#hosts.get(key);
    if (host === undefined || host.ejectedAt !== null) return;
    reset(host, detector);
    const share = (100 * (this.#ejected + 1)) / this.#hosts.size;
    if (share > this.settings.maxEjectionPercent) return this.#events.onDetected(detector, 'overflow');
    if (this.#events.draw() * 100 >= detectorOf(this.settings, detector).enforcing)
      return this.#events.onDetected(detector, 'not_enforced');
    this.#ejected++;
    host.ejectedAt = nowMs;
    // The multiplier stops at the longest time, so that it also decreases in time.
    if (this.settings.baseEjectionMs * host.multiplier < this.#longestMs() + this.settings.baseEjectionMs) host.multiplier++;
    this.#events.onDetected(detector, 'ejected');
    this.#events.onChange(key, true);
  }

  #ejectionMs({ multiplier }: Host): number {
    return Math.min(this.settings.baseEjectionMs * multiplier, this.#longestMs());
  }

  #longestMs(): number {
    return Math.max(MAX_EJECTION_MS, this.settings.baseEjectionMs);
  }

  /** Resets all counters, so that one more failure does not eject at once. */
  #restore(key: string, host: Host): void {
    this.#ejected--;
    host.ejectedAt = null;
    host.in5xx = host.inGateway = host.inLocal = 0;
    this.#events.onChange(key, false);
  }
}

function newHost(): Host {
  return {
    in5xx: 0,
    inGateway: 0,
    inLocal: 0,
    ejectedAt: null,
    multiplier: 0,
    current: { total: 0, good: 0 },
    last: { total: 0, good: 0 },
  };
}

function reset(host: Host, detector: Detector): void {
  if (detector === 'consecutive_5xx') host.in5xx = 0;
  else if (detector === 'consecutive_gateway_failure') host.inGateway = 0;
  else if (detector === 'consecutive_local_origin_failure') host.inLocal = 0;
}

function detectorOf(settings: OutlierDetection, detector: Detector): ConsecutiveDetector {
  switch (detector) {
    case 'consecutive_5xx':
      return settings.consecutiveTotalFailures;
    case 'consecutive_gateway_failure':
      return settings.consecutiveGatewayFailures;
    case 'consecutive_local_origin_failure':
      return settings.consecutiveLocalFailures;
    case 'success_rate':
      return settings.successRate;
    case 'failure_percentage':
      return settings.failurePercentage;
    default:
      return detector satisfies never;
  }
}
