import { SHOWN_SORTS } from '../../model/shown-session.ts';
import type { ShownSort } from '../../model/shown-session.ts';

/** The parts of the page that a browser may ask for alone. */
export const PAGE_PARTS = ['state', 'alarms', 'charts', 'map', 'refusals', 'sessions', 'routes', 'certificates'] as const;
export type PagePart = (typeof PAGE_PARTS)[number];

/** The question in the address of the page. People edit it: what is invalid has its default. */
export interface AskedPage {
  /** Empty asks for the whole page. */
  readonly parts: readonly PagePart[];
  /** A part of the name of a destination or mesh, for the picture and the routes. */
  readonly find: string;
  /** The mesh whose destinations the picture shows all. */
  readonly open: string;
  readonly mesh: string;
  readonly destination: string;
  readonly client: string;
  readonly sort: ShownSort;
  /** The most sessions that are listed. */
  readonly limit: (typeof LIMITS)[number];
  /** Only refusals for this reason. */
  readonly reason: string;
}

export const LIMITS = [50, 200, 1_000] as const;
const MAX_TEXT = 300;

export function askedPage(search: string): AskedPage {
  const query = new URLSearchParams(search);
  const text = (name: string): string => (query.get(name) ?? '').trim().slice(0, MAX_TEXT);
  const wanted = new Set(query.getAll('part'));
  const sort = text('sort');
  const limit = Number(text('limit'));
  return {
    parts: PAGE_PARTS.filter((part) => wanted.has(part)),
    find: text('find'),
    open: text('open'),
    mesh: text('mesh'),
    destination: text('destination'),
    client: text('client'),
    sort: SHOWN_SORTS.find((each) => each === sort) ?? 'age',
    limit: LIMITS.find((each) => each === limit) ?? LIMITS[0],
    reason: text('reason'),
  };
}

/** Returns the filter of a list: what is empty is not asked for. */
export function askedFilter({ mesh, destination, client }: AskedPage): {
  readonly mesh?: string;
  readonly destination?: string;
  readonly client?: string;
} {
  return {
    ...(mesh === '' ? {} : { mesh }),
    ...(destination === '' ? {} : { destination }),
    ...(client === '' ? {} : { client }),
  };
}

/** Returns the parameters of an address that asks for the same, without the parts. */
export function pageQuery({ find, open, mesh, destination, client, sort, limit, reason }: AskedPage): Record<string, string> {
  return {
    find,
    open,
    mesh,
    destination,
    client,
    sort: sort === 'age' ? '' : sort,
    limit: limit === LIMITS[0] ? '' : String(limit),
    reason,
  };
}
