import type { HashPolicy } from '../../model/http-route.ts';
import type { Document } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { duration, oneOfTexts, percent, positive, written } from './conf.ts';
import { confOf, readPolicy } from './policy.ts';
import type { Policy } from './policy.ts';
import { policyKind } from './kind.ts';
import type { PolicyKind } from './kind.ts';
import type { TargetKind, TargetRef } from './target-ref.ts';

export type MeshLoadBalancingStrategy = Policy<StrategyConf>;

/** Fields that were not written are absent. */
export interface StrategyConf {
  readonly localityAwareness?: LocalityConf;
  readonly loadBalancer?: LoadBalancerConf;
  /** Policies that hash HTTP requests. */
  readonly hashPolicies?: readonly HashPolicy[];
}

export interface LocalityConf {
  readonly disabled?: boolean;
  readonly localZone?: { readonly affinityTags?: readonly string[] };
  readonly crossZone?: { readonly failover?: readonly Failover[]; readonly failoverThreshold?: number };
}

export interface Failover {
  /** Zones that the rule applies to; null for every zone. */
  readonly from: readonly string[] | null;
  readonly to: { readonly type: (typeof TO_TYPES)[number]; readonly zones: readonly string[] };
}

export interface LoadBalancerConf {
  readonly type?: (typeof TYPES)[number];
  readonly leastRequest?: { readonly choiceCount?: number; readonly activeRequestBias?: number };
  readonly ringHash?: RingHashConf;
  readonly maglev?: { readonly tableSize?: number; readonly hashPolicies?: readonly HashPolicy[] };
}

interface RingHashConf {
  readonly hashFunction?: (typeof HASHES)[number];
  readonly minRingSize?: number;
  readonly maxRingSize?: number;
  readonly hashPolicies?: readonly HashPolicy[];
}

const TOP = ['Mesh', 'MeshSubset', 'MeshGateway', 'MeshService', 'MeshServiceSubset', 'Dataplane'] as const;
const TO = ['Mesh', 'MeshService', 'MeshMultiZoneService', 'MeshHTTPRoute'] as const;
/** Since 3.0 Kuma allows MeshExternalServices where the policy is for Dataplanes. */
function toKinds(top: TargetRef | null): readonly TargetKind[] {
  return top?.kind === 'Dataplane' ? [...TO, 'MeshExternalService'] : TO;
}

const TYPES = ['RoundRobin', 'LeastRequest', 'RingHash', 'Random', 'Maglev'] as const;
const HASHES = ['XXHash', 'MurmurHash2'] as const;
const TO_TYPES = ['None', 'Only', 'Any', 'AnyExcept'] as const;

function readMeshLoadBalancingStrategy(document: Document, findings: Findings): MeshLoadBalancingStrategy {
  return readPolicy(document, { top: TOP, to: toKinds, conf: readConf }, findings).policy;
}

function readConf(item: Fields): StrategyConf {
  const { conf } = confOf(item, ['localityAwareness', 'loadBalancer', 'hashPolicies']);
  if (conf === undefined) return {};
  const hashPolicies = readHashPolicies(conf);
  if (item.object('targetRef', REF)?.text('kind') === 'MeshHTTPRoute') {
    for (const name of ['loadBalancer', 'localityAwareness']) {
      if (!conf.has(name)) continue;
      conf.error(name, 'field is not allowed when targetRef.kind is MeshHTTPRoute, only hashPolicies is supported');
    }
    return hashPolicies === undefined ? {} : { hashPolicies };
  }
  const balancer = conf.object('loadBalancer', ['type', 'roundRobin', 'leastRequest', 'ringHash', 'random', 'maglev']);
  const loadBalancer = balancer === undefined ? undefined : readBalancer(balancer);
  for (const name of ['ringHash', 'maglev'] as const) {
    if (hashPolicies === undefined || loadBalancer?.[name]?.hashPolicies === undefined) continue;
    const at = balancer?.place(name) ?? conf.at;
    conf.errorAt(at, `${conf.path}.loadBalancer.${name}.hashPolicies`, 'hashPolicies already specified in the root level');
  }
  const locality = conf.object('localityAwareness', ['disabled', 'localZone', 'crossZone']);
  return written<StrategyConf>({
    localityAwareness: locality === undefined ? undefined : readLocality(locality),
    loadBalancer,
    hashPolicies,
  });
}

