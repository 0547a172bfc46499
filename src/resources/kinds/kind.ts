import type { Document } from '../document.ts';
import type { Findings } from '../findings.ts';

/** Everything that the other files need to know of a kind of resource. */
export interface Kind<Resource, Scope extends 'global' | 'mesh', List extends string | null, ByName extends boolean = false> {
  readonly scope: Scope;
  /**
   * Where the fields are in Universal form: beside `type` and `name` (older kinds), or under
   * `spec`.
   */
  readonly style: 'fields' | 'spec';
  /** In Kubernetes. */
  readonly namespaced: boolean;
  /**
   * An error in it concerns one destination, or what names it, and refuses that one only. Of the
   * other kinds it cannot be known which destinations an error concerns: it rejects the load.
   */
  readonly aboutOne: boolean;
  /**
   * Where the resource set keeps what was read, for its mesh or for all. Null: it is only checked.
   */
  readonly list: List;
  /** The set keeps a map by name in place of a list in the order of names. */
  readonly byName: ByName;
  /** Reports what is wrong with Kuma's messages, and gives what there is all the same. */
  read(document: Document, findings: Findings): Resource;
}

export type AnyKind = Kind<unknown, 'global' | 'mesh', string | null, boolean>;

/** A policy of a mesh, kept in a list. */
export type PolicyKind<Resource, List extends string> = Kind<Resource, 'mesh', List>;

/** The newer form: its fields are under `spec`. */
export function policyKind<Resource, List extends string>(
  list: List,
  read: (document: Document, findings: Findings) => Resource,
): PolicyKind<Resource, List> {
  return { scope: 'mesh', style: 'spec', namespaced: true, aboutOne: false, list, byName: false, read };
}

/** The older form: its fields stand beside `name`. */
export function olderPolicyKind<Resource, List extends string>(
  list: List,
  read: (document: Document, findings: Findings) => Resource,
): PolicyKind<Resource, List> {
  return { ...policyKind(list, read), style: 'fields', namespaced: false };
}
