import type { HttpFault, RequestRateLimit } from '../../model/http-route.ts';
import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { readSelectors } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { replyHeaders } from '../http.ts';
import { bandwidthOf, duration, headerOf, written } from './conf.ts';
import { olderPolicyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

/** The older policies RateLimit and FaultInjection, which act on HTTP requests. */
export interface LegacyHttpPolicy {
  readonly kind: 'RateLimit' | 'FaultInjection';
  readonly meta: Meta;
  /** Tags of the clients, as their sidecars send them; a client has to match one of the sets. */
  readonly sources: readonly Tags[];
  readonly destinations: readonly Tags[];
  /** The limit of a RateLimit; null where it has none. */
  readonly limit: RequestRateLimit | null;
  /** The fault of a FaultInjection. */
  readonly fault: HttpFault | null;
}

function readRateLimit(document: Document, findings: Findings): LegacyHttpPolicy {
  const spec = document.spec(['sources', 'destinations', 'conf']);
  const selected = selectors(spec, findings);
  const conf = spec.object('conf', ['http']);
  if (!spec.has('conf')) spec.error('conf', 'must have conf');
  const http = conf?.object('http', ['requests', 'interval', 'onRateLimit']);
  if (http !== undefined) {
    if ((http.count('requests') ?? 0) === 0) http.error('requests', 'requests must be set');
    if (!http.has('interval')) http.error('interval', 'interval must be set');
    const onLimit = http.object('onRateLimit', ['status', 'headers']);
    const headers = onLimit?.objects('headers', ['key', 'value', 'append']) ?? [];
    for (const [i, header] of headers.entries()) {
      for (const name of ['key', 'value']) {
        if ((header.text(name) ?? '') !== '') continue;
        // Kuma's path has `header` for `headers`.
        header.errorAt(header.at, `${http.path}.onRateLimit.header["${i}"]`, `${name} must be set`);
      }
    }
  }
  const limit = http === undefined ? null : limitOf(http);
  return { kind: 'RateLimit', meta: document.meta, ...selected, limit, fault: null };
}

function limitOf(http: Fields): RequestRateLimit | null {
  const onLimit = http.object('onRateLimit', ['status', 'headers']);
  const status = onLimit?.count('status');
  const headers = (onLimit?.objects('headers', ['key', 'value', 'append']) ?? []).map((header) => ({
    ...headerOf(header, 'key', 'value'),
    append: header.flag('append') ?? false,
  }));
  const [requests, intervalMs] = [http.count('requests') ?? 0, duration(http, 'interval') ?? 0];
  if (requests === 0 || intervalMs <= 0) return null;
  return {
    requests,
    intervalMs,
    ...(status === undefined || status === 429 ? {} : { status }),
    ...(headers.length === 0 ? {} : { headers: replyHeaders(headers) }),
  };
}

function readFaultInjection(document: Document, findings: Findings): LegacyHttpPolicy {
  const spec = document.spec(['sources', 'destinations', 'conf'], { response_bandwidth: 'responseBandwidth' });
  const selected = selectors(spec, findings);
  const conf = spec.object('conf', ['delay', 'abort', 'responseBandwidth']);
  const fault = (name: string, known: readonly string[]): Fields | undefined =>
    conf?.isEmpty(name) === true ? undefined : conf?.object(name, known);
  const delay = fault('delay', ['percentage', 'value']);
  const abort = fault('abort', ['percentage', 'httpStatus']);
  const bandwidth = fault('responseBandwidth', ['percentage', 'limit']);
  const faults = [delay, abort, bandwidth].filter((each) => each !== undefined);
  if (faults.length === 0) spec.error('conf', 'must have at least one of the faults configured');
  for (const each of faults) {
    const percentage = each.decimal('percentage');
    if (!each.has('percentage')) each.error('percentage', 'cannot be empty');
    else if (percentage !== undefined && (percentage < 0 || percentage > 100)) {
      each.error('percentage', 'has to be in [0.0 - 100.0] range');
    }
  }
  if (delay !== undefined && !delay.has('value')) delay.error('value', 'cannot be empty');
  if (abort !== undefined && !abort.has('httpStatus')) abort.error('httpStatus', 'cannot be empty');
  if (bandwidth !== undefined) {
    const limit = bandwidth.text('limit');
    if (limit === undefined) bandwidth.error('limit', 'cannot be empty');
    else if (!/\d*\s?[gmk]bps/.test(limit)) bandwidth.error('limit', 'has to be in kbps/mbps/gbps units');
  }
  const percentOf = (each: Fields): number => each.decimal('percentage') ?? 0;
  const found = written<Omit<HttpFault, 'clients'>>({
    delay: delay === undefined ? undefined : { ms: duration(delay, 'value') ?? 0, percent: percentOf(delay) },
    abort: abort === undefined ? undefined : { status: abort.count('httpStatus') ?? 0, percent: percentOf(abort) },
    bandwidth:
      bandwidth === undefined
        ? undefined
        : { kibPerSecond: bandwidthOf(bandwidth.text('limit') ?? ''), percent: percentOf(bandwidth) },
  });
  return { kind: 'FaultInjection', meta: document.meta, ...selected, limit: null, fault: found };
}

function selectors(spec: Fields, findings: Findings): Pick<LegacyHttpPolicy, 'sources' | 'destinations'> {
  return {
    sources: readSelectors(spec, 'sources', { atLeastOne: true }, findings),
    destinations: readSelectors(spec, 'destinations', { atLeastOne: true }, findings),
  };
}

export const rateLimit: PolicyKind<LegacyHttpPolicy, 'legacyHttp'> = olderPolicyKind('legacyHttp', readRateLimit);

export const faultInjection: PolicyKind<LegacyHttpPolicy, 'legacyHttp'> = olderPolicyKind('legacyHttp', readFaultInjection);
