// What real control planes sent to the egress of one mesh, with our own keys and with fakes at the
// external addresses.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { fromBinary, toJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import type { EnvoyResources } from '../../src/testing/control-plane/envoy-resources.ts';
import type { KumaVersion } from '../../src/testing/control-plane/fake-node.ts';
import { readRecording } from '../../src/testing/control-plane/recording.ts';
import type { RecordedEvent } from '../../src/testing/control-plane/recording.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { ANY_TYPES } from '../../src/xds/messages/any-types.ts';
import { DeltaDiscoveryResponseSchema, DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { SourceFile } from '../../src/resources/compile.ts';
import { DEV, LIVE } from '../data.ts';
import { replaced } from './recorded-zone.ts';
import type { Substitutes } from './recorded-zone.ts';
import type { Recorded } from './words.ts';

/** The versions whose egress of one mesh was recorded. */
export type DataplaneVersion = Extract<KumaVersion, '2.14' | '3.0'>;

interface Recordings {
  readonly base: URL;
  readonly ads: string;
  readonly resources: string;
  readonly behaviour: string;
  /** The message after which the first configuration is complete. */
  readonly until: number;
}

const RECORDINGS: Readonly<Record<DataplaneVersion, Recordings>> = {
  '2.14': {
    base: LIVE,
    ads: 'mesh-scoped/ads/',
    resources: 'mesh-scoped/resources/',
    behaviour: 'mesh-scoped/behaviour/results.json.gz',
    until: 9,
  },
  '3.0': { base: DEV, ads: 'ads/changes/', resources: 'resources/', behaviour: 'behaviour/results.json.gz', until: 9 },
};

export interface RecordedCase {
  readonly client: Recorded;
  /** The statistics of Envoy that moved. */
  readonly stats: Readonly<Record<string, number>>;
}

export function recordedDataplaneCases(version: DataplaneVersion): Readonly<Record<string, RecordedCase>> {
  const { base, behaviour } = RECORDINGS[version];
  return JSON.parse(gunzipSync(readFileSync(new URL(behaviour, base))).toString()) as Record<string, RecordedCase>;
}

/** The applied resources of the mesh, with the Dataplanes of the egress and of a client. */
export function recordedDataplaneFiles(version: DataplaneVersion, { ports, external }: Substitutes): readonly SourceFile[] {
  const folder = new URL(RECORDINGS[version].resources, RECORDINGS[version].base);
  const texts: Readonly<Record<string, string>> = {
    __EXT_CA_STR__: JSON.stringify(external.caCert),
    __EXT_CLIENT_CRT_STR__: JSON.stringify(external.client.cert),
    __EXT_CLIENT_KEY_STR__: JSON.stringify(external.client.key),
  };
  const names = readdirSync(folder).filter((file) => file.endsWith('.yaml') && !file.startsWith('50-'));
  return [...names, 'proxies/dp-egress-b.yaml', 'proxies/dp-frontend-b.yaml'].map((path) => ({
    path,
    text: readFileSync(new URL(path, folder), 'utf8')
      .replace(/__EXT_\w+_STR__/g, (name) => texts[name] ?? name)
      .replace(/(?<=\bport: )18\d{3}\b/g, (port) => String(ports.get(Number(port)) ?? port)),
  }));
}

export async function recordedDataplane(
  version: DataplaneVersion,
  substitutes: Substitutes,
): Promise<Pick<EnvoyResources, 'clusters' | 'listeners'>> {
  const { base, ads, until } = RECORDINGS[version];
  const [stream] = await readRecording(fileURLToPath(new URL(ads, base)), { until });
  const of = (type: 'cluster' | 'listener'): JsonObject[] =>
    stream!.events
      .flatMap((event) => (event.kind === 'response' && event.type === type ? resourcesIn(event, stream!.protocol) : []))
      // The admin listener, for the control plane.
      .filter(({ name }) => typeof name === 'string' && !/^(?:kuma:|system_)/.test(name))
      .map((resource) => replaced(resource, substitutes) as JsonObject);
  return { clusters: of('cluster'), listeners: of('listener') };
}

function resourcesIn(event: Extract<RecordedEvent, { kind: 'response' }>, protocol: string): readonly JsonObject[] {
  const registry = ANY_TYPES;
  if (protocol === 'delta') {
    const { resources } = toJson(DeltaDiscoveryResponseSchema, fromBinary(DeltaDiscoveryResponseSchema, event.bytes), {
      registry,
    }) as { resources: { resource: JsonObject }[] };
    return resources.map(({ resource }) => resource);
  }
  const answer = toJson(DiscoveryResponseSchema, fromBinary(DiscoveryResponseSchema, event.bytes), { registry });
  return (answer as { resources: JsonObject[] }).resources;
}

/** The identity of the egress, and the bundles of the trust domains it trusts. */
export function dataplaneSecrets(
  mesh: string,
  identity: { readonly cert: string; readonly key: string },
  bundles: readonly TestMesh[],
): JsonObject[] {
  const inline = (inlineString: string): JsonObject => ({ inlineString });
  const trustDomains = bundles.map(({ name, ca }) => ({ name, trustBundle: inline(ca.cert) }));
  const typedConfig = {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig',
    trustDomains,
  };
  return [
    {
      name: `kri_mid_${mesh}___identity_`,
      tlsCertificate: { certificateChain: inline(identity.cert), privateKey: inline(identity.key) },
    },
    {
      name: 'system_trust_bundle',
      validationContext: { customValidatorConfig: { name: 'envoy.tls.cert_validator.spiffe', typedConfig } },
    },
  ];
}
