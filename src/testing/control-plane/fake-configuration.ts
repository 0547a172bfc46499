/**
 * Makes what a control plane sends the egress of a small zone: clusters, endpoints, the listener
 * with its chains, and the secrets, in the form of the recordings. It is for
 * `createFakeControlPlane().set(…)`, or for a test of the translation.
 */
import type { JsonObject } from '@bufbuild/protobuf';
import { egressUris } from '../../identity/issue.ts';
import type { CertificateAndKey } from '../../identity/issue.ts';
import { encodeHashSni, encodeTagSni } from '../../wire/sni.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { configurationOptions } from './check-control-plane.ts';
import { readEnvoyJson } from './envoy-resources.ts';
import {
  adminChains,
  authoritySecret,
  certificateSecret,
  downstreamTls,
  edsCluster,
  externalCluster,
  httpManager,
  lbEndpoint,
  listener,
  networkRbac,
  ownCluster,
  serverNameMatch,
  socketAddress,
  tcpProxy,
} from './envoy-shapes.ts';
import type { ServiceAddress, EndpointTags, UpstreamTlsShape } from './envoy-shapes.ts';
import { isLatest } from './fake-node.ts';
import type { KumaVersion } from './fake-node.ts';
import type { TestMesh } from '../egress/test-mesh.ts';

/**
 * A service name, `*` for every client, or a whole URI; a certificate needs all entries of a list.
 */
export type FakePrincipal = string | readonly string[];

interface FakeService {
  /** Absent means the first of the meshes. */
  readonly mesh?: string;
  /** Absent means tcp, without a tag for it. */
  readonly protocol?: 'tcp' | 'http';
  readonly tls?: UpstreamTlsShape;
}

/** An ExternalService. */
export interface FakeExternal extends FakeService, ServiceAddress {
  /** Absent allows every client. An empty list allows none, as without any permission. */
  readonly allow?: readonly FakePrincipal[];
  /** Absent means a TrafficPermission, which is a network filter for http too. */
  readonly by?: 'TrafficPermission' | 'MeshTrafficPermission';
  /** The name of the TrafficPermission; absent means `allow-<name>`. */
  readonly policy?: string;
  /**
   * More tags of the service. They are part of its SNI only in Kuma's routes, and of the metadata
   * here.
   */
  readonly tags?: EndpointTags;
}

/** A MeshExternalService. */
export interface FakeMeshExternal extends FakeService {
  /** The port of its match: part of SNI and name. */
  readonly port: number;
  readonly endpoints: readonly ServiceAddress[];
  /** False for `defaultForbidMeshExternalServiceAccess`. */
  readonly allowed?: boolean;
  /** False leaves out the MeshCircuitBreaker that every mesh has from its creation. */
  readonly breaker?: boolean;
}

/** One instance, or several behind one ingress. */
export interface FakeRemote extends ServiceAddress {
  readonly zone: string;
  /** Tags beside mesh, protocol and zone; each set of them gets a chain. */
  readonly tags?: EndpointTags;
}

/** A service, or an ExternalService, of other zones. */
export interface FakePassthrough {
  readonly mesh?: string;
  readonly remotes: readonly FakeRemote[];
}

export interface FakeConfigurationOptions {
  /** The address that the egress listens on. */
  readonly address: string;
  readonly port: number;
  readonly version?: KumaVersion;
  readonly meshes: readonly TestMesh[];
  readonly external?: Readonly<Record<string, FakeExternal>>;
  readonly meshExternal?: Readonly<Record<string, FakeMeshExternal>>;
  readonly passthrough?: Readonly<Record<string, FakePassthrough>>;
  /** The listener `kuma:envoy:admin` and its clusters. */
  readonly admin?: {
    readonly port: number;
    readonly caCert: string;
    readonly server: CertificateAndKey;
    /** Absent means 9902. */
    readonly readinessPort?: number;
    /** The place of the proxy's own admin pages; absent means 127.0.0.1 and the same port. */
    readonly socketPath?: string;
  };
  /** Certificates by mesh; an absent one is made once for each mesh object. */
  readonly identities?: Readonly<Record<string, CertificateAndKey>>;
}

export interface FakeConfiguration {
  readonly clusters: readonly Cluster[];
  readonly endpoints: readonly ClusterLoadAssignment[];
  readonly listeners: readonly Listener[];
  readonly secrets: readonly Secret[];
}

const identities = new WeakMap<TestMesh, CertificateAndKey>();

