/**
 * Finds the SNIs that an SNI without a route may have been meant to be. It walks once over the
 * routes and the written destinations that are not served; every comparison is bounded, so that ten
 * thousand routes cost milliseconds.
 */
import { editsWithin } from '../base/edits.ts';
import type { Absent } from '../model/compiled.ts';
import { serverName } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { describeSni, encodeTagSni } from '../wire/sni.ts';
import type { SniDescription } from '../wire/sni.ts';
import { absentText } from './absent.ts';
import { inFile, filePlaceOf } from './trace.ts';
import type { NearMiss, NearMissKind, Sources } from './trace.ts';

/** More edits than this make another name, not a typing error. */
const MAX_EDITS = 2;
const MAX_SHOWN = 5;

/** Returns at most five, the most helpful first. */
export function nearestRoutes(snapshot: Snapshot, sni: string, sources: Sources): readonly NearMiss[] {
  const asked = serverName(sni);
  const meant = meaningOf(describeSni(sni));
  const found: Found[] = [];
  const exact = sources.absent.get(asked);
  if (exact !== undefined) found.push({ rank: 0, miss: notServed(exact, asked, '') });
  for (const route of snapshot.routes.values()) {
    const miss = missOf(route, { asked, meant, sni, snapshot });
    if (miss !== null) found.push({ rank: miss.rank, miss: routeMiss(route, miss, sources) });
  }
  for (const [name, absent] of sources.absent) {
    const edits = name === asked ? null : editsWithin(asked, name, MAX_EDITS);
    if (edits !== null)
      found.push({ rank: RANKS.spelling + edits + 0.5, miss: notServed(absent, name, `${editsText(edits)} from `) });
  }
  // Sorting keeps the order of equals.
  return found
    .sort((a, b) => a.rank - b.rank)
    .slice(0, MAX_SHOWN)
    .map(({ miss }) => miss);
}

interface Found {
  readonly rank: number;
  readonly miss: NearMiss;
}

/** A lower rank is more helpful. */
const RANKS: Readonly<Record<Exclude<NearMissKind, 'case'>, number>> = {
  'not-served': 0,
  'trailing-dot': 1,
  'tag-order': 2,
  spelling: 3,
  'sni-form': 6,
  tags: 7,
  'other-mesh': 8,
  address: 9,
};

/** The meaning of an SNI in each of Kuma's forms; null for a form that it has not. */
interface Meaning {
  readonly form: 'tag' | 'hash' | 'kri';
  readonly name: string;
  readonly mesh: string;
  readonly port: string;
  /** In the tag form, with the tags in Kuma's order. */
  readonly sorted: string;
}

function meaningOf(description: SniDescription): Meaning | null {
  switch (description.form) {
    case 'tag': {
      const { service, tags } = description;
      const sorted = serverName(encodeTagSni({ ...tags, 'kuma.io/service': service }));
      return { form: 'tag', name: fold(service), mesh: fold(tags.mesh ?? ''), port: '', sorted };
    }
    case 'hash':
      return { form: 'hash', name: description.name, mesh: description.mesh, port: String(description.port), sorted: '' };
    case 'kri':
      return { form: 'kri', name: description.name, mesh: description.mesh, port: description.section, sorted: '' };
    case 'other':
      return null;
    default:
      return description satisfies never;
  }
}

interface Asked {
  readonly asked: string;
  readonly meant: Meaning | null;
  readonly sni: string;
  readonly snapshot: Snapshot;
}

interface Miss {
  readonly kind: NearMissKind;
  readonly rank: number;
  readonly text: string;
}

function missOf(route: Route, { asked, meant, sni, snapshot }: Asked): Miss | null {
  const { serverName: name, mesh } = route;
  if (asked === `${name}.`) return miss('trailing-dot', `the same without the dot at its end`);
  if (meant?.sorted === name) return miss('tag-order', 'the same tags in the order of their names, as Kuma sorts them');
  const edits = editsWithin(asked, name, MAX_EDITS);
  if (edits !== null) return { ...miss('spelling', `${editsText(edits)} away`), rank: RANKS.spelling + edits };
  const destination = fold(route.destination);
  if (meant === null) {
    if (asked === destination) return miss('sni-form', `${route.destination} as clients of mesh ${mesh} name it`);
    return isAddressOf(route, sni, snapshot)
      ? miss('address', `${asked} is an endpoint of ${route.destination}; clients name the destination, not its address`)
      : null;
  }
  if (destination !== meant.name) return null;
  if (fold(mesh) !== meant.mesh) return miss('other-mesh', `${route.destination} of mesh ${mesh}`);
  return sameMesh(name, meant);
}

/** The destination and its mesh are the same: the form differs, or something in it. */
function sameMesh(name: string, meant: Meaning): Miss | null {
  const own = describeSni(name);
  if (own.form !== meant.form)
    return miss('sni-form', `the same destination in the form that this egress goes by: ${FORMS[own.form]}`);
  if (own.form === 'tag') return miss('tags', 'the same service and mesh with other tags');
  const port = own.form === 'hash' ? String(own.port) : own.form === 'kri' ? own.section : '';
  return miss(
    'sni-form',
    port === meant.port ? 'the same destination with another hash or kind' : `the same destination at port ${port}`,
  );
}

const FORMS: Readonly<Record<SniDescription['form'], string>> = {
  tag: 'service{mesh=…}',
  hash: 'a<hash>.<name>.<port>.<mesh>.<kind>',
  kri: 'sni.<kind>.<mesh>.<name>.<port>',
  other: 'a name of its own',
};

function isAddressOf({ cluster }: Route, sni: string, { clusters }: Snapshot): boolean {
  const name = fold(sni);
  return (clusters.get(cluster)?.endpoints ?? []).some(
    ({ address, tls }) => (address.kind === 'name' && fold(address.name) === name) || (tls?.serverName ?? '') === name,
  );
}

function miss(kind: Exclude<NearMissKind, 'case'>, text: string): Miss {
  return { kind, rank: RANKS[kind], text };
}

function routeMiss({ serverName: name }: Route, { kind, text }: Miss, sources: Sources): NearMiss {
  const place = filePlaceOf(sources, `route:${name}`);
  return { kind, name, text: `${text}${inFile(place)}`, place };
}

function notServed(absent: Absent, name: string, before: string): NearMiss {
  const { file, line, column } = absent;
  const text = before === '' ? absentText(absent) : `${before}what is not served: ${absentText(absent)}`;
  return { kind: 'not-served', name, text, place: { file, line, column } };
}

function editsText(edits: number): string {
  return edits === 1 ? 'one edit' : `${edits} edits`;
}

function fold(text: string): string {
  return serverName(text);
}
