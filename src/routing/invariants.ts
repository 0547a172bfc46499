/**
 * Rules that hold of every snapshot that is served, from any source. A correct compiler never
 * violates one; the check keeps a bug in a compiler away from traffic. It does not judge whether a
 * configuration is wise.
 */
import { isIP } from 'node:net';
import type { Cluster, Endpoint } from '../model/cluster.ts';
import { serverName } from '../model/names.ts';
import type { ContentHash, MeshName } from '../model/names.ts';
import type { Permission, Principal } from '../model/permission.ts';
import { identityOf } from '../model/route.ts';
import type { Route } from '../model/route.ts';
import type { Mesh, Secrets, Snapshot } from '../model/snapshot.ts';

export type Invariant =
  /**
   * A route, cluster or mesh is stored under its own name (a route's name in lower case), so that
   * each can be reached and none hides another.
   */
  | 'name'
  /** A terminating route has a permission that decides for every client. */
  | 'permission'
  /** The cluster of a route exists, or the route refuses every client. */
  | 'cluster'
  /** The mesh of a terminating route has a certificate. */
  | 'mesh'
  /** No cluster serves routes of two meshes. */
  | 'one-mesh'
  /** A cluster that a route uses has endpoints, or the reason why it cannot be used. */
  | 'endpoints'
  /** An endpoint can be dialled: it has an address or a name, a port, a weight. */
  | 'endpoint'
  /** Every secret that is named exists. */
  | 'secret';

/**
 * Parts that a control plane may send some milliseconds later, or not yet at all. Connections are
 * refused until they come (`no-endpoint`, `identity-unavailable`); none passes that must not.
 */
export const MAY_COME_LATER: ReadonlySet<Invariant> = new Set<Invariant>(['cluster', 'mesh', 'endpoints']);

export interface Violation {
  readonly invariant: Invariant;
  /** `route:<sni>`, `cluster:<name>` or `mesh:<name>`, as in the origins. */
  readonly about: string;
  readonly text: string;
}

/** Number of routes and clusters checked in one step. */
const STEP = 500;

/**
 * Checks everything once, in steps of a millisecond or less. Ten thousand routes take 9 ms, and 40
 * ms before the code is warm.
 */
export function* lookForViolations(
  { routes, clusters, meshes }: Snapshot,
  secrets: Secrets,
): Generator<void, readonly Violation[]> {
  const found: Violation[] = [];
  const complainAbout =
    (about: string): Complain =>
    (invariant, text) =>
      void found.push({ invariant, about, text });
  const usedBy = new Map<string, MeshName>();
  const wanted = new Set<MeshName>();
  let looked = 0;
  for (const [key, route] of routes) {
    if (++looked % STEP === 0) yield;
    const complain = complainAbout(`route:${key}`);
    if (route.serverName !== key || serverName(key) !== key)
      complain(
        'name',
        `the route of ${quoted(route.serverName)} is kept under ${quoted(key)}: no client reaches it, or it hides another`,
      );
    checkRoute(route, clusters, complain);
    if (route.unsupported !== undefined) continue;
    if (route.kind === 'terminate') wanted.add(identityOf(route));
    const other = usedBy.get(route.cluster);
    if (other === undefined) usedBy.set(route.cluster, route.mesh);
    else if (other !== route.mesh)
      complain('one-mesh', `it leads to the cluster ${route.cluster} of mesh ${other}, and is of mesh ${route.mesh}`);
  }
  for (const [key, cluster] of clusters) {
    if (++looked % STEP === 0) yield;
    const complain = complainAbout(`cluster:${key}`);
    if (cluster.name !== key) complain('name', `the cluster ${cluster.name} is kept under ${key}`);
    checkCluster(cluster, usedBy.has(key), secrets, complain);
  }
  for (const name of wanted) {
    if (!meshes.has(name)) complainAbout(`mesh:${name}`)('mesh', 'the mTLS of its clients ends here, and it has no certificate');
  }
  for (const [key, mesh] of meshes) {
    const complain = complainAbout(`mesh:${key}`);
    if (mesh.name !== key) complain('name', `the mesh ${mesh.name} is kept under ${key}`);
    for (const [what, hash] of secretsOfMesh(mesh)) {
      if (!secrets.has(hash)) complain('secret', `${what} ${short(hash)} is named and not there`);
    }
  }
  return found;
}

