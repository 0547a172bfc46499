import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { readSelectors } from '../tags.ts';
import type { Tags } from '../tags.ts';

/**
 * RateLimit and FaultInjection, the older ones: both act on requests of HTTP, so only what they
 * select matters here.
 */
export interface LegacyHttpPolicy {
  readonly kind: 'RateLimit' | 'FaultInjection';
  readonly meta: Meta;
  readonly destinations: readonly Tags[];
}

export function readRateLimit(document: Document, findings: Findings): LegacyHttpPolicy {
  const spec = document.spec(['sources', 'destinations', 'conf']);
  const destinations = selectors(spec, findings);
  const conf = spec.object('conf', ['http']);
  if (!spec.has('conf')) spec.error('conf', 'must have conf');
  const http = conf?.object('http', ['requests', 'interval', 'onRateLimit']);
  if (http !== undefined) {
    if ((http.count('requests') ?? 0) === 0) http.error('requests', 'requests must be set');
    if (!http.has('interval')) http.error('interval', 'interval must be set');
    const headers = http.object('onRateLimit', ['status', 'headers'])?.objects('headers', ['key', 'value', 'append']) ?? [];
    for (const [i, header] of headers.entries()) {
      for (const name of ['key', 'value']) {
        if ((header.text(name) ?? '') !== '') continue;
        // Kuma's path: `header` for `headers`.
        header.errorAt(header.at, `${http.path}.onRateLimit.header["${i}"]`, `${name} must be set`);
      }
    }
  }
  return { kind: 'RateLimit', meta: document.meta, destinations };
}

export function readFaultInjection(document: Document, findings: Findings): LegacyHttpPolicy {
  const spec = document.spec(['sources', 'destinations', 'conf'], { response_bandwidth: 'responseBandwidth' });
  const destinations = selectors(spec, findings);
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
  return { kind: 'FaultInjection', meta: document.meta, destinations };
}

function selectors(spec: Fields, findings: Findings): readonly Tags[] {
  readSelectors(spec, 'sources', { atLeastOne: true }, findings);
  return readSelectors(spec, 'destinations', { atLeastOne: true }, findings);
}
