import type { HttpFault, RequestRateLimit } from '../../model/http-route.ts';
import { headerProblem, replyHeaders } from '../../resources/http.ts';
import type { RuntimeFractionalPercent } from '#envoy/config/core/v3/base_pb.js';
import { HeaderValueOption_HeaderAppendAction } from '#envoy/config/core/v3/base_pb.js';
import type { FaultDelay, FaultRateLimit } from '#envoy/extensions/filters/common/fault/v3/fault_pb.js';
import type { FaultAbort, HTTPFault } from '#envoy/extensions/filters/http/fault/v3/fault_pb.js';
import type { LocalRateLimit } from '#envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import type { FractionalPercent } from '#envoy/type/v3/percent_pb.js';
import { FractionalPercent_DenominatorType } from '#envoy/type/v3/percent_pb.js';
import { XRateLimitHeadersRFCVersion } from '#envoy/extensions/common/ratelimit/v3/ratelimit_pb.js';
import { unknownField } from '../messages/typed-config.ts';
import { milliseconds } from '../messages/duration.ts';
import { senderRules } from './sender-rules.ts';

/** Parts of a chain that the reader could not use. */
export interface Notes {
  /** Restrictions; each refuses every client. */
  readonly unsupported: string[];
  /** Parts without an effect here. */
  readonly undone: string[];
  readonly remarks: string[];
}

/** Returns null where it limits nothing. */
export function readRequestLimit(limit: LocalRateLimit, notes: Notes): RequestRateLimit | null {
  const { tokenBucket, filterEnabled, filterEnforced, status, responseHeadersToAdd } = limit;
  const [enabled, enforced] = [shareOf(filterEnabled), shareOf(filterEnforced)];
  if (tokenBucket === undefined || enabled === 0 || enforced === 0) return null;
  const unevaluated = [
    ...(limit.descriptors.length > 0 ? ['by descriptors'] : []),
    ...(limit.localRateLimitPerDownstreamConnection ? ['for each connection'] : []),
    ...(limit.localClusterRateLimit === undefined ? [] : ['for its cluster']),
    ...(unknownField(limit) === null ? [] : ['by what is not known here']),
  ];
  for (const how of unevaluated) notes.unsupported.push(`it limits requests ${how}, which is not evaluated`);
  if (unevaluated.length > 0) return null;
  if (limit.requestHeadersToAddWhenNotEnforced.length > 0) notes.undone.push('headers for what a limit lets through');
  if (limit.enableXRatelimitHeaders !== XRateLimitHeadersRFCVersion.OFF) notes.undone.push('headers that tell of a limit');
  const requests = tokenBucket.maxTokens;
  const perFill = tokenBucket.tokensPerFill ?? 1;
  const fillMs = milliseconds(tokenBucket.fillInterval) ?? 0;
  if (requests === 0 || perFill === 0 || fillMs === 0) {
    notes.unsupported.push(`it limits requests to ${perFill} in ${fillMs} ms and ${requests} at once`);
    return null;
  }
  const added = responseHeadersToAdd.map(({ header, append, appendAction }) => ({
    name: (header?.key ?? '').toLowerCase(),
    value: header?.value ?? '',
    append: append ?? appendAction === HeaderValueOption_HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD,
  }));
  const sound = added.filter(({ name, value }) => headerProblem(name, value) === null);
  if (sound.length < added.length) notes.undone.push('headers of a limit that no answer can carry');
  const headers = replyHeaders(sound);
  const code = status?.code ?? 0;
  return {
    requests,
    intervalMs: (fillMs * requests) / perFill,
    ...(enabled < 100 ? { percent: enabled } : {}),
    ...(enforced < 100 ? { enforcedPercent: enforced } : {}),
    // Envoy uses 429 for a status that is no error.
    ...(Number(code) < 400 || Number(code) === 429 ? {} : { status: code }),
    ...(headers.length === 0 ? {} : { headers }),
    ...(limit.rateLimitedAsResourceExhausted ? { grpcStatus: 8 } : {}),
  };
}

/** Envoy's default is no request at all. */
function shareOf(percent: RuntimeFractionalPercent | undefined): number {
  return percentOf(percent?.defaultValue);
}

/** Returns null where it does nothing. */
export function readFault(fault: HTTPFault, cluster: string, notes: Notes): HttpFault | null {
  const { upstreamCluster, downstreamNodes, maxActiveFaults } = fault;
  if (upstreamCluster !== '' && upstreamCluster !== cluster) return null;
  if (downstreamNodes.length > 0) {
    notes.undone.push('faults for certain nodes');
    return null;
  }
  if (maxActiveFaults !== undefined) notes.undone.push('limits of a fault to a number');
  const clients = senderRules(fault.headers, notes);
  const delay = fault.delay === undefined ? null : readDelay(fault.delay, notes);
  const abort = fault.abort === undefined ? null : readAbort(fault.abort, notes);
  const bandwidth = fault.responseRateLimit === undefined ? null : readBandwidth(fault.responseRateLimit, notes);
  if (delay === null && abort === null && bandwidth === null) return null;
  return {
    ...(clients.length === 0 ? {} : { clients }),
    ...(delay === null ? {} : { delay }),
    ...(abort === null ? {} : { abort }),
    ...(bandwidth === null ? {} : { bandwidth }),
  };
}

function readDelay({ faultDelaySecifier: by, percentage }: FaultDelay, notes: Notes): NonNullable<HttpFault['delay']> | null {
  if (by.case === 'fixedDelay') return { ms: milliseconds(by.value) ?? 0, percent: percentOf(percentage) };
  notes.undone.push('delay by header');
  return null;
}

function readAbort({ errorType: by, percentage }: FaultAbort, notes: Notes): NonNullable<HttpFault['abort']> | null {
  const percent = percentOf(percentage);
  if (by.case === 'httpStatus') return { status: by.value, percent };
  // In HTTP it is a 200 with the status of gRPC in a header.
  if (by.case === 'grpcStatus') return { status: 200, grpcStatus: by.value, percent };
  notes.undone.push('abort by header');
  return null;
}

function readBandwidth({ limitType: by, percentage }: FaultRateLimit, notes: Notes): NonNullable<HttpFault['bandwidth']> | null {
  if (by.case === 'fixedLimit') return { kibPerSecond: Math.max(1, Number(by.value.limitKbps)), percent: percentOf(percentage) };
  notes.undone.push('bandwidth by header');
  return null;
}

function percentOf(percent: FractionalPercent | undefined): number {
  if (percent === undefined) return 0;
  const { HUNDRED, TEN_THOUSAND } = FractionalPercent_DenominatorType;
  const whole = percent.denominator === HUNDRED ? 1 : percent.denominator === TEN_THOUSAND ? 100 : 10_000;
  return percent.numerator / whole;
}
