/** Makes Kuma's resources from the declaration: plain data, to be written as JSON. */
import type { CertificateAndKey } from '../../identity/issue.ts';
import { addressKey } from '../../model/endpoint-view.ts';
import type { FakeExternalService } from './fake-external-service.ts';
import type { FakeExternalOptions, FakeTlsOptions, Place } from './fake-zone-options.ts';
import type { FakeZoneIngress } from './fake-zone-ingress.ts';
import type { TestMesh } from './test-mesh.ts';

/** A service of another zone. */
export interface FakeService {
  readonly mesh: TestMesh;
  readonly name: string;
  readonly zone: string;
  readonly ingress: FakeZoneIngress;
}

/** An external service: a fake, or one at an address. */
export interface External {
  readonly name: string;
  readonly mesh: string;
  readonly options: FakeExternalOptions;
  readonly place: Place;
  readonly service: FakeExternalService | null;
  /** Names in the certificate of a fake with TLS. */
  readonly serverName: string;
  readonly tls: FakeTlsOptions | null;
  readonly client: CertificateAndKey | null;
}

export function ingressOf({ mesh, name, zone, ingress: { address, port } }: FakeService): object {
  return {
    type: 'ZoneIngress',
    name: `${zone}-${mesh.name}-${name}`,
    zone,
    networking: { address, port, advertisedAddress: address, advertisedPort: port },
    availableServices: [{ mesh: mesh.name, instances: 1, tags: { 'kuma.io/service': name, 'kuma.io/zone': zone } }],
  };
}

export function externalOf({ name, mesh, options, place, serverName, tls, client }: External): object {
  const inline = (text: string): object => ({ inlineString: text });
  const { kind = 'ExternalService', protocol = 'tcp' } = options;
  if (kind === 'MeshExternalService') {
    const verification = {
      ...(serverName === '' ? {} : { serverName }),
      ...(tls?.ca === undefined ? {} : { caCert: inline(tls.ca) }),
      ...(client === null ? {} : { clientCert: inline(client.cert), clientKey: inline(client.key) }),
    };
    const spec = {
      match: { type: 'HostnameGenerator', port: place.port, protocol },
      endpoints: [place].map(({ address, port }) => ({ address, port })),
      ...(tls === null ? {} : { tls: { enabled: true, verification } }),
    };
    return { type: kind, mesh, name, spec };
  }
  const security = {
    enabled: true,
    ...(serverName === '' ? {} : { serverName }),
    ...(tls?.ca === undefined ? {} : { caCert: inline(tls.ca) }),
    ...(client === null ? {} : { clientCert: inline(client.cert), clientKey: inline(client.key) }),
  };
  const address = addressKey(place.address, place.port);
  return {
    type: kind,
    mesh,
    name,
    tags: { 'kuma.io/service': name, 'kuma.io/protocol': protocol },
    networking: { address, ...(tls === null ? {} : { tls: security }) },
  };
}
