import type { Cluster } from './cluster.ts';
import type { MeshName, ServerName } from './names.ts';
import type { Route } from './route.ts';
import type { Mesh, Snapshot } from './snapshot.ts';

/** What turns one snapshot into another, as it travels between the sides. Unchanged values keep their identity on the receiving side. */
export interface SnapshotChange {
  readonly version: string;
  readonly zone: string;
  readonly routes: Delta<ServerName, Route>;
  readonly clusters: Delta<string, Cluster>;
  readonly meshes: Delta<MeshName, Mesh>;
}

export interface Delta<Key, Value> {
  readonly set: readonly (readonly [Key, Value])[];
  readonly removed: readonly Key[];
}

export function diffSnapshots(from: Snapshot, to: Snapshot): SnapshotChange {
  return {
    version: to.version,
    zone: to.zone,
    routes: diff(from.routes, to.routes),
    clusters: diff(from.clusters, to.clusters),
    meshes: diff(from.meshes, to.meshes),
  };
}

/** A new snapshot; the old one is untouched. */
export function applyChange(snapshot: Snapshot, change: SnapshotChange): Snapshot {
  return Object.freeze({
    version: change.version,
    zone: change.zone,
    routes: apply(snapshot.routes, change.routes),
    clusters: apply(snapshot.clusters, change.clusters),
    meshes: apply(snapshot.meshes, change.meshes),
  });
}

/**
 * The same change in pieces of at most `size` values, so that no piece holds up a receiving loop for long. Meshes and clusters come first.
 * They make sense only together: the receiver applies them one after another and goes live after the last.
 */
export function splitChange(change: SnapshotChange, size: number): readonly SnapshotChange[] {
  const nothing = { set: [], removed: [] };
  const head = { version: change.version, zone: change.zone, routes: nothing, clusters: nothing, meshes: nothing };
  const pieces: SnapshotChange[] = [];
  for (const meshes of splitDelta(change.meshes, size)) pieces.push({ ...head, meshes });
  for (const clusters of splitDelta(change.clusters, size)) pieces.push({ ...head, clusters });
  for (const routes of splitDelta(change.routes, size)) pieces.push({ ...head, routes });
  return pieces.length === 0 ? [change] : pieces;
}

function splitDelta<Key, Value>(delta: Delta<Key, Value>, size: number): Delta<Key, Value>[] {
  const pieces: Delta<Key, Value>[] = [];
  for (let i = 0; i < Math.max(delta.set.length, delta.removed.length); i += size) {
    pieces.push({ set: delta.set.slice(i, i + size), removed: delta.removed.slice(i, i + size) });
  }
  return pieces;
}

function diff<Key, Value>(from: ReadonlyMap<Key, Value>, to: ReadonlyMap<Key, Value>): Delta<Key, Value> {
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

function apply<Key, Value>(map: ReadonlyMap<Key, Value>, delta: Delta<Key, Value>): ReadonlyMap<Key, Value> {
  if (delta.set.length === 0 && delta.removed.length === 0) return map;
  const next = new Map(map);
  for (const key of delta.removed) next.delete(key);
  for (const [key, value] of delta.set) next.set(key, value);
  return next;
}

/** Deep equality of plain readonly data: no cycles, no functions; property order does not count. */
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
