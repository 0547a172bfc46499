import { quote } from '../base/key-material.ts';
import type { Origin } from '../model/compiled.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import { documentsIn } from './document.ts';
import type { Document, Meta } from './document.ts';
import type { Findings } from './findings.ts';
import type { AnyKind, Kind } from './kinds/kind.ts';
import type { MeshDefinition } from './kinds/mesh.ts';
import { KINDS } from './known-kinds.ts';
import type { ParseCache } from './parse-cache.ts';
import type { SourceFile } from './yaml.ts';

/**
 * The type of the lists of a scope, as the kinds declare them: `rateLimits: readonly
 * MeshRateLimit[]` and so on. Kinds that share a list share a type.
 */
type Kept<Scope> = {
  readonly [
    Name in keyof typeof KINDS as (typeof KINDS)[Name] extends { readonly scope: Scope; readonly list: infer List }
      ? List & string
      : never
  ]: (typeof KINDS)[Name] extends Kind<infer Resource, Scope & ('global' | 'mesh'), string | null, infer ByName>
    ? ByName extends true
      ? ReadonlyMap<string, Resource>
      : readonly Resource[]
    : never;
};

/** All resources. Each list is sorted by name, independent of the files. */
export interface ResourceSet extends Omit<Kept<'global'>, 'meshes'> {
  readonly meshes: readonly MeshResources[];
}

export interface MeshResources extends Kept<'mesh'> {
  readonly mesh: MeshDefinition;
}

/** A resource with the definition of its kind. */
interface Entry {
  readonly kind: AnyKind;
  readonly meta: Meta;
  readonly resource: unknown;
}

/** Tells whether a resource is left out. */
export type LeavesOut = (resource: { readonly kind: string; readonly meta: Meta }) => boolean;

export function readResources(
  files: readonly SourceFile[],
  cache: ParseCache,
  findings: Findings,
  without: LeavesOut = () => false,
): ResourceSet {
  const all = cache.parse(files, findings).flatMap((value) => documentsIn(value, findings));
  const documents = all.filter((document) => !without(document));
  const unique = withoutDuplicates(documents, findings);
  const ofAll: Entry[] = [];
  const ofMeshes = new Map<string, Entry[]>();
  for (const document of unique) {
    const kind: AnyKind = KINDS[document.kind];
    const entry: Entry = { kind, meta: document.meta, resource: kind.read(document, findings) };
    if (kind.scope === 'global') ofAll.push(entry);
    else entriesOf(ofMeshes, document.meta.mesh).push(entry);
  }
  const { meshes, ...others } = kept('global', ofAll);
  tellOfUnknownMeshes(unique, meshes, findings);
  return {
    ...others,
    meshes: meshes.map((mesh) => ({ mesh, ...kept('mesh', ofMeshes.get(mesh.meta.name) ?? []) })),
  };
}

export function at(origin: Origin): string {
  return `${origin.file}:${origin.line}`;
}

function entriesOf(meshes: Map<string, Entry[]>, mesh: string): Entry[] {
  const entries = meshes.get(mesh) ?? [];
  meshes.set(mesh, entries);
  return entries;
}

/** Makes every list and map of the scope, including empty ones. */
function kept<Scope extends AnyKind['scope']>(scope: Scope, entries: readonly Entry[]): Kept<Scope> {
  const lists: Record<string, unknown[]> = {};
  const maps: Record<string, Map<string, unknown>> = {};
  for (const kind of Object.values<AnyKind>(KINDS)) {
    if (kind.scope !== scope || kind.list === null) continue;
    if (kind.byName) maps[kind.list] ??= new Map();
    else lists[kind.list] ??= [];
  }
  for (const { kind, meta, resource } of [...entries].sort(byName)) {
    if (kind.list === null) continue;
    if (kind.byName) maps[kind.list]?.set(meta.name, resource);
    else lists[kind.list]?.push(resource);
  }
  // The lists are made from the same definitions as their types; TypeScript cannot follow that.
  return { ...lists, ...maps } as unknown as Kept<Scope>;
}

function withoutDuplicates(documents: readonly Document[], findings: Findings): readonly Document[] {
  const seen = new Map<string, Meta>();
  return documents.filter(({ kind, meta }) => {
    // A missing name is already reported.
    if (meta.name === '') return true;
    const key = JSON.stringify([kind, meta.mesh, meta.name]);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, meta);
    else {
      const field = meta.form === 'universal' ? 'name' : 'metadata.name';
      findings.error(meta.nameAt, field, `${kind} ${quote(meta.name)} is already defined at ${at(first.at)}`);
    }
    return first === undefined;
  });
}

function tellOfUnknownMeshes(documents: readonly Document[], meshes: readonly MeshDefinition[], findings: Findings): void {
  const names = new Set(meshes.map(({ meta }) => meta.name));
  for (const { kind, meta } of documents) {
    if (meta.mesh === '' || names.has(meta.mesh)) continue;
    const hint = didYouMean(meta.mesh, names);
    findings.warn(meta.meshAt, 'mesh', `no Mesh ${quote(meta.mesh)} is among the resources${hint}; this ${kind} has no effect`);
  }
}

function byName(a: Entry, b: Entry): number {
  return a.meta.name < b.meta.name ? -1 : a.meta.name > b.meta.name ? 1 : 0;
}
