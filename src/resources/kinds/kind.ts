import type { Document } from '../document.ts';
import type { Findings } from '../findings.ts';

/** Everything that other files need to know of a kind of resource. */
export interface Kind<Resource, Scope extends 'global' | 'mesh', List extends string | null, ByName extends boolean = false> {
  readonly scope: Scope;
  /**
   * The place of the fields in Universal form: beside `type` and `name` (older kinds), or under
   * `spec`.
   */
  readonly style: 'fields' | 'spec';
  /** True for a kind that is namespaced in Kubernetes. */
  readonly namespaced: boolean;
  /**
   * True where an error concerns one destination, or what names it, and refuses only that one. For
   * other kinds the destinations of an error are not known: it rejects the load.
   */
  readonly aboutOne: boolean;
  /**
   * The list of the resource set that keeps it, by mesh or for all meshes. Null for a kind that is
   * only checked.
   */
  readonly list: List;
  /** True keeps a map by name instead of a list in the order of names. */
  readonly byName: ByName;
  /** Reports errors with Kuma's messages, and returns what could be read. */
  read(document: Document, findings: Findings): Resource;
}

export type AnyKind = Kind<unknown, 'global' | 'mesh', string | null, boolean>;

/** A policy of a mesh, kept in a list. */
export type PolicyKind<Resource, List extends string> = Kind<Resource, 'mesh', List>;

/** Defines a policy of the newer form, with its fields under `spec`. */
export function policyKind<Resource, List extends string>(
  list: List,
  read: (document: Document, findings: Findings) => Resource,
): PolicyKind<Resource, List> {
  return { scope: 'mesh', style: 'spec', namespaced: true, aboutOne: false, list, byName: false, read };
}

/** Defines a policy of the older form, with its fields beside `name`. */
export function olderPolicyKind<Resource, List extends string>(
  list: List,
  read: (document: Document, findings: Findings) => Resource,
): PolicyKind<Resource, List> {
  return { ...policyKind(list, read), style: 'fields', namespaced: false };
}
