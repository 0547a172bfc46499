/**
 * Which clients may reach a destination. routing/authorise.ts evaluates it on the URI SANs of the
 * verified client. Kuma's principals are `spiffe://<mesh>/<service>` and `kuma://<tag>/<value>`,
 * exactly.
 */
export type Permission =
  /** Allows any client of the mesh. `by` names what decided, e.g. `MeshExternalService default`. */
  | { readonly kind: 'allow-all'; readonly by: string }
  /** Refuses every client. */
  | { readonly kind: 'deny-all'; readonly by: string }
  /** The first rule that matches decides; a client that matches none is refused. */
  | { readonly kind: 'rules'; readonly by: string; readonly rules: readonly PermissionRule[] }
  /**
   * Each of them must allow: a control plane may put several authorisation filters into one chain.
   */
  | { readonly kind: 'all-of'; readonly by: string; readonly all: readonly Permission[] }
  /** A restriction that this egress cannot evaluate: refuses with `unsupported-policy`. */
  | { readonly kind: 'unsupported'; readonly by: string; readonly why: string };

export interface PermissionRule {
  /** `shadow-deny` allows and is counted. */
  readonly action: 'allow' | 'deny' | 'shadow-deny';
  /** The policy of the rule. */
  readonly by: string;
  readonly principal: Principal;
}

export type Principal =
  | { readonly kind: 'any' }
  /** The client carries this URI SAN. */
  | { readonly kind: 'uri'; readonly match: 'exact' | 'prefix'; readonly value: string }
  /**
   * All URI SANs in their order, joined by commas, which Envoy's matchers compare. Exact matches a
   * client with only this one.
   */
  | { readonly kind: 'uri-list'; readonly match: 'exact' | 'prefix'; readonly value: string }
  | { readonly kind: 'and'; readonly all: readonly Principal[] }
  | { readonly kind: 'or'; readonly any: readonly Principal[] }
  | { readonly kind: 'not'; readonly not: Principal };
