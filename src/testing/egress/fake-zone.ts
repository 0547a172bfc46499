/** The zone around a fake egress: meshes, fakes on loopback, and their resources. */
import type { CertificateAndKey } from '../../identity/issue.ts';
import type { ResourceFiles } from '../../egress.ts';
import { createFindings } from '../../resources/findings.ts';
import { createParseCache } from '../../resources/parse-cache.ts';
import { readResources } from '../../resources/resource-set.ts';
import type { MeshResources } from '../../resources/resource-set.ts';
import { externalOf, ingressOf } from './declared-resources.ts';
import type { External, FakeService } from './declared-resources.ts';
import { createFakeExternalService } from './fake-external-service.ts';
import type { FakeExternalService } from './fake-external-service.ts';
import type { ServedRequest } from './served-requests.ts';
import { createFakeZoneIngress } from './fake-zone-ingress.ts';
import type { FakeZoneIngress } from './fake-zone-ingress.ts';
import type {
  FakeExternalOptions,
  FakeMeshOptions,
  FakePermission,
  FakeTlsOptions,
  FakeZoneOptions,
  Place,
} from './fake-zone-options.ts';
import { filesOf, inlineOf, isDeclared, meshesOf, addressAndPortOf } from './read-declaration.ts';
import { createTestMesh } from './test-mesh.ts';
import type { TestMesh } from './test-mesh.ts';

/**
 * The validity of certificates of the fake: by the wall clock, which TLS uses, and by the injected
 * clock.
 */
export interface Validity {
  readonly from: number;
  readonly lifetimeMs: number;
}

/** The path of the declaration in problems. */
const DECLARED = 'declared.yaml';
/** Name of the authority of external services with TLS. */
const OUTSIDE = 'outside';

/** A declaration as the egress reads it, with the fakes that belong to it. */
export interface Declared {
  readonly options: FakeZoneOptions;
  readonly files: ResourceFiles;
  readonly overrides: ReadonlyMap<string, Place>;
  readonly meshes: readonly string[];
  readonly services: readonly FakeService[];
  readonly externals: readonly External[];
}

export class FakeZone {
  readonly #name: string;
  readonly #validity: () => Validity;
  readonly #meshes = new Map<string, TestMesh>();
  /** Meshes whose CA comes from the folder. */
  readonly #foreign = new Set<string>();
  readonly #services = new Map<string, FakeService>();
  readonly #externals = new Map<string, External>();
  #authority: TestMesh | null = null;

  /** `name` of the zone, where the resources have none. */
  constructor(name: string, validity: () => Validity) {
    this.#name = name;
    this.#validity = validity;
  }

