import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { percent, positive, positiveDuration, wholePercent, written } from './conf.ts';
import { confOf, readPolicy } from './policy.ts';
import type { Policy } from './policy.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

export type MeshCircuitBreaker = Policy<CircuitBreakerConf>;

/** Fields that were not written are absent. */
export interface CircuitBreakerConf {
  readonly connectionLimits?: ConnectionLimits;
  readonly outlierDetection?: OutlierConf;
}

interface ConnectionLimits {
  readonly maxConnections?: number;
  readonly maxConnectionPools?: number;
  readonly maxPendingRequests?: number;
  readonly maxRetries?: number;
  readonly maxRequests?: number;
}

export interface OutlierConf {
  readonly disabled?: boolean;
  readonly intervalMs?: number;
  readonly baseEjectionMs?: number;
  readonly maxEjectionPercent?: number;
  readonly splitExternalAndLocalErrors?: boolean;
  readonly healthyPanicThreshold?: number;
  readonly detectors?: Detectors;
}

interface Detectors {
  readonly totalFailures?: { readonly consecutive?: number };
  readonly gatewayFailures?: { readonly consecutive?: number };
  readonly localOriginFailures?: { readonly consecutive?: number };
  readonly successRate?: RateConf & { readonly standardDeviationFactor?: number };
  readonly failurePercentage?: RateConf & { readonly threshold?: number };
}

interface RateConf {
  readonly minimumHosts?: number;
  readonly requestVolume?: number;
}

const TOP = ['Mesh', 'MeshSubset', 'MeshService', 'MeshGateway', 'MeshServiceSubset', 'Dataplane'] as const;
const TO = ['Mesh', 'MeshService', 'MeshExternalService', 'MeshMultiZoneService'] as const;
const LIMITS = ['maxConnections', 'maxConnectionPools', 'maxPendingRequests', 'maxRetries', 'maxRequests'] as const;
const DETECTORS = ['totalFailures', 'gatewayFailures', 'localOriginFailures', 'successRate', 'failurePercentage'] as const;
const OUTLIER = [
  'disabled',
  'interval',
  'baseEjectionTime',
  'maxEjectionPercent',
  'splitExternalAndLocalErrors',
  'detectors',
  'healthyPanicThreshold',
];

function readMeshCircuitBreaker(document: Document, findings: Findings): MeshCircuitBreaker {
  const read = readPolicy(document, { top: TOP, to: TO, from: ['Mesh'], hasRules: true, conf: readConf }, findings);
  const { policy, spec } = read;
  const lists = ['rules', 'to', 'from'].filter((list) => spec.has(list) && !spec.isEmpty(list));
  if (lists.length === 0) findings.error(spec.at, 'spec', "at least one of 'from', 'to' or 'rules' has to be defined");
  if (lists.includes('rules') && lists.length > 1) {
    findings.error(spec.at, 'spec', "fields 'to' and 'from' must be empty when 'rules' is defined");
  }
  return policy;
}

function readConf(item: Fields): CircuitBreakerConf {
  const { conf, path } = confOf(item, ['connectionLimits', 'outlierDetection']);
  if (conf?.has('connectionLimits') !== true && conf?.has('outlierDetection') !== true) {
    const message = "at least one of: 'connectionLimits' or 'outlierDetection' should be configured";
    item.errorAt(conf?.at ?? item.at, path, message);
  }
  const limits = conf?.object('connectionLimits', LIMITS);
  const outlier = conf?.object('outlierDetection', OUTLIER);
  return written<CircuitBreakerConf>({
    connectionLimits:
      limits === undefined
        ? undefined
        : Object.fromEntries(
            LIMITS.flatMap((name) => {
              const limit = positive(limits, name);
              return limit === undefined ? [] : [[name, limit]];
            }),
          ),
    outlierDetection: outlier === undefined ? undefined : readOutlier(outlier),
  });
}

function readOutlier(outlier: Fields): OutlierConf {
  const detectors = outlier.object('detectors', DETECTORS);
  if (!outlier.has('detectors')) outlier.errorAt(outlier.at, `${outlier.path}.detectors`, 'must be defined');
  else if (detectors !== undefined && !DETECTORS.some((name) => detectors.has(name))) {
    outlier.error('detectors', `must have at least one defined: ${DETECTORS.join(', ')}`);
  }
  return written<OutlierConf>({
    disabled: outlier.flag('disabled'),
    intervalMs: positiveDuration(outlier, 'interval'),
    baseEjectionMs: positiveDuration(outlier, 'baseEjectionTime'),
    maxEjectionPercent: wholePercent(outlier, 'maxEjectionPercent'),
    splitExternalAndLocalErrors: outlier.flag('splitExternalAndLocalErrors'),
    healthyPanicThreshold: percent(outlier, 'healthyPanicThreshold'),
    detectors: detectors === undefined ? undefined : readDetectors(detectors),
  });
}

function readDetectors(detectors: Fields): Detectors {
  const consecutive = (name: string): { readonly consecutive?: number } | undefined => {
    const detector = detectors.object(name, ['consecutive']);
    return detector === undefined ? undefined : written({ consecutive: positive(detector, 'consecutive') });
  };
  const rate = detectors.object('successRate', ['minimumHosts', 'requestVolume', 'standardDeviationFactor']);
  const failure = detectors.object('failurePercentage', ['minimumHosts', 'requestVolume', 'threshold']);
  const factor = rate?.decimal('standardDeviationFactor');
  if (factor !== undefined && factor <= 0) rate?.error('standardDeviationFactor', 'must be greater than 0');
  const hosts = (fields: Fields): { minimumHosts: number | undefined; requestVolume: number | undefined } => ({
    minimumHosts: positive(fields, 'minimumHosts'),
    requestVolume: positive(fields, 'requestVolume'),
  });
  return written<Detectors>({
    totalFailures: consecutive('totalFailures'),
    gatewayFailures: consecutive('gatewayFailures'),
    localOriginFailures: consecutive('localOriginFailures'),
    successRate: rate === undefined ? undefined : written({ ...hosts(rate), standardDeviationFactor: factor }),
    failurePercentage:
      failure === undefined ? undefined : written({ ...hosts(failure), threshold: wholePercent(failure, 'threshold') }),
  });
}

export const meshCircuitBreaker: PolicyKind<MeshCircuitBreaker, 'circuitBreakers'> = policyKind(
  'circuitBreakers',
  readMeshCircuitBreaker,
);
