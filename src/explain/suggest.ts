/**
 * Finds the smallest set of permissions that lets in the clients of recorded sessions and requests,
 * and nothing else. It names a client only by what a permission can name, and never guesses.
 */
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Permission } from '../model/permission.ts';
import type { TerminateRoute } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { findRoute } from '../routing/decide.ts';
import { printable } from '../routing/route.ts';
import { describeSni } from '../wire/sni.ts';
import { accessChange, domainsOf } from './access-change.ts';
import { deciders } from './permission-names.ts';
import { OmissionTally, seenIn } from './seen-use.ts';
import type { LeftOut, Seen, SeenUse } from './seen-use.ts';

export type PermissionKind = 'MeshTrafficPermission' | 'TrafficPermission';

/** A client as a permission names it, with its uses that are the reason. */
export interface SuggestedClient {
  /** The SPIFFE id that is let in. */
  readonly id: string;
  /** The `kuma.io/service` of that id; empty where the permission names the id itself. */
  readonly service: string;
  /** The server name that the rule is about; empty where the permission names the destination. */
  readonly sni: string;
  readonly uses: readonly SeenUse[];
}

export interface SuggestedPermission {
  readonly kind: PermissionKind;
  readonly mesh: string;
  readonly name: string;
  /** Destinations by name. */
  readonly destinations: readonly string[];
  /** `service` selects destination and clients by name; `rules` is for an egress of one mesh. */
  readonly form: 'service' | 'rules';
  readonly clients: readonly SuggestedClient[];
}

/** A destination whose permission lets in exactly the clients that were seen. */
export interface ExactAlready {
  readonly mesh: string;
  readonly destination: string;
  readonly by: string;
}

export interface Suggestion {
  readonly permissions: readonly SuggestedPermission[];
  /** The uses that the permissions are for, and those that are let in exactly already. */
  readonly uses: readonly SeenUse[];
  readonly exact: readonly ExactAlready[];
  /** Refused by a permission, and left out. */
  readonly refused: readonly SeenUse[];
  readonly leftOut: readonly LeftOut[];
  readonly period: Seen['period'];
}

export interface SuggestOptions {
  /** Takes in what permissions have refused. */
  readonly includeRefused: boolean;
  /** Null chooses the kind that the mesh has. */
  readonly kind: PermissionKind | null;
}

export function suggest(
  snapshot: Snapshot,
  records: { readonly sessions: readonly SessionRecord[]; readonly requests: readonly RequestRecord[] },
  { includeRefused, kind }: SuggestOptions,
): Suggestion {
  const seen = seenIn(records.sessions, records.requests);
  const leftOut = new OmissionTally();
  for (const { why, example, sessions, requests } of seen.leftOut) {
    leftOut.add(why, example, 'sessions', sessions);
    leftOut.add(why, example, 'requests', requests);
  }
  const targets = new Map<string, Target>();
  const uses: SeenUse[] = [];
  const refused: SeenUse[] = [];
  for (const use of seen.uses) {
    const found = targetOf(snapshot, use);
    if (typeof found === 'string') leave(leftOut, found, use);
    else if (use.passed === 'refused' && !includeRefused) refused.push(use);
    else {
      uses.push(use);
      const key = JSON.stringify([use.mesh, use.destination, found.form]);
      const target = targets.get(key) ?? { ...found, mesh: use.mesh, destination: use.destination, uses: [] };
      targets.set(key, target);
      target.uses.push({ use, ids: found.ids });
    }
  }
  const exact: ExactAlready[] = [];
  const all: Unnamed[] = [];
  // The set of a mesh stands alone: it has all of its destinations, or none where nothing is to do.
  for (const ofMesh of Map.groupBy(targets.values(), ({ mesh }) => mesh).values()) {
    const made = ofMesh.map((target) => permissionFor(snapshot, target, kind));
    const already = made.flatMap((each) => exactAlready(snapshot, each));
    if (already.length === made.length) exact.push(...already);
    else all.push(...made);
  }
  return { permissions: named(merged(all), snapshot), uses, exact, refused, leftOut: leftOut.list(), period: seen.period };
}

interface Target {
  readonly mesh: string;
  readonly destination: string;
  readonly form: SuggestedPermission['form'];
  readonly uses: { readonly use: SeenUse; readonly ids: readonly string[] }[];
}

function leave(leftOut: OmissionTally, why: string, { sessions, requests }: SeenUse): void {
  if (sessions[0] !== undefined) leftOut.add(why, sessions[0].id, 'sessions', sessions.length);
  if (requests[0] !== undefined) leftOut.add(why, requests[0].id, 'requests', requests.length);
}

