/**
 * Finds what changes for clients between two configurations, without traffic. It reports every
 * difference: two snapshots without a difference here have one version.
 */
import { diffSnapshots, sameValue } from '../model/changes.ts';
import type { HttpRoute } from '../model/http-route.ts';
import type { Cluster, Endpoint } from '../model/cluster.ts';
import type { Route } from '../model/route.ts';
import type { Mesh, Snapshot } from '../model/snapshot.ts';
import { endpointName } from './other-endpoints.ts';
import { faultText, limitText } from './request-step.ts';
import { isWeakerThanAll, tlsChange } from './tls-change.ts';
import { filePlaceOf } from './trace.ts';
import type { FilePlace, Sources } from './trace.ts';
import { accessChange, domainsOf } from './access-change.ts';

/**
 * Version of the output of `-o json`. It increases when a field is removed or changes its meaning,
 * not for new fields.
 */
export const DIFF_VERSION = 1;

export interface ConfigDiff {
  readonly version: typeof DIFF_VERSION;
  readonly isSame: boolean;
  readonly before: { readonly version: string; readonly zone: string };
  readonly after: { readonly version: string; readonly zone: string };
  readonly routes: readonly RouteDiff[];
  readonly clusters: readonly ClusterDiff[];
  readonly meshes: readonly MeshDiff[];
}

export type DiffKind = 'added' | 'removed' | 'changed';

export interface RouteDiff {
  readonly kind: DiffKind;
  readonly sni: string;
  readonly mesh: string;
  readonly destination: string;
  readonly mode: Route['kind'];
  /**
   * Clients that newly pass, and those that no longer do; on a passthrough route, the clients that
   * the other zone admits.
   */
  readonly newlyAllowed: readonly string[];
  readonly noLongerAllowed: readonly string[];
  /** True when the other zone decides. */
  readonly decidedElsewhere: boolean;
  /** True when too many rules name clients for all combinations. */
  readonly isPartial: boolean;
  /** Other differences: `mode: terminate, was passthrough`. */
  readonly fields: readonly string[];
  readonly place: FilePlace | null;
}

/**
 * Differences of a cluster that is in both. Endpoints of an added or removed cluster appear with
 * its routes.
 */
export interface ClusterDiff {
  readonly kind: DiffKind;
  readonly cluster: string;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Weight, priority, zone or tags. */
  readonly changed: readonly string[];
  readonly tls: readonly { readonly endpoint: string; readonly isWeaker: boolean; readonly text: string }[];
  /** Names of other settings that differ: `balancer`, `circuitBreaker`, … */
  readonly fields: readonly string[];
  readonly place: FilePlace | null;
}

export interface MeshDiff {
  readonly kind: DiffKind;
  readonly mesh: string;
  readonly fields: readonly string[];
}

export interface Side {
  readonly snapshot: Snapshot;
  readonly sources: Sources;
}

export function diffConfigurations(before: Side, after: Side): ConfigDiff {
  const [old, now] = [before.snapshot, after.snapshot];
  const { routes, clusters, meshes } = diffSnapshots(old, now);
  const routeNames = [...routes.removed, ...routes.set.map(([name]) => name)].sort();
  const clusterNames = [...clusters.removed, ...clusters.set.map(([name]) => name)].sort();
  const meshNames = [...meshes.removed, ...meshes.set.map(([name]) => name)].sort();
  const of = ({ version, zone }: Snapshot): ConfigDiff['before'] => ({ version, zone });
  const { zone } = now;
  return {
    version: DIFF_VERSION,
    isSame: routeNames.length + clusterNames.length + meshNames.length === 0 && old.zone === zone,
    before: of(old),
    after: of(now),
    routes: routeNames.map((name) => routeDiff(old.routes.get(name) ?? null, now.routes.get(name) ?? null, { before, after })),
    clusters: clusterNames.map((name) => clusterDiff(name, old.clusters.get(name), now.clusters.get(name), { before, after })),
    meshes: meshNames.map((name) => meshDiff(name, old.meshes.get(name), now.meshes.get(name))),
  };
}

interface Sides {
  readonly before: Side;
  readonly after: Side;
}

function kindOf(before: unknown, after: unknown): DiffKind {
  return (before ?? null) === null ? 'added' : (after ?? null) === null ? 'removed' : 'changed';
}

function placeIn({ before, after }: Sides, key: string): FilePlace | null {
  return filePlaceOf(after.sources, key) ?? filePlaceOf(before.sources, key);
}

