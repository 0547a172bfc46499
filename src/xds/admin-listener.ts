import { createHash } from 'node:crypto';
import type { AdminListener, AdminTls } from '../model/admin-listener.ts';
import { contentHash } from '../model/names.ts';
import type { ContentHash } from '../model/names.ts';
import { dataText } from './data-text.ts';
import type { Listener } from './proto/envoy/config/listener/v3/listener_pb.js';
import type { FilterChain } from './proto/envoy/config/listener/v3/listener_components_pb.js';
import { HttpConnectionManagerSchema } from './proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { SubjectAltNameMatcher_SanType } from './proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { DownstreamTlsContextSchema } from './proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { unpack } from './typed-config.ts';

export interface AdminRead {
  readonly admin: AdminListener | null;
  readonly secrets: readonly (readonly [ContentHash, string])[];
  readonly remarks: readonly string[];
}

export function readAdminListener({ address, filterChains }: Listener): AdminRead {
  const socket = address?.address.case === 'socketAddress' ? address.address.value : undefined;
  const port = socket?.portSpecifier.case === 'portValue' ? socket.portSpecifier.value : 0;
  if (socket === undefined || port === 0)
    return { admin: null, secrets: [], remarks: ['it has no address with a port: not served'] };
  const plain = filterChains.filter(({ transportSocket }) => transportSocket === undefined);
  const secured = filterChains.find(({ transportSocket }) => transportSocket !== undefined);
  const read = secured === undefined ? null : readTls(secured);
  const plaintextPaths = [...new Set(plain.flatMap(pathsOf))];
  const admin = { address: socket.address, port, plaintextPaths, tls: read?.kind === 'tls' ? read.tls : null };
  const remarks = read?.kind === 'unusable' ? [`its TLS is not served: ${read.why}`] : [];
  return { admin, secrets: read?.kind === 'tls' ? read.secrets : [], remarks };
}

function pathsOf({ filters }: FilterChain): readonly string[] {
  return filters.flatMap(({ configType }) => {
    const manager = configType.case === 'typedConfig' ? unpack(configType.value, HttpConnectionManagerSchema) : undefined;
    if (manager?.routeSpecifier.case !== 'routeConfig') return [];
    const routes = manager.routeSpecifier.value.virtualHosts.flatMap((host) => host.routes);
    return routes.flatMap(({ match }) => {
      const path = match?.pathSpecifier;
      return path?.case === 'prefix' || path?.case === 'path' ? path.value : [];
    });
  });
}

type TlsRead =
  | { readonly kind: 'tls'; readonly tls: AdminTls; readonly secrets: readonly (readonly [ContentHash, string])[] }
  | { readonly kind: 'unusable'; readonly why: string };

/** Whoever gets in may read the whole configuration: nothing less than a client certificate with a name opens it. */
function readTls({ transportSocket }: FilterChain): TlsRead {
  const config = transportSocket?.configType.case === 'typedConfig' ? transportSocket.configType.value : undefined;
  const context = unpack(config, DownstreamTlsContextSchema);
  const common = context?.commonTlsContext;
  const validation = common?.validationContextType.case === 'validationContext' ? common.validationContextType.value : undefined;
  if (context?.requireClientCertificate !== true) return { kind: 'unusable', why: 'it does not ask for a client certificate' };
  const [certificate] = common?.tlsCertificates ?? [];
  const [cert, key, ca] = [certificate?.certificateChain, certificate?.privateKey, validation?.trustedCa].map(dataText);
  if (cert?.kind !== 'text' || key?.kind !== 'text' || ca?.kind !== 'text') {
    return { kind: 'unusable', why: 'its certificate, key and CA do not all come with it' };
  }
  const [name, ...others] = validation?.matchTypedSubjectAltNames ?? [];
  const pattern = name?.matcher?.matchPattern;
  if (name?.sanType !== SubjectAltNameMatcher_SanType.DNS || pattern?.case !== 'exact' || others.length > 0) {
    return { kind: 'unusable', why: 'it does not ask for exactly one DNS name of the client' };
  }
  const [certHash, keyHash, caHash] = [hashOf(cert.text), hashOf(key.text), hashOf(ca.text)];
  return {
    kind: 'tls',
    tls: { cert: certHash, key: keyHash, clientCa: caHash, clientName: pattern.value },
    secrets: [
      [certHash, cert.text],
      [keyHash, key.text],
      [caHash, ca.text],
    ],
  };
}

function hashOf(text: string): ContentHash {
  return contentHash(createHash('sha256').update(text).digest('hex'));
}