const REF = ['kind', 'name', 'tags', 'mesh', 'namespace', 'labels', 'sectionName', 'proxyTypes'];

function readBalancer(balancer: Fields): LoadBalancerConf {
  const type = oneOfTexts(balancer, 'type', TYPES);
  if (!balancer.has('type')) balancer.error('type', 'must be defined');
  balancer.object('roundRobin', []);
  balancer.object('random', []);
  const least = balancer.object('leastRequest', ['choiceCount', 'activeRequestBias']);
  const ring = balancer.object('ringHash', ['hashFunction', 'minRingSize', 'maxRingSize', 'hashPolicies']);
  const table = balancer.object('maglev', ['tableSize', 'hashPolicies']);
  const bias = least?.decimal('activeRequestBias');
  if (bias !== undefined && bias < 0) least?.error('activeRequestBias', 'must be greater or equal then: 0');
  const choiceCount = ranged(least, 'choiceCount', 2, 0xffff_ffff);
  return written<LoadBalancerConf>({
    type,
    leastRequest: least === undefined ? undefined : written({ choiceCount, activeRequestBias: bias }),
    ringHash:
      ring === undefined
        ? undefined
        : written({
            hashFunction: oneOfTexts(ring, 'hashFunction', HASHES),
            minRingSize: ranged(ring, 'minRingSize', 1, 8_000_000),
            maxRingSize: ranged(ring, 'maxRingSize', 1, 8_000_000),
            hashPolicies: readHashPolicies(ring),
          }),
    maglev:
      table === undefined
        ? undefined
        : written({ tableSize: ranged(table, 'tableSize', 1, 5_000_011), hashPolicies: readHashPolicies(table) }),
  });
}

/** Checks the limits of Kuma's schema. */
function ranged(fields: Fields | undefined, name: string, least: number, most: number): number | undefined {
  const count = fields?.count(name);
  if (count !== undefined && (count < least || count > most))
    fields?.error(name, `must be in inclusive range [${least}, ${most}]`);
  return count;
}

const HASH_FIELDS: Readonly<Record<string, string>> = {
  Header: 'header',
  Cookie: 'cookie',
  QueryParameter: 'queryParameter',
  FilterState: 'filterState',
  Connection: 'connection',
  SourceIP: 'connection',
};

function readHashPolicies(fields: Fields): readonly HashPolicy[] | undefined {
  const known = ['type', 'terminal', 'header', 'cookie', 'connection', 'queryParameter', 'filterState'];
  const policies = fields.objects('hashPolicies', known);
  for (const policy of policies ?? []) {
    const type = policy.text('type') ?? '';
    const field = HASH_FIELDS[type];
    if (field === undefined) policy.error('type', `must be one of ${Object.keys(HASH_FIELDS).join(', ')}`);
    else if (!policy.has(field)) policy.errorAt(policy.at, `${policy.path}.${field}`, 'must be defined');
    const cookie = policy.object('cookie', ['name', 'ttl', 'path']);
    if (cookie?.text('path')?.startsWith('/') === false) cookie.error('path', 'must be an absolute path');
  }
  return policies?.flatMap((policy) => hashPolicyOf(policy) ?? []);
}

