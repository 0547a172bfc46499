/**
 * Compares permissions as sets of clients: those that either names, and the other clients of the
 * mesh.
 */
import type { ClientClaims } from '../model/client.ts';
import { spiffeId } from '../model/names.ts';
import type { MeshName } from '../model/names.ts';
import type { Permission, Principal } from '../model/permission.ts';
import { identityOf } from '../model/route.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { authoriseClaims } from '../routing/authorise.ts';

export interface AccessChange {
  /** SPIFFE ids, with other URI names where those count, or `any other client of mesh …`. */
  readonly newly: readonly string[];
  readonly noLonger: readonly string[];
  /**
   * True when too many clients are named for all combinations of tags: combinations of two or more
   * were left out.
   */
  readonly isPartial: boolean;
}

interface Probe {
  readonly label: string;
  readonly mesh: MeshName;
  readonly uris: readonly string[];
}

/** A service that no permission names: it is longer than any prefix that one might name. */
const NOBODY = '~anybody-else~';
const MAX_PROBES = 20_000;

/**
 * Compares two routes for one name. Null means no route, which refuses every client. A passthrough
 * route admits every client here. `domains`: the trust domains of the clients, where they are not
 * named like the mesh.
 */
export function accessChange(before: Route | null, after: Route | null, domains: readonly string[] = []): AccessChange {
  const { probes, isPartial } = probesOf([before, after], domains);
  const newly: string[] = [];
  const noLonger: string[] = [];
  for (const probe of probes) {
    const [then, now] = [letsIn(before, probe), letsIn(after, probe)];
    if (!then && now) newly.push(probe.label);
    if (then && !now) noLonger.push(probe.label);
  }
  return { newly: shortened(newly), noLonger: shortened(noLonger), isPartial };
}

function letsIn(route: Route | null, { mesh, uris }: Probe): boolean {
  if (route === null) return false;
  if (route.kind === 'passthrough' && route.mesh !== mesh) return false;
  const spiffeIds = uris.filter(isSpiffe).map(spiffeId);
  const claims: ClientClaims = { mesh, spiffeIds, uris, issuer: '', expiry: '' };
  return authoriseClaims(route, claims).kind === 'allowed';
}

function isSpiffe(uri: string): boolean {
  return uri.startsWith('spiffe://');
}

/** Returns the trust domains of the clients of a route in these configurations. */
export function domainsOf(route: Route | null, snapshots: readonly Snapshot[]): readonly string[] {
  if (route === null) return [];
  const key = identityOf(route);
  return snapshots.flatMap(({ meshes }) => (meshes.get(key)?.trustDomains ?? []).map(({ name }) => name));
}

function probesOf(
  routes: readonly (Route | null)[],
  domains: readonly string[],
): { readonly probes: readonly Probe[]; readonly isPartial: boolean } {
  const named = new Map<string, readonly string[]>();
  for (const route of routes) {
    if (route?.kind !== 'terminate') continue;
    for (const principal of principalsOf(route.permission))
      for (const uris of clientsOf(principal)) named.set(JSON.stringify([...uris].sort()), uris);
  }
  const sets = [...named.values()];
  const tagSets = [[], ...unique(sets.map((uris) => uris.filter((uri) => !isSpiffe(uri))).filter((tags) => tags.length > 0))];
  const pairs = tagSets.flatMap((one, i) => tagSets.slice(i + 1).map((other) => [...new Set([...one, ...other])]));
  const meshes = new Set(routes.flatMap((route) => (route === null ? [] : [route.mesh])));
  const probes: Probe[] = [];
  let isPartial = false;
  for (const mesh of meshes) {
    const prefixes = [mesh, ...domains].map((domain) => `spiffe://${domain}/`);
    const isOwn = (uri: string): boolean => prefixes.some((prefix) => uri.startsWith(prefix));
    const ids = unique([
      ...sets.map((uris) => uris.filter(isOwn)).filter((own) => own.length > 0),
      [`spiffe://${mesh}/${NOBODY}`],
    ]);
    const isLarge = ids.length * (tagSets.length + pairs.length) > MAX_PROBES;
    isPartial ||= isLarge;
    const tags = isLarge ? tagSets : unique([...tagSets, ...pairs]);
    for (const own of ids)
      for (const more of tags) probes.push({ label: labelOf(own, more, mesh), mesh, uris: [...own, ...more] });
  }
  return { probes, isPartial };
}

function labelOf(ids: readonly string[], tags: readonly string[], mesh: MeshName): string {
  const isOther = ids.includes(`spiffe://${mesh}/${NOBODY}`);
  const who = isOther ? `any other client of mesh ${mesh}` : ids.map(starred).join(' and ');
  return tags.length === 0 ? who : `${who}${WITH}${tags.map(starred).sort().join(', ')}`;
}

/** Writes a prefix of a permission. */
function starred(uri: string): string {
  return uri.endsWith(NOBODY) ? `${uri.slice(0, -NOBODY.length)}*` : uri;
}

const WITH = ' with ';

/** A client that is listed without a tag is not listed again with each tag. */
function shortened(labels: readonly string[]): readonly string[] {
  const plain = new Set(labels.filter((label) => !label.includes(WITH)));
  return labels.filter((label) => !label.includes(WITH) || !plain.has(label.slice(0, label.indexOf(WITH))));
}

function unique(sets: readonly (readonly string[])[]): readonly (readonly string[])[] {
  return [...new Map(sets.map((set) => [JSON.stringify([...set].sort()), set])).values()];
}

function* principalsOf(permission: Permission): Generator<Principal> {
  if (permission.kind === 'all-of') for (const part of permission.all) yield* principalsOf(part);
  if (permission.kind === 'rules') for (const { principal } of permission.rules) yield principal;
}

/**
 * Returns the least URI names of a client that matches this principal, one set for each way to
 * match. A name that a `not` excludes counts as one.
 */
function clientsOf(principal: Principal): readonly (readonly string[])[] {
  switch (principal.kind) {
    case 'any':
      return [[]];
    case 'uri':
      return principal.match === 'exact' ? [[principal.value]] : [[`${principal.value}${NOBODY}`]];
    case 'uri-list':
      return principal.match === 'exact' ? [principal.value.split(',')] : [[`${principal.value}${NOBODY}`]];
    case 'and':
      return principal.all
        .map(clientsOf)
        .reduce<readonly (readonly string[])[]>(
          (sets, more) => sets.flatMap((set) => more.map((other) => [...set, ...other])).slice(0, MAX_PROBES),
          [[]],
        );
    case 'or':
      return principal.any.flatMap(clientsOf);
    case 'not':
      return clientsOf(principal.not);
    default:
      return principal satisfies never;
  }
}
