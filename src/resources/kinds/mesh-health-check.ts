import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { headerOf, percent, positiveDuration, positiveWhenDefined, wholePercent, written } from './conf.ts';
import { confOf, readPolicy } from './policy.ts';
import type { Policy } from './policy.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

export type MeshHealthCheck = Policy<HealthCheckConf>;

/** Fields that were not written are absent. */
export interface HealthCheckConf {
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  readonly unhealthyThreshold?: number;
  readonly healthyThreshold?: number;
  readonly initialJitterMs?: number;
  readonly intervalJitterMs?: number;
  readonly intervalJitterPercent?: number;
  readonly healthyPanicThreshold?: number;
  readonly failTrafficOnPanic?: boolean;
  readonly noTrafficIntervalMs?: number;
  readonly reuseConnection?: boolean;
  readonly tcp?: { readonly disabled?: boolean; readonly send?: string; readonly receive?: readonly string[] };
  readonly http?: {
    readonly disabled?: boolean;
    readonly path?: string;
    readonly headers?: HeaderChanges;
    readonly expectedStatuses?: readonly number[];
  };
  readonly grpc?: { readonly disabled?: boolean; readonly serviceName?: string; readonly authority?: string };
}

/** Changes of the headers of a check's request. */
interface HeaderChanges {
  readonly set?: readonly Header[];
  readonly add?: readonly Header[];
}

type Header = ReturnType<typeof headerOf>;

const TOP = ['Mesh', 'MeshSubset', 'MeshGateway', 'MeshService', 'MeshServiceSubset', 'Dataplane'] as const;
const TO = ['Mesh', 'MeshService', 'MeshExternalService', 'MeshMultiZoneService'] as const;
const CONF = [
  'interval',
  'timeout',
  'unhealthyThreshold',
  'healthyThreshold',
  'initialJitter',
  'intervalJitter',
  'intervalJitterPercent',
  'healthyPanicThreshold',
  'failTrafficOnPanic',
  'eventLogPath',
  'alwaysLogHealthCheckFailures',
  'noTrafficInterval',
  'tcp',
  'http',
  'grpc',
  'reuseConnection',
];

function readMeshHealthCheck(document: Document, findings: Findings): MeshHealthCheck {
  return readPolicy(document, { top: TOP, to: TO, conf: readConf }, findings).policy;
}

function readConf(item: Fields): HealthCheckConf {
  const { conf, path } = confOf(item, CONF);
  if (!['http', 'tcp', 'grpc'].some((name) => conf?.has(name) === true)) {
    item.errorAt(conf?.at ?? item.at, path, 'must have at least one defined: http, tcp, grpc');
  }
  if (conf === undefined) return {};
  if (conf.text('eventLogPath') === '') conf.error('eventLogPath', 'must be a valid path when defined');
  conf.flag('alwaysLogHealthCheckFailures');
  const tcp = conf.object('tcp', ['disabled', 'send', 'receive']);
  const http = conf.object('http', ['disabled', 'path', 'requestHeadersToAdd', 'expectedStatuses']);
  const grpc = conf.object('grpc', ['disabled', 'serviceName', 'authority']);
  if (http?.text('path') === '') http.error('path', 'must be defined');
  const statuses = http?.counts('expectedStatuses');
  for (const [i, status] of (statuses ?? []).entries()) {
    if (status < 100 || status > 599) {
      http?.errorAt(
        http.place('expectedStatuses'),
        `${http.path}.expectedStatuses[${i}]`,
        'must be in inclusive range [100, 599]',
      );
    }
  }
  return written<HealthCheckConf>({
    intervalMs: positiveDuration(conf, 'interval'),
    timeoutMs: positiveDuration(conf, 'timeout'),
    unhealthyThreshold: positiveWhenDefined(conf, 'unhealthyThreshold'),
    healthyThreshold: positiveWhenDefined(conf, 'healthyThreshold'),
    initialJitterMs: positiveDuration(conf, 'initialJitter'),
    intervalJitterMs: positiveDuration(conf, 'intervalJitter'),
    intervalJitterPercent: wholePercent(conf, 'intervalJitterPercent'),
    healthyPanicThreshold: percent(conf, 'healthyPanicThreshold'),
    failTrafficOnPanic: conf.flag('failTrafficOnPanic'),
    noTrafficIntervalMs: positiveDuration(conf, 'noTrafficInterval'),
    reuseConnection: conf.flag('reuseConnection'),
    tcp:
      tcp === undefined
        ? undefined
        : written({ disabled: tcp.flag('disabled'), send: tcp.opaque('send'), receive: tcp.texts('receive') }),
    http:
      http === undefined
        ? undefined
        : written({
            disabled: http.flag('disabled'),
            path: http.text('path'),
            headers: headersOf(http),
            expectedStatuses: statuses,
          }),
    grpc:
      grpc === undefined
        ? undefined
        : written({
            disabled: grpc.flag('disabled'),
            serviceName: grpc.text('serviceName'),
            authority: grpc.text('authority'),
          }),
  });
}

function headersOf(http: Fields): HeaderChanges | undefined {
  const fields = http.object('requestHeadersToAdd', ['set', 'add']);
  if (fields === undefined) return undefined;
  const list = (name: 'set' | 'add'): readonly Header[] | undefined =>
    fields.objects(name, ['name', 'value'])?.map((header) => headerOf(header));
  return written<HeaderChanges>({ set: list('set'), add: list('add') });
}

export const meshHealthCheck: PolicyKind<MeshHealthCheck, 'healthChecks'> = policyKind('healthChecks', readMeshHealthCheck);