/** Returns the names of the client that a permission can ask for; a sentence without any. */
function targetOf(
  snapshot: Snapshot,
  { mesh, destination, sni, uris }: SeenUse,
): { readonly form: SuggestedPermission['form']; readonly ids: readonly string[] } | string {
  const routed = findRoute(snapshot, sni);
  const what = `${printable(destination)} of mesh ${printable(mesh)}`;
  if (routed.kind === 'refusal') return `went to ${what}, which these resources do not serve`;
  const { route } = routed;
  if (route.kind === 'passthrough') return `went to ${what}, which another zone serves in these resources: that zone decides`;
  if (route.mesh !== mesh || route.destination !== destination)
    return `went to ${what}, and the server name leads to ${route.destination} of mesh ${route.mesh} in these resources`;
  if (route.unsupported !== undefined) return `went to ${what}, which refuses every client: ${route.unsupported}`;
  const { form } = describeSni(route.serverName);
  if (form === 'hash')
    return `went to the MeshExternalService ${what}: on a ZoneEgress no permission applies to it, only the mesh decides (routing.defaultForbidMeshExternalServiceAccess)`;
  if (form === 'kri') {
    if (uris.length === 1 && isSpiffe(uris[0] ?? '')) return { form: 'rules', ids: uris };
    return `came to ${what} from a client with ${uris.length} URI names, and a rule of an egress of one mesh names a client with only one`;
  }
  const prefix = `spiffe://${mesh}/`;
  const ids = uris.filter((uri) => uri.startsWith(prefix) && SERVICE.test(uri.slice(prefix.length)));
  if (ids.length > 0) return { form: 'service', ids };
  return `came to ${what} from ${printable(uris[0] ?? '')}, and a permission of a ZoneEgress names clients as ${prefix}<service> only`;
}

/** The names that Kuma takes for a target. */
const SERVICE = /^[0-9a-z.\-_]+$/;

function isSpiffe(uri: string): boolean {
  return /^spiffe:\/\/[\x21-\x7e]*[^/]$/.test(uri);
}

type Unnamed = Omit<SuggestedPermission, 'name'>;

function permissionFor(snapshot: Snapshot, target: Target, wanted: PermissionKind | null): Unnamed {
  const { mesh, destination, form, uses } = target;
  const kind = form === 'rules' ? 'MeshTrafficPermission' : (wanted ?? kindOf(snapshot, mesh));
  const byId = new Map<string, SeenUse[]>();
  // Clients with one id first: another client of which one id is among those needs no further one.
  for (const { use, ids } of uses.toSorted((a, b) => a.ids.length - b.ids.length)) {
    const id = ids.find((each) => byId.has(keyOf(each, use, form))) ?? ids[0] ?? '';
    const key = keyOf(id, use, form);
    byId.set(key, [...(byId.get(key) ?? []), use]);
  }
  const clients = [...byId].map(([key, of]): SuggestedClient => {
    const [id = '', sni = ''] = key.split(' ');
    return { id, service: form === 'service' ? id.slice(`spiffe://${mesh}/`.length) : '', sni, uses: of };
  });
  return { kind, mesh, destinations: [destination], form, clients: clients.sort(byIdAndName) };
}

/** Neither an id nor a server name has a blank in it. */
function keyOf(id: string, { sni }: SeenUse, form: SuggestedPermission['form']): string {
  return form === 'rules' ? `${id} ${sni.toLowerCase()}` : id;
}

function byIdAndName(a: SuggestedClient, b: SuggestedClient): number {
  return a.sni === b.sni ? (a.id < b.id ? -1 : 1) : a.sni < b.sni ? -1 : 1;
}

/** Chooses the kind that the mesh has; the newer one where it has none. */
function kindOf(snapshot: Snapshot, mesh: string): PermissionKind {
  const names = [...snapshot.routes.values()].flatMap((route) =>
    route.kind === 'terminate' && route.mesh === mesh ? deciders(route.permission) : [],
  );
  const isNew = names.some((name) => /^(no )?MeshTrafficPermission\b/.test(name));
  return !isNew && names.some((name) => name.startsWith('TrafficPermission ')) ? 'TrafficPermission' : 'MeshTrafficPermission';
}