/** Throws where a service belongs to a mesh that does not exist. */
export function fakeConfiguration(options: FakeConfigurationOptions): FakeConfiguration {
  configurationOptions(options, 'fakeConfiguration');
  const { address, port, version = '2.14', admin } = options;
  const made: Made = { clusters: [], endpoints: [], chains: [], terminating: new Set() };
  addPassthrough(made, options);
  addMeshExternal(made, options);
  addExternal(made, options);
  const { clusters, endpoints, chains, terminating } = made;
  const listeners = [listener({ name: `inbound:${address}:${port}`, address, port, version, filterChains: chains })];
  if (admin !== undefined) {
    const { readinessPort = 9_902, socketPath } = admin;
    const own = socketPath === undefined ? socketAddress('127.0.0.1', admin.port) : { pipe: { path: socketPath } };
    clusters.push(ownCluster('kuma:envoy:admin', own), ownCluster('kuma:readiness', socketAddress('127.0.0.1', readinessPort)));
    const filterChains = adminChains({ ...admin, readyCluster: 'kuma:readiness' });
    listeners.push(listener({ name: 'kuma:envoy:admin', address, port: admin.port, version, filterChains }));
  }
  const secrets = [...terminating].flatMap((mesh) => [
    certificateSecret(`identity_cert:secret:${mesh.name}`, options.identities?.[mesh.name] ?? identityOf(mesh)),
    authoritySecret(`mesh_ca:secret:${mesh.name}`, mesh.ca.cert),
  ]);
  return {
    clusters: clusters.map((json) => readEnvoyJson(ClusterSchema, json)),
    endpoints: endpoints.map((json) => readEnvoyJson(ClusterLoadAssignmentSchema, json)),
    listeners: listeners.map((json) => readEnvoyJson(ListenerSchema, json)),
    secrets: secrets.map((json) => readEnvoyJson(SecretSchema, json)),
  };
}

/** Resources as JSON of Envoy's messages. */
interface Made {
  readonly clusters: JsonObject[];
  readonly endpoints: JsonObject[];
  readonly chains: JsonObject[];
  /** The meshes whose mTLS is terminated here. */
  readonly terminating: Set<TestMesh>;
}

function statPrefixOf({ address, port }: FakeConfigurationOptions): string {
  return `inbound_${address.replace(/[.:]/g, '_')}_${port}.`;
}

function meshOf({ meshes }: FakeConfigurationOptions, service: string, name: string | undefined): TestMesh {
  const mesh = name === undefined ? meshes[0] : meshes.find((other) => other.name === name);
  if (mesh === undefined) throw new Error(`configure ${service}: no mesh ${name ?? 'at all'}`);
  return mesh;
}

function addPassthrough({ clusters, endpoints, chains }: Made, options: FakeConfigurationOptions): void {
  const { version = '2.14', passthrough = {} } = options;
  for (const [name, service] of Object.entries(passthrough)) {
    const mesh = meshOf(options, name, service.mesh).name;
    const tagSets = distinct(service.remotes.map(({ tags = {} }) => tags));
    const subsets = new Map(tagSets.map((tags) => [tags, discriminates(tags, service.remotes) ? tags : null]));
    const keys = [...new Set([...subsets.values()].flatMap((tags) => Object.keys(tags ?? {})))].sort();
    const cluster = `${mesh}:${name}`;
    clusters.push(edsCluster(cluster, keys, defaultThresholds(version)));
    endpoints.push(loadAssignment(cluster, mesh, service.remotes));
    for (const tags of [...tagSets.filter((set) => Object.keys(set).length > 0), {}]) {
      chains.push({
        filterChainMatch: serverNameMatch(encodeTagSni({ 'kuma.io/service': name, mesh, ...tags })),
        filters: [tcpProxy(cluster, `${mesh}_${name}`, subsets.get(tags) ?? null)],
      });
    }
  }
}

function addMeshExternal({ clusters, chains, terminating }: Made, options: FakeConfigurationOptions): void {
  const { version = '2.14', meshExternal = {} } = options;
  const statPrefix = statPrefixOf(options);
  for (const [name, service] of Object.entries(meshExternal)) {
    const mesh = meshOf(options, name, service.mesh);
    terminating.add(mesh);
    const cluster = `${mesh.name}_${name}___extsvc_${service.port}`;
    const http = service.protocol === 'http';
    const labels = { 'kuma.io/display-name': name, 'kuma.io/mesh': mesh.name, 'kuma.io/origin': 'global' };
    const rules = service.allowed === false ? {} : policies('MeshTrafficPermission', mesh.name, ['*']);
    clusters.push(
      externalCluster({
        name: cluster,
        addresses: service.endpoints,
        http,
        metadata: { ...labels, mesh: mesh.name },
        tlsMatch: {},
        tls: service.tls ?? null,
        thresholds: service.breaker === false ? defaultThresholds(version) : meshThresholds(version),
        altStatName: null,
        priorities: isLatest(version),
      }),
    );
    chains.push({
      name: cluster,
      filterChainMatch: serverNameMatch(encodeHashSni({ kind: 'mes', name, mesh: mesh.name, port: service.port })),
      filters: http
        ? [httpManager({ statPrefix: cluster, routeName: cluster, cluster, rules })]
        : [networkRbac(statPrefix, rules), tcpProxy(cluster, cluster, null)],
      transportSocket: downstreamTls(mesh.name),
    });
  }
}