  mesh(name: string | undefined): TestMesh {
    const only = this.#meshes.size === 1 ? [...this.#meshes.values()][0] : undefined;
    const mesh = name === undefined ? only : this.#meshes.get(name);
    if (mesh !== undefined) return mesh;
    const known = [...this.#meshes.keys()].join(', ');
    if (name === undefined) throw new TypeError(`which mesh? There are ${known}`);
    throw new TypeError(`there is no mesh ${JSON.stringify(name)}: there are ${known}`);
  }

  get meshes(): readonly TestMesh[] {
    return [...this.#meshes.values()];
  }

  /**
   * Starts declared fakes that do not run yet. Fakes that are no longer declared run until `prune`.
   */
  async declare(options: FakeZoneOptions): Promise<Declared> {
    const { resources, overrides = {}, permissions = [] } = options;
    const given = await filesOf(resources);
    const found = readResources(given, createParseCache(), createFindings(false));
    const declared = meshesOf(options.meshes, found.meshes.length > 0);
    const secrets: string[] = [];
    for (const one of found.meshes) secrets.push(...(await this.#adopt(one)));
    for (const [name, mesh] of Object.entries(declared)) await this.#declareMesh(name, mesh);
    for (const [name, external] of Object.entries(options.external ?? {})) await this.#declareExternal(name, external);
    const services = [...this.#services].flatMap(([key, service]) => (isDeclared(declared, key) ? [service] : []));
    const externals = [...this.#externals.values()].filter(({ name }) => Object.hasOwn(options.external ?? {}, name));
    const egress = { type: 'ZoneEgress', name: 'fake', zone: this.#name, networking: { address: '127.0.0.1', port: 10_002 } };
    const documents = [
      ...(found.egresses.length === 0 ? [egress] : []),
      ...services.map(ingressOf),
      ...externals.map(externalOf),
      ...permissions.map((permission, i) => this.#permissionOf(permission, i)),
      // JSON is YAML, and fast to write.
    ].map((document) => `${JSON.stringify(document, null, 2)}\n`);
    const texts = [...documents, ...Object.keys(declared).map((name) => this.mesh(name).resources), ...secrets];
    return {
      options,
      files: [...given, { path: DECLARED, text: texts.join('---\n') }],
      overrides: new Map(Object.entries(overrides).map(([key, to]) => [key, addressAndPortOf(to)])),
      meshes: [...Object.keys(declared), ...found.meshes.map(({ mesh }) => mesh.meta.name)],
      services,
      externals,
    };
  }

  /** Ends what is not in this declaration, which is the live one. */
  async prune({ meshes, services, externals }: Declared): Promise<void> {
    for (const name of this.#meshes.keys()) if (!meshes.includes(name)) this.#meshes.delete(name);
    for (const [key, service] of this.#services) {
      if (services.includes(service)) continue;
      this.#services.delete(key);
      await service.ingress.close();
    }
    for (const [name, external] of this.#externals) {
      if (externals.includes(external)) continue;
      this.#externals.delete(name);
      await external.service?.close();
    }
  }

  /**
   * Makes a new CA for one mesh, and certificates under it for the fakes in it. It takes effect
   * with the next declaration.
   */
  async rotate(name: string | undefined): Promise<TestMesh> {
    const mesh = this.mesh(name);
    if (this.#foreign.has(mesh.name))
      throw new TypeError(`rotate mesh ${mesh.name}: its CA is among the resources; change it there and call apply()`);
    await mesh.rotate();
    for (const service of this.#services.values()) {
      if (service.mesh === mesh) service.ingress.renew({ ...mesh.client(service.name), trust: mesh.ca.cert });
    }
    return mesh;
  }

  /**
   * Makes an expired certificate for a fake with TLS; null where the authority of the service is
   * not known here.
   */
  expired(destination: string): CertificateAndKey | null {
    const external = [...this.#externals.values()].find(({ name, mesh }) => isCalled(destination, { name, mesh }));
    if (external === undefined || external.service === null || external.tls === null || this.#authority === null) return null;
    const now = Date.now();
    return this.#authority.issue({ uris: [], dns: [external.serverName], notBefore: now - 7_200_000, notAfter: now - 3_600_000 });
  }

  /** Returns the fake of a declared service, to see what arrived. */
  externalService(name: string): FakeExternalService | undefined {
    return [...this.#externals.values()].find((one) => isCalled(name, one))?.service ?? undefined;
  }

  /** Returns the request with this `x-request-id` as it arrived at a declared fake. */
  received(requestId: string): ServedRequest | null {
    const isIt = ({ headers }: ServedRequest): boolean => headers['x-request-id'] === requestId;
    for (const { service } of this.#externals.values()) {
      const found = service?.requests.toArray().findLast(isIt);
      if (found !== undefined) return found;
    }
    return null;
  }

  ingress(name: string): FakeZoneIngress | undefined {
    return [...this.#services.values()].find((one) => isCalled(name, { name: one.name, mesh: one.mesh.name }))?.ingress;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#services.values()].map(({ ingress }) => ingress.close()));
    for (const { service } of this.#externals.values()) await service?.close();
  }

  async #declareMesh(name: string, { mesh, services = {} }: FakeMeshOptions): Promise<void> {
    const mine = mesh ?? this.#meshes.get(name) ?? (await this.#newMesh(name));
    this.#meshes.set(name, mine);
    for (const [service, { zone = 'west', behaviour, onConnection }] of Object.entries(services)) {
      const key = `${name}/${service}`;
      if (this.#services.has(key)) continue;
      const ingress = await createFakeZoneIngress({
        ...mine.client(service),
        trust: mine.ca.cert,
        ...(behaviour === undefined ? {} : { behaviour }),
        ...(onConnection === undefined ? {} : { onConnection }),
      });
      this.#services.set(key, { mesh: mine, name: service, zone, ingress });
    }
  }

  /**
   * Adds a mesh of the resources: with its own CA, where it has one, or with a new one. Returns the
   * documents that are missing.
   */
  async #adopt({ mesh, secrets }: MeshResources): Promise<readonly string[]> {
    const { name } = mesh.meta;
    if (mesh.mtls === null) return [];
    const { name: backend, type, cert, key } = mesh.mtls;
    const secretOf = (part: string): string | null => secrets.get(`${name}.ca-builtin-${part}-${backend}`)?.text ?? null;
    const texts =
      type === 'builtin'
        ? { cert: secretOf('cert'), key: secretOf('key') }
        : { cert: inlineOf(cert, secrets), key: inlineOf(key, secrets) };
    if (texts.cert !== null && texts.key !== null) {
      const ca = { cert: texts.cert, key: texts.key };
      this.#foreign.add(name);
      if (this.#meshes.get(name)?.ca.cert !== ca.cert) this.#meshes.set(name, await this.#newMesh(name, ca));
      return [];
    }
    this.#foreign.delete(name);
    const mine = this.#meshes.get(name) ?? (await this.#newMesh(name));
    this.#meshes.set(name, mine);
    return mine.resources
      .split('---\n')
      .slice(1)
      .map((text) => text.replaceAll('-ca-1\n', `-${backend}\n`));
  }

  async #declareExternal(name: string, options: FakeExternalOptions): Promise<void> {
    const before = this.#externals.get(name);
    if (before !== undefined && before.options === options) return;
    await before?.service?.close();
    this.#externals.set(name, await this.#newExternal(name, options));
  }

  async #newExternal(name: string, options: FakeExternalOptions): Promise<External> {
    const { to, behaviour, onConnection } = options;
    const mesh = this.mesh(options.mesh).name;
    const plainTls = options.tls === true || (typeof to === 'string' && to.startsWith('tls://'));
    const tls: FakeTlsOptions | null = typeof options.tls === 'object' ? options.tls : plainTls ? {} : null;
    const does = {
      ...(behaviour === undefined ? {} : { behaviour }),
      ...(onConnection === undefined ? {} : { onConnection }),
    };
    if (to !== undefined) {
      if (behaviour !== undefined || onConnection !== undefined)
        throw new TypeError(`external ${name}: it is at ${JSON.stringify(to)}, so what it does is not for the fake to say`);
      const place = addressAndPortOf(to);
      const client = typeof tls?.client === 'object' ? tls.client : null;
      return { name, mesh, options, place, service: null, serverName: tls?.serverName ?? '', tls, client };
    }
    if (tls === null) {
      const service = await createFakeExternalService(does);
      return { name, mesh, options, place: service, service, serverName: '', tls, client: null };
    }
    this.#authority ??= await this.#newMesh(OUTSIDE);
    const serverName = tls.serverName ?? `${name}.test`;
    const server = this.#authority.issue({ uris: [], dns: [serverName], subject: [['CN', serverName]] });
    const wanted = tls.client !== undefined && tls.client !== false;
    const service = await createFakeExternalService({
      ...does,
      tls: { ...server, ...(wanted ? { clientCa: this.#authority.ca.cert } : {}) },
    });
    const client = !wanted
      ? null
      : typeof tls.client === 'object'
        ? tls.client
        : this.#authority.issue({ uris: [], dns: ['egress.test'] });
    return { name, mesh, options, place: service, service, serverName, tls: { ...tls, ca: this.#authority.ca.cert }, client };
  }

  #permissionOf({ from, to }: FakePermission, i: number): object {
    const match = /^(?:spiffe:\/\/([^/]+)\/)?([^/]+)$/.exec(from);
    if (match === null)
      throw new TypeError(`permissions[${i}].from ${JSON.stringify(from)}: allowed are a service, spiffe://mesh/service and *`);
    const external = this.#externals.get(to);
    if (external?.options.kind === 'MeshExternalService')
      throw new TypeError(
        `permissions[${i}].to ${JSON.stringify(to)}: a MeshExternalService is open to its mesh, no permission applies to it`,
      );
    if ([...this.#services.values()].some(({ name }) => name === to))
      throw new TypeError(
        `permissions[${i}].to ${JSON.stringify(to)}: what other zones let in is theirs to say, an egress only passes it on`,
      );
    const mesh = this.mesh(match[1] ?? external?.mesh).name;
    if (external !== undefined && external.mesh !== mesh)
      throw new TypeError(
        `permissions[${i}]: ${from} is of mesh ${mesh}, ${to} of mesh ${external.mesh}: no permission goes across`,
      );
    return {
      type: 'TrafficPermission',
      mesh,
      name: `permission-${i}`,
      sources: [{ match: { 'kuma.io/service': match[2] } }],
      destinations: [{ match: { 'kuma.io/service': to } }],
    };
  }

  #newMesh(name: string, ca?: CertificateAndKey): Promise<TestMesh> {
    const { from, lifetimeMs } = this.#validity();
    return createTestMesh(name, { nowMs: from, lifetimeMs, ...(ca === undefined ? {} : { ca }) });
  }
}

/** `api` and `default/api` both name the service api of mesh default. */
export function isCalled(text: string, { name, mesh }: { readonly name: string; readonly mesh: string }): boolean {
  return text === name || text === `${mesh}/${name}`;
}