/** Returns null for a policy by filter state, which an egress never has. */
function hashPolicyOf(policy: Fields): HashPolicy | null {
  const terminal = policy.flag('terminal') === true ? { terminal: true } : {};
  switch (policy.text('type')) {
    case 'Header':
      return { kind: 'header', name: (policy.object('header', ['name'])?.text('name') ?? '').toLowerCase(), ...terminal };
    case 'Cookie': {
      const cookie = policy.object('cookie', ['name', 'ttl', 'path']);
      const more = written<{ lifetimeMs?: number; path?: string }>({
        lifetimeMs: duration(cookie, 'ttl'),
        path: cookie?.text('path'),
      });
      return { kind: 'cookie', name: cookie?.text('name') ?? '', ...more, ...terminal };
    }
    case 'QueryParameter':
      return { kind: 'query', name: policy.object('queryParameter', ['name'])?.text('name') ?? '', ...terminal };
    case 'Connection':
    case 'SourceIP':
      return policy.object('connection', ['sourceIP'])?.flag('sourceIP') === true ? { kind: 'source-ip', ...terminal } : null;
    default:
      return null;
  }
}

function readLocality(locality: Fields): LocalityConf {
  const local = locality.object('localZone', ['affinityTags']);
  const cross = locality.object('crossZone', ['failover', 'failoverThreshold']);
  return written<LocalityConf>({
    disabled: locality.flag('disabled'),
    localZone: local === undefined ? undefined : written({ affinityTags: readAffinity(local) }),
    crossZone:
      cross === undefined
        ? undefined
        : written({
            failover: cross.objects('failover', ['from', 'to'])?.map(readFailover),
            failoverThreshold: readThreshold(cross),
          }),
  });
}

/** Reads the keys. An egress has no client whose tags it could compare, so no tag has an effect. */
function readAffinity(local: Fields): readonly string[] | undefined {
  const tags = local.objects('affinityTags', ['key', 'weight']);
  if (tags === undefined) return undefined;
  for (const tag of tags) {
    if ((tag.text('key') ?? '') === '') tag.errorAt(tag.place('key'), `${tag.path}.key`, 'must not be empty');
    positive(tag, 'weight');
  }
  const weighted = tags.filter((tag) => tag.has('weight')).length;
  if (weighted > 0 && weighted < tags.length) local.error('affinityTags', 'all or none affinity tags should have weight');
  return tags.map((tag) => tag.text('key') ?? '');
}

function readThreshold(cross: Fields): number | undefined {
  const threshold = cross.object('failoverThreshold', ['percentage']);
  if (threshold === undefined) return undefined;
  const value = percent(threshold, 'percentage');
  if (value === 0 || !threshold.has('percentage')) threshold.error('percentage', 'must be greater than 0');
  return value;
}

function readFailover(item: Fields): Failover {
  const from = item.object('from', ['zones']);
  const to = item.object('to', ['type', 'zones']);
  const fromZones = from?.texts('zones') ?? [];
  if (from !== undefined && fromZones.length === 0) from.error('zones', 'must not be empty');
  for (const [i, zone] of fromZones.entries()) {
    if (zone === '') from?.errorAt(from.place('zones'), `${from.path}.zones[${i}]`, 'must not be empty');
  }
  const text = to?.text('type') ?? '';
  const type = TO_TYPES.find((each) => each === text);
  const zones = to?.texts('zones') ?? [];
  const at = to?.place('zones') ?? item.at;
  if (type === undefined) item.errorAt(to?.place('type') ?? item.at, `${item.path}.to.type`, 'unrecognized type');
  else if ((type === 'Any' || type === 'None') && zones.length > 0) {
    item.errorAt(at, `${item.path}.to.zones`, `must be empty when type is ${type}`);
  } else if ((type === 'AnyExcept' || type === 'Only') && zones.length === 0) {
    item.errorAt(at, `${item.path}.to.zones`, `must not be empty when type is ${type}`);
  }
  return { from: from === undefined ? null : fromZones, to: { type: type ?? 'None', zones } };
}

export const meshLoadBalancingStrategy: PolicyKind<MeshLoadBalancingStrategy, 'strategies'> = policyKind(
  'strategies',
  readMeshLoadBalancingStrategy,
);
