import type { Cluster } from './cluster.ts';
import type { MeshName, ServerName } from './names.ts';
import type { Route } from './route.ts';
import type { Mesh, Snapshot } from './snapshot.ts';

/**
 * The vocabulary for everything that travels between threads in parts: the configuration thread
 * sends its result with it, and the control side what its workers need. `diff…` finds the
 * difference, `split…` cuts it into pieces, `Coming…` joins the pieces on the other side. Unchanged
 * values keep their identity there.
 */
export interface Delta<Key, Value> {
  readonly set: readonly (readonly [Key, Value])[];
  readonly removed: readonly Key[];
}

/** The difference between two snapshots. */
export interface SnapshotChange {
  readonly version: string;
  readonly zone: string;
  readonly routes: Delta<ServerName, Route>;
  readonly clusters: Delta<string, Cluster>;
  readonly meshes: Delta<MeshName, Mesh>;
}

/** Values per piece: some milliseconds of the receiving event loop. */
const PIECE = 500;

export function diffSnapshots(from: Snapshot, to: Snapshot): SnapshotChange {
  return {
    version: to.version,
    zone: to.zone,
    routes: diffMaps(from.routes, to.routes),
    clusters: diffMaps(from.clusters, to.clusters),
    meshes: diffMaps(from.meshes, to.meshes),
  };
}

/**
 * Does the same, with a turn of the loop for others between the parts: comparing ten thousand
 * routes takes some milliseconds.
 */
export async function diffInTurns(from: Snapshot, to: Snapshot, nextTurn: () => Promise<void>): Promise<SnapshotChange> {
  const meshes = diffMaps(from.meshes, to.meshes);
  const clusters = diffMaps(from.clusters, to.clusters);
  await nextTurn();
  return { version: to.version, zone: to.zone, routes: diffMaps(from.routes, to.routes), clusters, meshes };
}

/** Returns a new snapshot and leaves the old one unchanged. */
export function applyChange(snapshot: Snapshot, change: SnapshotChange): Snapshot {
  const coming = new ComingSnapshot(snapshot);
  coming.add(change);
  return coming.done();
}

/**
 * Joins a snapshot that comes in pieces. What a piece changes is copied once, for any number of
 * pieces. The snapshot that it starts from stays unchanged.
 */
export class ComingSnapshot {
  #version: string;
  #zone: string;
  readonly #routes: ComingMap<ServerName, Route>;
  readonly #clusters: ComingMap<string, Cluster>;
  readonly #meshes: ComingMap<MeshName, Mesh>;

  constructor(from: Snapshot) {
    this.#version = from.version;
    this.#zone = from.zone;
    this.#routes = new ComingMap(from.routes);
    this.#clusters = new ComingMap(from.clusters);
    this.#meshes = new ComingMap(from.meshes);
  }

  add(change: SnapshotChange): void {
    this.#version = change.version;
    this.#zone = change.zone;
    this.#routes.add(change.routes);
    this.#clusters.add(change.clusters);
    this.#meshes.add(change.meshes);
  }

  /** Returns the result; no piece may be added afterwards. */
  done(): Snapshot {
    return Object.freeze({
      version: this.#version,
      zone: this.#zone,
      routes: this.#routes.map,
      clusters: this.#clusters.map,
      meshes: this.#meshes.map,
    });
  }
}

/** Joins a map that comes in pieces, like a snapshot. */
export class ComingMap<Key, Value> {
  map: ReadonlyMap<Key, Value>;
  #own: Map<Key, Value> | null = null;

  constructor(from: ReadonlyMap<Key, Value>) {
    this.map = from;
  }

  add(delta: Delta<Key, Value>): void {
    if (delta.set.length === 0 && delta.removed.length === 0) return;
    const own = this.#own ?? new Map(this.map);
    for (const key of delta.removed) own.delete(key);
    for (const [key, value] of delta.set) own.set(key, value);
    this.map = this.#own = own;
  }
}

/**
 * Cuts a change into pieces of at most `size` values, so that no piece blocks the receiving loop
 * for long. A change without values is one piece, because it may bring another version. Meshes and
 * clusters come first. The pieces make sense only together: the receiver applies them in order and
 * goes live after the last.
 */
export function splitChange(change: SnapshotChange, size: number = PIECE): readonly SnapshotChange[] {
  const nothing = { set: [], removed: [] };
  const head = { version: change.version, zone: change.zone, routes: nothing, clusters: nothing, meshes: nothing };
  const pieces: SnapshotChange[] = [];
  for (const meshes of splitDelta(change.meshes, size)) pieces.push({ ...head, meshes });
  for (const clusters of splitDelta(change.clusters, size)) pieces.push({ ...head, clusters });
  for (const routes of splitDelta(change.routes, size)) pieces.push({ ...head, routes });
  return pieces.length === 0 ? [change] : pieces;
}

/** Returns no piece where nothing changed. */
export function splitDelta<Key, Value>(delta: Delta<Key, Value>, size: number = PIECE): Delta<Key, Value>[] {
  const pieces: Delta<Key, Value>[] = [];
  for (let i = 0; i < Math.max(delta.set.length, delta.removed.length); i += size) {
    pieces.push({ set: delta.set.slice(i, i + size), removed: delta.removed.slice(i, i + size) });
  }
  return pieces;
}

export function diffMaps<Key, Value>(from: ReadonlyMap<Key, Value>, to: ReadonlyMap<Key, Value>): Delta<Key, Value> {
  const set: [Key, Value][] = [];
  const removed: Key[] = [];
  for (const [key, value] of to) {
    const old = from.get(key);
    if (old === undefined || !sameValue(old, value)) set.push([key, value]);
  }
  for (const key of from.keys()) {
    if (!to.has(key)) removed.push(key);
  }
  return { set, removed };
}

/**
 * Compares plain readonly data deeply: no cycles, no functions; the order of properties does not
 * count.
 */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameValue(item, b[i]));
  }
  if (Array.isArray(b)) return false;
  const left = Object.entries(a);
  const right = new Map(Object.entries(b));
  return left.length === right.size && left.every(([key, value]) => right.has(key) && sameValue(value, right.get(key)));
}
