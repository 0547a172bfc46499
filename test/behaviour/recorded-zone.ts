// The recorded configuration of `egress-1`, message by message as Envoy got it, with our own keys
// and with fakes at the external addresses. The listener of the control plane is left out, because
// its port is not free on every machine.
import { Buffer } from 'node:buffer';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { egressUris } from '../../src/identity/issue.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import type { EnvoyResources } from '../../src/testing/control-plane/envoy-resources.ts';
import { authoritySecret, certificateSecret } from '../../src/testing/control-plane/envoy-shapes.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { LIVE } from '../data.ts';

export function live(file: string): string {
  return readFileSync(new URL(file, LIVE), 'utf8');
}

/** What takes the place of the recorded services. */
export interface Substitutes {
  /** Keyed by the recorded port. */
  readonly ports: ReadonlyMap<number, number>;
  /** Trust for the TLS services, and the certificate that is shown to them. */
  readonly external: { readonly caCert: string; readonly client: CertificateAndKey };
}

export interface ZoneSubstitutes extends Substitutes {
  readonly meshes: readonly TestMesh[];
  /** Only for `es-blackhole`, which has Kuma's 5 s. */
  readonly connectTimeoutMs: number;
}

export function recordedZone(substitutes: ZoneSubstitutes): EnvoyResources {
  const put = (file: string): JsonObject[] => resourcesOf(file).map((resource) => replaced(resource, substitutes) as JsonObject);
  return {
    clusters: put('002-response-cds.json').map((cluster) =>
      cluster['name'] === 'default:es-blackhole'
        ? { ...cluster, connectTimeout: `${substitutes.connectTimeoutMs / 1_000}s` }
        : cluster,
    ),
    endpoints: put('005-response-eds.json'),
    listeners: resourcesOf('008-response-lds.json').filter(({ name }) => name !== 'kuma:envoy:admin'),
    secrets: secretsOf(substitutes.meshes),
  };
}

/**
 * RSA, as in Kuma: the recorded clients ask for its cipher suites. All share one key, because
 * making one takes time.
 */
function secretsOf(meshes: readonly TestMesh[]): JsonObject[] {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  return meshes.flatMap((mesh) => [
    certificateSecret(`identity_cert:secret:${mesh.name}`, mesh.issue({ uris: egressUris(mesh.name) }, privateKey)),
    authoritySecret(`mesh_ca:secret:${mesh.name}`, mesh.ca.cert),
  ]);
}

function resourcesOf(file: string): readonly JsonObject[] {
  return (JSON.parse(live(`ads/sotw/${file}`)) as { resources: JsonObject[] }).resources;
}

export function replaced(value: JsonValue, substitutes: Substitutes): JsonValue {
  if (Array.isArray(value)) return value.map((item) => replaced(item, substitutes));
  if (typeof value !== 'object' || value === null) return value;
  const { caCert, client } = substitutes.external;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]): [string, JsonValue] => {
      if (key === 'trustedCa' && isInline(part)) return [key, inline(caCert)];
      if (key === 'certificateChain') return [key, inline(client.cert)];
      if (key === 'privateKey') return [key, inline(client.key)];
      return [
        key,
        key === 'socketAddress' ? replacedAddress(part as JsonObject, substitutes.ports) : replaced(part, substitutes),
      ];
    }),
  );
}

function replacedAddress(address: JsonObject, ports: ReadonlyMap<number, number>): JsonObject {
  const port = ports.get(Number(address['portValue']));
  if (port === undefined) return address;
  return { address: address['address'] === 'localhost' ? 'localhost' : '127.0.0.1', portValue: port };
}

function isInline(source: JsonValue): boolean {
  return typeof source === 'object' && source !== null && 'inlineBytes' in source;
}

function inline(pem: string): JsonObject {
  return { inlineBytes: Buffer.from(pem).toString('base64') };
}
