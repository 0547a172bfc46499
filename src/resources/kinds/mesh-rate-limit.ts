import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { duration, headerOf, positive, written } from './conf.ts';
import { checkGatewayLists, confOf, readPolicy } from './policy.ts';
import type { Policy } from './policy.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

export type MeshRateLimit = Policy<RateLimitConf>;

/** Fields that were not written are absent. */
export interface RateLimitConf {
  readonly tcp?: Limit;
  readonly http?: HttpLimit;
}

interface HttpLimit extends Limit {
  readonly onRateLimit?: OnRateLimit;
}

/** The answer to a client that is over the limit. */
interface OnRateLimit {
  readonly status?: number;
  readonly headers?: HeaderChanges;
}

interface HeaderChanges {
  /** Replaces headers of the same name. */
  readonly set?: readonly Header[];
  readonly add?: readonly Header[];
}

interface Header {
  readonly name: string;
  readonly value: string;
}

interface Limit {
  readonly disabled?: boolean;
  readonly rate?: Rate;
}

interface Rate {
  readonly num: number;
  readonly intervalMs: number;
}

const TOP = ['Mesh', 'MeshSubset', 'MeshGateway', 'MeshService', 'MeshServiceSubset', 'MeshHTTPRoute', 'Dataplane'] as const;

function readMeshRateLimit(document: Document, findings: Findings): MeshRateLimit {
  const read = readPolicy(document, { top: TOP, to: ['Mesh'], from: ['Mesh'], hasRules: true, conf: readConf }, findings);
  const { policy, spec } = read;
  checkGatewayLists(read);
  if (policy.rules.length > 0 && (policy.to.length > 0 || policy.from.length > 0)) {
    findings.error(spec.at, 'spec', "fields 'to' and 'from' must be empty when 'rules' is defined");
  }
  return policy;
}

function readConf(item: Fields): RateLimitConf {
  const { conf, path } = confOf(item, ['local']);
  const local = conf?.object('local', ['tcp', 'http']);
  if (conf?.has('local') !== true) item.errorAt(conf?.at ?? item.at, `${path}.local`, 'must be defined');
  if (local === undefined) return {};
  if (!local.has('tcp') && !local.has('http')) conf?.error('local', 'must have at least one defined: tcp, http');
  const tcp = local.object('tcp', ['disabled', 'connectionRate']);
  const http = local.object('http', ['disabled', 'requestRate', 'onRateLimit']);
  if (tcp !== undefined && !tcp.has('disabled') && !tcp.has('connectionRate')) {
    local.error('tcp', 'must have at least one defined: disabled, connectionRate');
  }
  if (http !== undefined && !['disabled', 'requestRate', 'onRateLimit'].some((name) => http.has(name))) {
    local.error('http', 'must have at least one defined: disabled, requestRate, onRateLimit');
  }
  return written<RateLimitConf>({
    tcp: tcp === undefined ? undefined : written({ disabled: tcp.flag('disabled'), rate: rateOf(tcp, 'connectionRate') }),
    http:
      http === undefined
        ? undefined
        : written({ disabled: http.flag('disabled'), rate: rateOf(http, 'requestRate'), onRateLimit: onRateLimitOf(http) }),
  });
}

function onRateLimitOf(http: Fields): OnRateLimit | undefined {
  const fields = http.object('onRateLimit', ['status', 'headers']);
  if (fields === undefined) return undefined;
  const headers = fields.object('headers', ['set', 'add']);
  const list = (name: 'set' | 'add'): readonly Header[] | undefined =>
    headers?.objects(name, ['name', 'value'])?.map((header) => headerOf(header));
  return written<OnRateLimit>({
    status: positive(fields, 'status'),
    headers: headers === undefined ? undefined : written<HeaderChanges>({ set: list('set'), add: list('add') }),
  });
}

function rateOf(limit: Fields, name: string): Rate | undefined {
  const rate = limit.object(name, ['num', 'interval']);
  if (rate === undefined) return undefined;
  const num = rate.count('num') ?? 0;
  const intervalMs = duration(rate, 'interval') ?? 0;
  if (num === 0) rate.error('num', 'must be greater than 0');
  if (intervalMs <= 50) rate.error('interval', 'must be greater than: 50ms');
  return { num, intervalMs };
}

export const meshRateLimit: PolicyKind<MeshRateLimit, 'rateLimits'> = policyKind('rateLimits', readMeshRateLimit);