function addExternal({ clusters, chains, terminating }: Made, options: FakeConfigurationOptions): void {
  const { version = '2.14', external = {} } = options;
  const statPrefix = statPrefixOf(options);
  for (const [name, service] of Object.entries(external)) {
    const mesh = meshOf(options, name, service.mesh);
    terminating.add(mesh);
    const { allow = ['*'], by = 'TrafficPermission', policy = `allow-${name}`, protocol, tls = null } = service;
    const cluster = `${mesh.name}:${name}`;
    const metadata = {
      ...(protocol === undefined ? {} : { 'kuma.io/protocol': protocol }),
      ...(tls === null ? {} : { 'kuma.io/external-service-name': name }),
      ...service.tags,
      mesh: mesh.name,
    };
    const byTrafficPermission = by === 'TrafficPermission' && allow.length > 0;
    const rules = policies(byTrafficPermission ? policy : 'MeshTrafficPermission', mesh.name, allow);
    const http = protocol === 'http';
    clusters.push(
      externalCluster({
        name: cluster,
        addresses: [service],
        http,
        metadata,
        tlsMatch: metadata,
        tls,
        thresholds: defaultThresholds(version),
        altStatName: `${mesh.name}_${name}`,
        priorities: false,
      }),
    );
    chains.push({
      name: `${name}_${mesh.name}`,
      filterChainMatch: serverNameMatch(encodeTagSni({ 'kuma.io/service': name, mesh: mesh.name })),
      filters: [
        ...(byTrafficPermission || !http ? [networkRbac(byTrafficPermission ? `${name}.` : statPrefix, rules)] : []),
        http
          ? httpManager({ statPrefix: name, routeName: `outbound:${name}`, cluster, rules: byTrafficPermission ? null : rules })
          : tcpProxy(cluster, name, { mesh: mesh.name }),
      ],
      transportSocket: downstreamTls(mesh.name),
    });
  }
}

function identityOf(mesh: TestMesh): CertificateAndKey {
  const identity = identities.get(mesh) ?? mesh.issue({ uris: egressUris(mesh.name) });
  identities.set(mesh, identity);
  return identity;
}

function loadAssignment(clusterName: string, mesh: string, remotes: readonly FakeRemote[]): JsonObject {
  const zones = [...new Set(remotes.map(({ zone }) => zone))];
  return {
    clusterName,
    endpoints: zones.map((zone) => {
      const here = remotes.filter((remote) => remote.zone === zone);
      const priority = here[0]?.priority ?? 0;
      return {
        locality: { zone },
        ...(priority === 0 ? {} : { priority }),
        lbEndpoints: here.map((remote) =>
          lbEndpoint(remote, { 'kuma.io/protocol': 'tcp', 'kuma.io/zone': zone, mesh, ...remote.tags }),
        ),
      };
    }),
  };
}

/** Makes RBAC rules that allow these; an empty list denies every client. */
function policies(name: string, mesh: string, allow: readonly FakePrincipal[]): JsonObject {
  if (allow.length === 0) return {};
  return { policies: { [name]: { permissions: [{ any: true }], principals: allow.map((one) => principalOf(mesh, one)) } } };
}

function principalOf(mesh: string, principal: FakePrincipal): JsonObject {
  if (typeof principal !== 'string') return { andIds: { ids: principal.map((one) => principalOf(mesh, one)) } };
  if (principal === '*') return { any: true };
  const exact = principal.includes('://') ? principal : `spiffe://${mesh}/${principal}`;
  return { authenticated: { principalName: { exact } } };
}

function distinct(sets: readonly EndpointTags[]): readonly EndpointTags[] {
  return [...new Map(sets.map((tags) => [encodeTagSni({ 'kuma.io/service': '', ...tags }), tags])).values()];
}

/** Kuma compares addresses: tags choose a subset only if it is smaller. */
function discriminates(tags: EndpointTags, remotes: readonly FakeRemote[]): boolean {
  const having = remotes.filter((remote) => Object.entries(tags).every(([tag, value]) => remote.tags?.[tag] === value));
  return addressSet(having).size < addressSet(remotes).size;
}

function addressSet(remotes: readonly FakeRemote[]): ReadonlySet<string> {
  return new Set(remotes.map(({ address, port }) => `${address} ${port}`));
}

function defaultThresholds(version: KumaVersion): JsonObject | null {
  return isLatest(version) ? { trackRemaining: true } : null;
}

/** The thresholds of the MeshCircuitBreaker that every mesh has. */
function meshThresholds(version: KumaVersion): JsonObject {
  const limits = { maxConnections: 1_024, maxPendingRequests: 1_024, maxRequests: 1_024, maxRetries: 3 };
  return version === '2.9' ? limits : { ...limits, trackRemaining: true };
}