type Complain = (invariant: Invariant, text: string) => void;

function checkRoute(route: Route, clusters: Snapshot['clusters'], complain: Complain): void {
  const isUsable = route.unsupported === undefined;
  if (isUsable && !clusters.has(route.cluster))
    complain('cluster', `its cluster ${route.cluster} is not there, and the route is not marked as one that no client may use`);
  switch (route.kind) {
    case 'passthrough':
      return;
    case 'terminate':
      if (!decides(route.permission)) complain('permission', 'it ends the mTLS of clients, and its permission decides nothing');
      return;
    default:
      complain('permission', 'it is of no kind that is known');
      return route satisfies never;
  }
}

function checkCluster({ name, endpoints, broken }: Cluster, isUsed: boolean, secrets: Secrets, complain: Complain): void {
  if (isUsed && endpoints.length === 0 && broken === undefined) complain('endpoints', `the cluster ${name} has no endpoint`);
  for (const endpoint of endpoints) {
    const why = endpointComplaint(endpoint);
    if (why !== null) complain('endpoint', why);
    const { tls } = endpoint;
    if (tls === null) continue;
    const { trust, clientCertificate: client } = tls;
    const named = [...(trust.kind === 'bundle' ? [trust.ca] : []), ...(client === null ? [] : [client.cert, client.key])];
    for (const hash of named)
      if (!secrets.has(hash)) complain('secret', `the secret ${short(hash)} of its TLS is named and not there`);
  }
}

function endpointComplaint({ address, port, weight, priority }: Endpoint): string | null {
  if (address.kind === 'ip' ? isIP(address.ip) === 0 : address.name === '')
    return `${quoted(address.kind === 'ip' ? address.ip : address.name)} is no address that can be dialled`;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return `port ${port} must be in the range [1, 65535]`;
  if (!(weight >= 0) || !Number.isFinite(weight)) return `weight ${weight} must be 0 or more`;
  return Number.isInteger(priority) && priority >= 0 ? null : `priority ${priority} must be a whole number from 0`;
}

function secretsOfMesh({ trust, identity }: Mesh): readonly (readonly [what: string, hash: ContentHash])[] {
  const ca = ['the CA', trust] as const;
  switch (identity.kind) {
    case 'none':
      return [];
    case 'folder':
      return [ca];
    case 'issue':
      return [ca, ['the CA certificate', identity.caCert], ['the CA key', identity.caKey]];
    case 'given':
      return [ca, ['the certificate', identity.cert], ['the key', identity.key]];
    default:
      return identity satisfies never;
  }
}

/**
 * Tells whether a permission allows or refuses every client. A permission that cannot be evaluated
 * refuses, so it decides too.
 */
function decides(permission: Permission | undefined): boolean {
  switch (permission?.kind) {
    case 'allow-all':
    case 'deny-all':
    case 'unsupported':
      return true;
    case 'rules':
      return permission.rules.every(({ action, principal }) => ACTIONS.has(action) && isPrincipal(principal));
    case 'all-of':
      return permission.all.every(decides);
    default:
      return false;
  }
}

const ACTIONS: ReadonlySet<string> = new Set(['allow', 'deny', 'shadow-deny']);

function isPrincipal(principal: Principal): boolean {
  switch (principal.kind) {
    case 'any':
      return true;
    case 'uri':
    case 'uri-list':
      return principal.match === 'exact' || principal.match === 'prefix';
    case 'and':
      return principal.all.every(isPrincipal);
    case 'or':
      return principal.any.every(isPrincipal);
    case 'not':
      return isPrincipal(principal.not);
    default:
      return false;
  }
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

/** Shortens a hash that only says which one is meant. */
function short(hash: ContentHash): string {
  return hash.slice(0, 12);
}
