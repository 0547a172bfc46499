import { forbids } from '../base/problem.ts';
import type { Absent, AbsentReason, Compiled, Origin } from '../model/compiled.ts';
import { meshName } from '../model/names.ts';
import { encodeHashSni } from '../wire/sni.ts';
import { chooseEgress, zoneOfEgress } from './choose-egress.ts';
import { addAbsent } from './context.ts';
import type { Context } from './context.ts';
import { deepFreeze } from './deep-freeze.ts';
import { destinationsOf } from './destinations.ts';
import { addExternalServices } from './external.ts';
import { createFindings } from './findings.ts';
import { isIpv6 } from './hosts.ts';
import { createLoader } from './load.ts';
import type { ReadFile } from './load.ts';
import { addMeshExternalService } from './mesh-external.ts';
import { identityOf } from './mesh-identity.ts';
import type { IdentityFolders } from './mesh-identity.ts';
import { addPassthrough, servicesByMesh } from './passthrough.ts';
import type { ServicesByMesh } from './passthrough.ts';
import { createParseCache } from './parse-cache.ts';
import type { ParseCache } from './parse-cache.ts';
import { createPemStore } from './pem.ts';
import type { PemStore } from './pem.ts';
import { meshPolicies } from './policies/mesh-policies.ts';
import { readResources } from './resource-set.ts';
import type { MeshResources } from './resource-set.ts';
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
  const resources = readResources(files, options.cache ?? createParseCache(), findings);
  const egress = chooseEgress(resources.egresses, options.name, findings);
  const pems = createPemStore();
  const context: Context = {
    findings,
    loader: createLoader(resources, pems, { readFile: options.readFile, nowMs: options.nowMs }),
    zone: zoneOfEgress(egress, options.zone, findings),
    family: egress !== null && isIpv6(egress.address) ? 'any' : 'v4',
    routes: new Map(),
    clusters: new Map(),
    meshes: new Map(),
    origins: new Map(),
    absent: new Map(),
  };
  const remote = servicesByMesh(resources.ingresses, context);
  const folders = options.identities === undefined ? null : { path: options.identities, readFile: options.readFile };
  for (const mesh of resources.meshes) addMesh(context, mesh, remote, folders, pems);
  const problems = findings.problems();
  if (egress === null || forbids(problems) || !canServe(context)) return { kind: 'invalid', problems };
  const { routes, clusters, meshes, zone, origins, absent } = context;
  for (const name of routes.keys()) absent.delete(name);
  const content = { zone, routes, clusters, meshes };
  return {
    kind: 'compiled',
    snapshot: deepFreeze({ version: snapshotVersion(content), ...content }),
    secrets: pems.secrets,
    listener: { name: egress.meta.name, address: egress.address, port: egress.port, adminPort: egress.adminPort },
    problems,
    origins,
    absent,
  };
}

/**
 * A mesh without a certificate refuses the connections that it terminates. A configuration in which
 * every route is refused that way is of no use.
 */
function canServe({ routes, meshes }: Context): boolean {
  if (routes.size === 0) return true;
  return [...routes.values()].some(({ kind, mesh }) => kind === 'passthrough' || meshes.get(mesh)?.identity.kind !== 'none');
}

/**
 * Adds everything of one mesh. Without mTLS there is no SNI to route by, so none of it is served.
 */
function addMesh(
  context: Context,
  resources: MeshResources,
  remote: ServicesByMesh,
  folders: IdentityFolders | null,
  pems: PemStore,
): void {
  const { mesh, externalServices, meshExternalServices, meshPermissions, routes, virtualOutbounds } = resources;
  const { name, at } = mesh.meta;
  context.origins.set(`mesh:${name}`, at);
  if (mesh.mtls === null) {
    tellAbsent(context, resources, remote, 'mesh-without-mtls');
    const count = externalServices.length + meshExternalServices.length;
    if (count > 0) context.findings.warn(at, 'mtls', `is not enabled: its ${count} external services are not served`);
    return;
  }
  const offered = remote.get(name) ?? new Map<string, never>();
  const destinations = destinationsOf(routes, virtualOutbounds, offered);
  const policies = meshPolicies(resources, context.zone);
  if (mesh.zoneEgress) {
    for (const [service, offers] of [...offered].sort(([a], [b]) => (a < b ? -1 : 1))) {
      addPassthrough(context, resources, service, offers, destinations, policies);
    }
  } else tellAbsent(context, { ...resources, externalServices: [], meshExternalServices: [] }, remote, 'zone-egress-disabled');
  const before = context.routes.size;
  addExternalServices(context, resources, destinations, offered, policies);
  for (const service of meshExternalServices) addMeshExternalService(context, resources, service, policies);
  policies.tell(context.findings);
  if (meshExternalServices.length > 0 && meshPermissions.length > 0 && !mesh.forbidsMeshExternalServices) {
    const message =
      'is not set: every client may reach the MeshExternalServices; on a zone egress no MeshTrafficPermission applies to them';
    context.findings.warn(at, 'routing.defaultForbidMeshExternalServiceAccess', message);
  }
  // A mesh whose routes all pass through needs no certificate here, so its CA key need not be
  // shared.
  if (context.routes.size === before) return;
  context.meshes.set(meshName(name), identityOf(resources, mesh.mtls, folders, context.loader, pems, context.findings));
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