/** The routes that a suggested permission is about. */
export function routesFor(snapshot: Snapshot, { mesh, destinations, form }: Unnamed): readonly TerminateRoute[] {
  return [...snapshot.routes.values()].filter((route): route is TerminateRoute => {
    if (route.kind !== 'terminate' || route.mesh !== mesh || !destinations.includes(route.destination)) return false;
    return (describeSni(route.serverName).form === 'kri') === (form === 'rules');
  });
}

/** The permission that a suggestion is for one of its routes, without others beside it. */
export function permissionAlone(of: Unnamed, { serverName }: TerminateRoute, by: string): Permission {
  const clients = of.clients.filter(({ sni }) => sni === '' || sni === serverName);
  if (clients.length === 0) return { kind: 'deny-all', by };
  const rules = clients.map(({ id }) => {
    const kind = of.form === 'rules' ? 'uri-list' : 'uri';
    return { action: 'allow', by, principal: { kind, match: 'exact', value: id } } as const;
  });
  return { kind: 'rules', by, rules };
}

/** Finds the permission of the same kind that lets in exactly these clients already. */
function exactAlready(snapshot: Snapshot, made: Unnamed): readonly ExactAlready[] {
  const routes = routesFor(snapshot, made);
  const isSame = routes.every((route) => {
    const alone = { ...route, permission: permissionAlone(made, route, '') };
    const change = accessChange(route, alone, domainsOf(route, [snapshot]));
    return change.newly.length + change.noLonger.length === 0 && !change.isPartial;
  });
  const names = [...new Set(routes.flatMap((route) => deciders(route.permission)))].sort();
  if (!isSame || names.length === 0 || names.some((name) => !name.startsWith(`${made.kind} `))) return [];
  return made.destinations.map((destination) => ({ mesh: made.mesh, destination, by: names.join(' and ') }));
}

/**
 * Joins what one resource can say: the rules of a mesh, and destinations of a TrafficPermission
 * with the same clients. A MeshTrafficPermission names one destination.
 */
function merged(all: readonly Unnamed[]): readonly Unnamed[] {
  const groups = Map.groupBy(all, ({ kind, mesh, destinations, form, clients }) =>
    JSON.stringify([
      kind,
      mesh,
      form,
      form === 'rules' ? [] : kind === 'TrafficPermission' ? clients.map(({ id }) => id) : destinations,
    ]),
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const clients = Map.groupBy(
      group.flatMap((each) => each.clients),
      ({ id, sni }) => `${id} ${sni}`,
    );
    return [
      {
        ...first,
        destinations: [...new Set(group.flatMap(({ destinations }) => destinations))].sort(),
        clients: [...clients.values()]
          .flatMap(([one, ...more]) => (one === undefined ? [] : [{ ...one, uses: [one, ...more].flatMap(({ uses }) => uses) }]))
          .sort(byIdAndName),
      },
    ];
  });
}

/** Gives each a name of its own, which is the same for the same records. */
function named(all: readonly Unnamed[], snapshot: Snapshot): readonly SuggestedPermission[] {
  const taken = new Set<string>();
  return all.map((each) => {
    const of = each.form === 'rules' ? 'zone-egress' : (each.destinations[0] ?? '');
    const base = `${firstPart(each, snapshot)}suggested-${slug(of)}`;
    let name = base;
    for (let i = 2; taken.has(`${each.mesh} ${each.kind} ${name}`); i++) name = `${base}-${i}`;
    taken.add(`${each.mesh} ${each.kind} ${name}`);
    return { ...each, name };
  });
}

/**
 * Among permissions that select a destination alike, and have no time of creation, the first by
 * name decides: the only TrafficPermission that counts, and a rule of a MeshTrafficPermission that
 * has to overrule a Deny.
 */
function firstPart(each: Unnamed, snapshot: Snapshot): string {
  const isNew = each.clients.some(({ uses }) => uses.some(({ passed }) => passed !== 'permission'));
  if (each.form === 'rules' || (each.kind === 'MeshTrafficPermission' && !isNew)) return '';
  const names = routesFor(snapshot, each)
    .flatMap((route) => deciders(route.permission))
    .map((name) => name.slice(name.indexOf('/') + 1))
    .filter((name) => !SUGGESTED.test(name));
  return FIRST_PARTS.find((part) => names.every((name) => `${part}suggested-` < name)) ?? '';
}

const SUGGESTED = /^(0-+)?suggested-/;
const FIRST_PARTS = ['', '0-', '0--', '0---'] as const;

const MAX_SLUG = 50;

/** Makes a part of a name that Kuma and Kubernetes take. */
function slug(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_SLUG)
    .replace(/^-+|-+$/g, '');
}
