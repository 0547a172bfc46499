import { forbids } from '../base/problem.ts';
import type { Absent, AbsentReason, Compiled, ListenerConfig, ListenerPlace, Origin, ServingProxy } from '../model/compiled.ts';
import { meshName } from '../model/names.ts';
import { identityOf } from '../model/route.ts';
import { encodeHashSni } from '../wire/sni.ts';
import { chooseEgress, zoneOfEgress } from './choose-egress.ts';
import { addAbsent } from './context.ts';
import type { Context } from './context.ts';
import { deepFreeze } from './deep-freeze.ts';
import { destinationsOf } from './destinations.ts';
import { addExternalServices } from './external.ts';
import { createFindings } from './findings.ts';
import { isIpv6 } from './hosts.ts';
import type { DataplaneDefinition } from './kinds/dataplane.ts';
import type { ZoneEgress } from './kinds/zone-egress.ts';
import { createLoader } from './load.ts';
import type { ReadFile } from './load.ts';
import { addMeshExternalService } from './mesh-external.ts';
import { meshIdentityOf } from './mesh-identity.ts';
import type { IdentityFolders } from './mesh-identity.ts';
import { addPassthrough, servicesByMesh } from './passthrough.ts';
import type { ServicesByMesh } from './passthrough.ts';
import { createParseCache } from './parse-cache.ts';
import type { ParseCache } from './parse-cache.ts';
import { createPemStore } from './pem.ts';
import type { PemStore } from './pem.ts';
import { meshPolicies } from './policies/mesh-policies.ts';
import type { MeshPolicies } from './policies/mesh-policies.ts';
import { readResources } from './resource-set.ts';
import type { LeavesOut, MeshResources } from './resource-set.ts';
import { egressDataplanes, ofZone, placesOf } from './scoped/own-dataplanes.ts';
import { addScopedMesh, scopedKey, scopedOf, tellPartly } from './scoped/scoped-mesh.ts';
import { snapshotVersion } from './snapshot-version.ts';
import type { SourceFile } from './yaml.ts';

export type { SourceFile } from './yaml.ts';

export interface CompileOptions {
  /** Name of the ZoneEgress of this process; not needed where there is only one. */
  readonly name?: string;
  /** Zone for a ZoneEgress that does not name its own. */
  readonly zone?: string;
  /** True reports unknown fields and kinds as errors. */
  readonly strict?: boolean;
  /**
   * A folder with a sub-folder for each mesh that holds `tls.crt`, `tls.key` and `ca.crt`. The
   * egress then takes its certificates from there and needs no CA key.
   */
  readonly identities?: string;
  /**
   * Reads the files of data sources with `file`, and the identity folders. Without it they are
   * errors.
   */
  readonly readFile?: ReadFile;
  /** The time for warnings about certificates that are not valid now; without it there are none. */
  readonly nowMs?: number;
  /** The parsed files of earlier compiles of the same source. Without it every file is parsed. */
  readonly cache?: ParseCache;
  /** Leaves out resources, to find what a configuration without them does. */
  readonly without?: LeavesOut;
}

/**
 * Computes what a zone egress does with these resources, as Kuma's control plane does for its own
 * egress. It finds all problems and never stops at the first. An error about one destination
 * refuses that destination, an error in the CA of a mesh refuses what is terminated in that mesh;
 * with any other error there is no snapshot (docs/decisions/broken-destinations.md). The order of
 * files and documents has no effect.
 */
export function compile(files: readonly SourceFile[], options: CompileOptions): Compiled {
  const findings = createFindings(options.strict ?? false);
  const resources = readResources(files, options.cache ?? createParseCache(), findings, options.without);
  const candidates = egressDataplanes(resources, options.name);
  const egress = chooseEgress(resources.egresses, candidates, options.name, findings, files.length === 0);
  const pems = createPemStore();
  const zone = zoneOfEgress(egress, candidates, options.zone, findings);
  const dataplanes = ofZone(candidates, zone, findings);
  const context: Context = {
    findings,
    loader: createLoader(resources, pems, { readFile: options.readFile, nowMs: options.nowMs }),
    zone,
    family: egress !== null && isIpv6(egress.address) ? 'any' : 'v4',
    routes: new Map(),
    clusters: new Map(),
    meshes: new Map(),
    origins: new Map(),
    absent: new Map(),
  };
  const folders = options.identities === undefined ? null : { path: options.identities, readFile: options.readFile };
  const remote = servicesByMesh(resources.ingresses, context);
  for (const mesh of resources.meshes) addMesh(context, mesh, { egress, dataplanes, remote, folders, pems });
  const problems = findings.problems();
  const listener = listenerOf(egress, dataplanes, context.meshes);
  if (listener === null || forbids(problems) || !canServe(context)) return { kind: 'invalid', problems };
  const { routes, clusters, meshes, origins, absent } = context;
  for (const name of routes.keys()) absent.delete(name);
  const content = { zone, routes, clusters, meshes };
  return {
    kind: 'compiled',
    snapshot: deepFreeze({ version: snapshotVersion(content), ...content }),
    secrets: pems.secrets,
    listener,
    problems,
    origins,
    absent,
  };
}

/** Returns where to listen; null without any place, which is reported. */
function listenerOf(
  egress: ZoneEgress | null,
  dataplanes: readonly DataplaneDefinition[],
  meshes: Context['meshes'],
): ListenerConfig | null {
  const [first] = dataplanes;
  const own = egress === null ? [] : [{ name: egress.meta.name, address: egress.address, port: egress.port }];
  const isOwn = ({ address, port }: ListenerPlace): boolean =>
    own.some((place) => place.address === address && place.port === port);
  const [place, ...more] = [...own, ...placesOf(dataplanes).filter((each) => !isOwn(each))];
  const adminPort = egress?.adminPort ?? first?.adminPort;
  if (place === undefined || adminPort === undefined) return null;
  const serving = servingOf(egress, dataplanes, meshes);
  return { ...place, adminPort, ...(more.length === 0 ? {} : { more }), ...(serving.length < 2 ? {} : { serving }) };
}

