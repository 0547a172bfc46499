import { nextTurn } from '../../base/clock.ts';
import { NORMAL_ENDS } from '../../base/refusal.ts';
import { addressKey } from '../../model/endpoint-view.ts';
import type { Route } from '../../model/route.ts';
import type { ShownAnswer } from '../../model/shown-session.ts';
import type { PageFacts } from './facts.ts';

/** The destinations at this moment, for the picture. */
export interface ZoneView {
  readonly meshes: readonly MeshView[];
  /** Refusals of the last minutes that reached no destination, by reason, the most first. */
  readonly strays: readonly (readonly [reason: string, count: number])[];
  /** Open sessions whose rates are counted, of how many. */
  readonly measured: { readonly sessions: number; readonly found: number };
}

export interface MeshView {
  readonly name: string;
  readonly open: number;
  /** Bytes per second, both directions. */
  readonly rate: number;
  readonly refused: number;
  /** First the ones that need attention, then the busiest. */
  readonly destinations: readonly DestinationView[];
}

export interface DestinationView {
  readonly mesh: string;
  readonly name: string;
  readonly open: number;
  readonly rate: number;
  /** Refusals of the last minutes. */
  readonly refused: number;
  readonly healthy: number;
  /** Addresses that may be dialled. */
  readonly addresses: number;
  readonly health: 'good' | 'some' | 'none';
}

/** Refusals within this time count as present ones. */
export const LATELY_MS: number = 5 * 60_000;
const MOST_REFUSALS = 2_000;
/** The busiest sessions, whose rates are summed. */
const MOST_RATED = 500;
/** Destinations that are looked at in one turn of the event loop. */
const AT_A_TIME = 200;

export async function zoneView(facts: PageFacts): Promise<ZoneView> {
  const rated = (await facts.sessions({ sort: 'rate', most: MOST_RATED })) ?? NO_SESSIONS;
  const refused = refusedLately(facts);
  const rates = new Map<string, number>();
  for (const { mesh, destination, rateUp, rateDown } of rated.sessions) add(rates, keyOf(mesh, destination), rateUp + rateDown);
  const byMesh = new Map<string, DestinationView[]>();
  let turn = 0;
  for (const [key, routes] of destinationsOf(facts.snapshot().routes)) {
    if (++turn % AT_A_TIME === 0) await nextTurn();
    const { mesh, destination: name } = routes[0];
    const clusters = [...new Set(routes.map(({ cluster }) => cluster))];
    const open = clusters.reduce((sum, cluster) => sum + openOf(facts, cluster), 0);
    const seen = { mesh, name, open, rate: rates.get(key) ?? 0, refused: refused.of.get(key) ?? 0, ...healthOf(facts, clusters) };
    const all = byMesh.get(mesh);
    if (all === undefined) byMesh.set(mesh, [seen]);
    else all.push(seen);
  }
  const meshes = [...byMesh].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, all]) => meshView(name, all));
  return { meshes, strays: refused.strays, measured: { sessions: rated.sessions.length, found: rated.found } };
}

const NO_SESSIONS: ShownAnswer = { found: 0, sessions: [], silent: [] };

function keyOf(mesh: string, destination: string): string {
  return JSON.stringify([mesh, destination]);
}

function add(to: Map<string, number>, key: string, count: number): void {
  to.set(key, (to.get(key) ?? 0) + count);
}

/** Several names of a ClientHello may lead to one destination. */
function destinationsOf(routes: ReadonlyMap<string, Route>): ReadonlyMap<string, readonly [Route, ...Route[]]> {
  const found = new Map<string, [Route, ...Route[]]>();
  for (const route of routes.values()) {
    const key = keyOf(route.mesh, route.destination);
    const known = found.get(key);
    if (known === undefined) found.set(key, [route]);
    else known.push(route);
  }
  return found;
}

function openOf({ use }: PageFacts, cluster: string): number {
  const { connections, pending } = use(cluster);
  return connections + pending;
}

function healthOf(facts: PageFacts, names: readonly string[]): Pick<DestinationView, 'healthy' | 'addresses' | 'health'> {
  const { clusters } = facts.snapshot();
  const keys = new Map<string, boolean>();
  for (const name of names) {
    const cluster = clusters.get(name);
    if (cluster === undefined || cluster.broken !== undefined) continue;
    for (const { ip, endpoint } of facts.targets(cluster)) {
      const key = addressKey(ip, endpoint.port);
      keys.set(key, facts.health(name, key) === 'healthy' && keys.get(key) !== false);
    }
  }
  const healthy = [...keys.values()].filter((is) => is).length;
  return { healthy, addresses: keys.size, health: healthy === 0 ? 'none' : healthy < keys.size ? 'some' : 'good' };
}

function refusedLately(facts: PageFacts): { readonly of: ReadonlyMap<string, number>; readonly strays: ZoneView['strays'] } {
  const query = { outcome: 'refused', limit: MOST_REFUSALS, sinceMs: facts.wall() - LATELY_MS } as const;
  const of = new Map<string, number>();
  const strays = new Map<string, number>();
  for (const { mesh, destination, reason } of [...facts.decisions(query), ...facts.requests(query)]) {
    if (Object.hasOwn(NORMAL_ENDS, reason)) continue;
    if (destination === '') add(strays, reason, 1);
    else add(of, keyOf(mesh, destination), 1);
  }
  return { of, strays: [...strays].sort(([, a], [, b]) => b - a) };
}

function meshView(name: string, destinations: readonly DestinationView[]): MeshView {
  const sum = (of: (each: DestinationView) => number): number => destinations.reduce((all, each) => all + of(each), 0);
  return {
    name,
    open: sum(({ open }) => open),
    rate: sum(({ rate }) => rate),
    refused: sum(({ refused }) => refused),
    destinations: [...destinations].sort(byAttention),
  };
}

function byAttention(a: DestinationView, b: DestinationView): number {
  return weight(b) - weight(a) || b.rate - a.rate || b.open - a.open || (a.name < b.name ? -1 : 1);
}

function weight({ refused, health }: DestinationView): number {
  return (refused > 0 ? 2 : 0) + (health === 'good' ? 0 : health === 'some' ? 1 : 2);
}
