import type { HttpFault } from '../../model/http-route.ts';
import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { bandwidthOf, duration, percent, written } from './conf.ts';
import { checkGatewayLists, confOf, readPolicy } from './policy.ts';
import type { Policy } from './policy.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

/** Faults of HTTP; a fault that the item does not name is absent. */
export interface FaultConf {
  readonly faults?: readonly HttpFault[];
}

export type MeshFaultInjection = Policy<FaultConf>;

const TOP = ['Mesh', 'MeshSubset', 'MeshGateway', 'MeshService', 'MeshServiceSubset', 'Dataplane'] as const;
const FROM = ['Mesh', 'MeshSubset', 'MeshServiceSubset', 'MeshService'] as const;

function readMeshFaultInjection(document: Document, findings: Findings): MeshFaultInjection {
  const read = readPolicy(document, { top: TOP, to: ['Mesh'], from: FROM, hasRules: true, conf: readConf }, findings);
  const { policy, spec } = read;
  checkGatewayLists(read);
  if (policy.rules.length > 0 && policy.from.length > 0) {
    findings.error(spec.at, 'spec', "field 'from' must be empty when 'rules' is defined");
  }
  return policy;
}

function readConf(item: Fields): FaultConf {
  const { conf, path } = confOf(item, ['http']);
  const faults = conf?.objects('http', ['abort', 'delay', 'responseBandwidth']) ?? [];
  const read: HttpFault[] = [];
  for (const [i, fault] of faults.entries()) {
    const abort = fault.object('abort', ['httpStatus', 'percentage']);
    const delay = fault.object('delay', ['value', 'percentage']);
    const bandwidth = fault.object('responseBandwidth', ['limit', 'percentage']);
    // Kuma's paths have the index after the kind of fault.
    const error = (fields: Fields, name: string, kind: string, message: string): void =>
      fields.errorAt(fields.place(name), `${path}.http.${kind}[${i}].${name}`, message);
    if (abort !== undefined) {
      const status = abort.count('httpStatus') ?? 0;
      if (status < 100 || status > 599) error(abort, 'httpStatus', 'abort', 'must be in inclusive range [100, 599]');
    }
    if (delay !== undefined && (duration(delay, 'value') ?? 0) < 0) {
      error(delay, 'value', 'delay', 'must not be negative when defined');
    }
    if (bandwidth !== undefined) {
      const limit = bandwidth.text('limit') ?? '';
      if (limit === '') error(bandwidth, 'limit', 'responseBandwidth', 'must be defined');
      else if (!/^\d*\s?[GMk]+bps$/.test(limit)) {
        error(bandwidth, 'limit', 'responseBandwidth', 'must be in kbps/Mbps/Gbps units');
      }
    }
    const percents = [abort, delay, bandwidth].map((each) => percent(each, 'percentage') ?? 0);
    const [ofAbort = 0, ofDelay = 0, ofBandwidth = 0] = percents;
    read.push(
      written<Omit<HttpFault, 'clients'>>({
        delay: delay === undefined ? undefined : { ms: duration(delay, 'value') ?? 0, percent: ofDelay },
        abort: abort === undefined ? undefined : { status: abort.count('httpStatus') ?? 0, percent: ofAbort },
        bandwidth:
          bandwidth === undefined
            ? undefined
            : { kibPerSecond: bandwidthOf(bandwidth.text('limit') ?? ''), percent: ofBandwidth },
      }),
    );
  }
  return conf?.has('http') === true ? { faults: read } : {};
}

export const meshFaultInjection: PolicyKind<MeshFaultInjection, 'faultInjections'> = policyKind(
  'faultInjections',
  readMeshFaultInjection,
);
