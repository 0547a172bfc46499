import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { duration, positiveDuration, written } from './conf.ts';
import { confOf, readPolicy } from './policy.ts';
import type { Policy } from './policy.ts';
import type { RuleMatch } from './rule-match.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';

export type MeshTimeout = Policy<TimeoutConf>;

/** Milliseconds; 0 means never. Fields that were not written are absent. */
export interface TimeoutConf {
  readonly connectionTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly http?: HttpTimeoutConf;
}

export interface HttpTimeoutConf {
  readonly requestTimeoutMs?: number;
  readonly streamIdleTimeoutMs?: number;
  readonly maxStreamDurationMs?: number;
  readonly maxConnectionDurationMs?: number;
  readonly requestHeadersTimeoutMs?: number;
}

const TOP = ['Mesh', 'MeshSubset', 'Dataplane', 'MeshGateway', 'MeshService', 'MeshServiceSubset', 'MeshHTTPRoute'] as const;
const TO = ['Mesh', 'MeshService', 'MeshExternalService', 'MeshMultiZoneService', 'MeshHTTPRoute'] as const;
const ONE = ['requestTimeout', 'streamIdleTimeout', 'maxStreamDuration', 'maxConnectionDuration'] as const;
const OF_CONNECTIONS = ['connectionTimeout', 'idleTimeout'] as const;
const OF_HTTP_CONNECTIONS = ['requestHeadersTimeout', 'maxStreamDuration', 'maxConnectionDuration'] as const;

function readMeshTimeout(document: Document, findings: Findings): MeshTimeout {
  const read = readPolicy(document, { top: TOP, to: TO, from: ['Mesh'], hasRules: true, conf: readConf }, findings);
  const { policy, spec } = read;
  const { to, from, rules, targetRef } = policy;
  if (rules.length > 0 && (to.length > 0 || from.length > 0))
    findings.error(spec.at, 'spec', "fields 'to' and 'from' must be empty when 'rules' is defined");
  if (!['to', 'from', 'rules'].some((list) => spec.has(list) && !spec.isEmpty(list)))
    findings.error(spec.at, 'spec', "at least one of 'from', 'to' or 'rules' has to be defined");
  if (from.length > 0 && (targetRef?.kind === 'MeshHTTPRoute' || targetRef?.kind === 'MeshGateway'))
    spec.error('from', 'must not be defined');
  return policy;
}

/** Reports fields that cannot depend on the client, in a rule for certain clients. */
function checkForClients(fields: Fields | undefined, names: readonly string[]): void {
  const message = "can't be specified when matches contain spiffeID because this field cannot be conditioned on source identity";
  for (const name of names) if (fields?.has(name) === true) fields.error(name, message);
}

const CONF: readonly string[] = ['connectionTimeout', 'idleTimeout', 'http'];
const HTTP: readonly string[] = [...ONE, 'requestHeadersTimeout'];

function readConf(item: Fields, matches: readonly RuleMatch[]): TimeoutConf {
  const { conf, path } = confOf(item, CONF);
  if (!CONF.some((field) => conf?.has(field) === true)) {
    item.errorAt(conf?.at ?? item.at, path, 'at least one timeout should be configured');
    return {};
  }
  const http = conf?.object('http', HTTP);
  if (http !== undefined && !ONE.some((field) => http.has(field)))
    http.errorAt(http.at, http.path, 'at least one timeout in this section should be configured');
  if (matches.some(({ spiffeId }) => spiffeId !== null)) {
    checkForClients(conf, OF_CONNECTIONS);
    checkForClients(http, OF_HTTP_CONNECTIONS);
  }
  return written<TimeoutConf>({
    connectionTimeoutMs: positiveDuration(conf, 'connectionTimeout'),
    idleTimeoutMs: notNegative(conf, 'idleTimeout'),
    http:
      http === undefined
        ? undefined
        : written<HttpTimeoutConf>({
            requestTimeoutMs: notNegative(http, 'requestTimeout'),
            streamIdleTimeoutMs: notNegative(http, 'streamIdleTimeout'),
            maxStreamDurationMs: notNegative(http, 'maxStreamDuration'),
            maxConnectionDurationMs: notNegative(http, 'maxConnectionDuration'),
            requestHeadersTimeoutMs: notNegative(http, 'requestHeadersTimeout'),
          }),
  });
}

function notNegative(fields: Fields | undefined, name: string): number | undefined {
  const ms = duration(fields, name);
  if (ms !== undefined && ms < 0) fields?.error(name, 'must not be negative when defined');
  return ms;
}

export const meshTimeout: PolicyKind<MeshTimeout, 'timeouts'> = policyKind('timeouts', readMeshTimeout);