/** The Dataplanes of one mesh share its routes: the first one shows its identity. */
function servingOf(
  egress: ZoneEgress | null,
  dataplanes: readonly DataplaneDefinition[],
  meshes: Context['meshes'],
): readonly ServingProxy[] {
  const own = egress === null ? [] : [{ name: egress.meta.name, identity: '' }];
  const first = dataplanes.filter(({ meta }, i) => dataplanes.findIndex((each) => each.meta.mesh === meta.mesh) === i);
  const scoped = first.map(({ meta }) => ({ name: meta.name, identity: scopedKey(meta.mesh, meshes) }));
  return [...own, ...scoped];
}

/**
 * A mesh without a certificate refuses the connections that it terminates. A configuration in which
 * every route is refused that way is of no use.
 */
function canServe({ routes, meshes }: Context): boolean {
  if (routes.size === 0) return true;
  return [...routes.values()].some(
    (route) => route.kind === 'passthrough' || meshes.get(identityOf(route))?.identity.kind !== 'none',
  );
}

interface Compiling {
  readonly egress: ZoneEgress | null;
  readonly dataplanes: readonly DataplaneDefinition[];
  readonly remote: ServicesByMesh;
  readonly folders: IdentityFolders | null;
  readonly pems: PemStore;
}

/** Adds everything of one mesh: the routes of the ZoneEgress, and those of its Dataplanes. */
function addMesh(context: Context, resources: MeshResources, compiling: Compiling): void {
  const { egress, pems, folders } = compiling;
  const all = compiling.dataplanes.filter(({ meta }) => meta.mesh === resources.mesh.meta.name);
  const [dataplane] = all;
  const policies = meshPolicies(resources, context.zone, scopedOf(all, context.zone));
  if (egress !== null) addZoneEgressMesh(context, resources, policies, { ...compiling, isScoped: dataplane !== undefined });
  if (dataplane !== undefined) {
    tellPartly(resources, all, context);
    addScopedMesh(context, resources, { dataplane, all }, { policies, pems, folders: folders !== null });
  } else if (egress === null && resources.meshExternalServices.length > 0) {
    const message = `no Dataplane of it has a ZoneEgress listener: its ${resources.meshExternalServices.length} MeshExternalServices are not served`;
    context.findings.warn(resources.mesh.meta.at, '', message);
  }
  if (egress !== null || dataplane !== undefined) policies.tell(context.findings);
}

/**
 * Adds the routes of the ZoneEgress for one mesh. Without mTLS there is no SNI to route by, so none
 * is served.
 */
function addZoneEgressMesh(
  context: Context,
  resources: MeshResources,
  policies: MeshPolicies,
  { remote, folders, pems, isScoped }: Compiling & { readonly isScoped: boolean },
): void {
  const { mesh, externalServices, meshExternalServices, meshPermissions, routes, virtualOutbounds } = resources;
  const { name, at } = mesh.meta;
  context.origins.set(`mesh:${name}`, at);
  if (mesh.mtls === null) {
    tellAbsent(context, resources, remote, 'mesh-without-mtls');
    const count = externalServices.length + (isScoped ? 0 : meshExternalServices.length);
    if (count > 0) context.findings.warn(at, 'mtls', `is not enabled: its ${count} external services are not served`);
    return;
  }
  const offered = remote.get(name) ?? new Map<string, never>();
  const destinations = destinationsOf(routes, virtualOutbounds, offered);
  if (mesh.zoneEgress) {
    for (const [service, offers] of [...offered].sort(([a], [b]) => (a < b ? -1 : 1))) {
      addPassthrough(context, resources, service, offers, destinations, policies);
    }
  } else tellAbsent(context, { ...resources, externalServices: [], meshExternalServices: [] }, remote, 'zone-egress-disabled');
  const before = context.routes.size;
  addExternalServices(context, resources, destinations, offered, policies);
  for (const service of meshExternalServices) addMeshExternalService(context, resources, service, policies);
  if (meshExternalServices.length > 0 && !isScoped && meshPermissions.length > 0 && !mesh.forbidsMeshExternalServices) {
    const message =
      'is not set: every client may reach the MeshExternalServices; on a zone egress no MeshTrafficPermission applies to them';
    context.findings.warn(at, 'routing.defaultForbidMeshExternalServiceAccess', message);
  }
  // A mesh whose routes all pass through needs no certificate here, so its CA key need not be
  // shared.
  if (context.routes.size === before) return;
  context.meshes.set(meshName(name), meshIdentityOf(resources, mesh.mtls, folders, context.loader, pems, context.findings));
}

/** Records every destination of a mesh that one of its settings keeps out. */
function tellAbsent(
  context: Context,
  { mesh, externalServices, meshExternalServices }: MeshResources,
  remote: ServicesByMesh,
  reason: AbsentReason,
): void {
  const { name, at } = mesh.meta;
  const what = (destination: string): Omit<Absent, keyof Origin> => {
    return { reason, resource: `Mesh ${name}`, mesh: name, destination, value: '' };
  };
  for (const service of [...externalServices.map((each) => each.service), ...(remote.get(name)?.keys() ?? [])]) {
    if (service !== '') addAbsent(context, what(service), at);
  }
  for (const { meta, port } of meshExternalServices) {
    addAbsent(context, what(meta.displayName), at, encodeHashSni({ name: meta.displayName, mesh: name, port, kind: 'mes' }));
  }
}