function routeDiff(before: Route | null, after: Route | null, sides: Sides): RouteDiff {
  const route = after ?? before;
  if (route === null) throw new TypeError('a difference between no route and no route');
  const { newly, noLonger, isPartial } = accessChange(
    before,
    after,
    domainsOf(route, [sides.before.snapshot, sides.after.snapshot]),
  );
  return {
    kind: kindOf(before, after),
    sni: route.serverName,
    mesh: route.mesh,
    destination: route.destination,
    mode: route.kind,
    newlyAllowed: newly,
    noLongerAllowed: noLonger,
    decidedElsewhere: route.kind === 'passthrough',
    isPartial,
    fields: before === null || after === null ? [] : fieldTexts(before, after),
    place: placeIn(sides, route.kind === 'terminate' ? `permission:${route.permission.by}` : `route:${route.serverName}`),
  };
}

/**
 * Writes `kind: terminate, was passthrough`; for a value that is an object or a list only the name.
 */
function fieldTexts(before: object, after: object, left: readonly string[] = []): readonly string[] {
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((name) => {
    const [then, value] = [old.get(name) as unknown, now.get(name) as unknown];
    if (left.includes(name) || sameValue(then, value)) return [];
    if (name === 'http') return httpTexts(then as HttpRoute | undefined, value as HttpRoute | undefined);
    return [isPlain(then) && isPlain(value) ? `${name}: ${shown(value)}, was ${shown(then)}` : name];
  });
}

/** Writes the changes to the requests of an HTTP service. */
function httpTexts(before: HttpRoute | undefined, after: HttpRoute | undefined): readonly string[] {
  if (before === undefined) return ['http: requests are served one by one, were passed as bytes'];
  if (after === undefined) return ['http: requests are passed as bytes, were served one by one'];
  const listed = (of: HttpRoute): object => ({
    ...of,
    rateLimits: (of.rateLimits ?? []).map(limitText).join('; ') || 'none',
    faults: (of.faults ?? []).map(faultText).join('; ') || 'none',
    timeouts: undefined,
    ...Object.fromEntries(Object.entries(of.timeouts ?? {}).map(([name, ms]) => [`timeouts.${name}`, ms as unknown])),
  });
  const texts = fieldTexts(listed(before), listed(after)).map((text) => `http.${text}`);
  // Tells whether only the clients of a limit differ.
  const isHidden = (name: 'rateLimits' | 'faults'): boolean =>
    !sameValue(before[name], after[name]) && !texts.some((text) => text.startsWith(`http.${name}`));
  return [
    ...texts,
    ...(['rateLimits', 'faults'] as const).filter(isHidden).map((name) => `http.${name}: other clients or answers`),
  ];
}

function isPlain(value: unknown): value is string | number | boolean | undefined {
  return typeof value !== 'object';
}

function shown(value: string | number | boolean | undefined): string {
  return value === undefined ? 'none' : String(value);
}

function clusterDiff(name: string, before: Cluster | undefined, after: Cluster | undefined, sides: Sides): ClusterDiff {
  const old = before?.endpoints ?? [];
  const [then, now] = [byName(old), byName(after?.endpoints ?? [])];
  const added: string[] = [];
  const changed: string[] = [];
  const tls: ClusterDiff['tls'][number][] = [];
  for (const [label, endpoint] of now) {
    const other = then.get(label);
    if (other === undefined) added.push(label);
    const texts = other === undefined ? [] : fieldTexts(other, endpoint, ['tls', 'address']);
    if (texts.length > 0) changed.push(`${label} ${texts.join('; ')}`);
    // A new endpoint is compared with the previous ones.
    const against = other ?? (isWeakerThanAll(endpoint, old) ? old[0] : undefined);
    const change = against === undefined ? null : tlsChange(against.tls, endpoint.tls);
    if (change !== null) tls.push({ endpoint: label, ...change });
  }
  return {
    kind: kindOf(before, after),
    cluster: name,
    added,
    removed: [...then.keys()].filter((label) => !now.has(label)),
    changed,
    tls,
    fields: before === undefined || after === undefined ? [] : fieldTexts(before, after, ['endpoints']),
    place: placeIn(sides, `cluster:${name}`),
  };
}

/** Several services may share an address: their order distinguishes them. */
function byName(endpoints: readonly Endpoint[]): ReadonlyMap<string, Endpoint> {
  const named = new Map<string, Endpoint>();
  for (const endpoint of endpoints) {
    const name = endpointName(endpoint);
    let label = name;
    for (let i = 2; named.has(label); i++) label = `${name} (${i})`;
    named.set(label, endpoint);
  }
  return named;
}

function meshDiff(mesh: string, before: Mesh | undefined, after: Mesh | undefined): MeshDiff {
  const fields: string[] = [];
  if (before !== undefined && after !== undefined) {
    if (before.trust !== after.trust) fields.push('the CA that clients must lead to');
    if (!sameValue(before.identity, after.identity)) fields.push('the certificate of the egress');
  }
  return { kind: kindOf(before, after), mesh, fields };
}
