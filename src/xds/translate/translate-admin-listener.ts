import type { AdminListener, AdminTls } from '../../model/admin-listener.ts';
import { hashOf } from '../../model/hash-of.ts';
import type { ContentHash } from '../../model/names.ts';
import { dataText } from '../messages/data-text.ts';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import type { FilterChain } from '#envoy/config/listener/v3/listener_components_pb.js';
import type { Route } from '#envoy/config/route/v3/route_components_pb.js';
import { RouterSchema } from '#envoy/extensions/filters/http/router/v3/router_pb.js';
import { HttpConnectionManagerSchema } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { HttpConnectionManager } from '#envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { SubjectAltNameMatcher_SanType } from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { CertificateValidationContext } from '#envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { DownstreamTlsContextSchema } from '#envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { asksPathOnly } from './route-match.ts';
import { matchComplaints } from './translate-chain.ts';
import { unknownField, unpack } from '../messages/typed-config.ts';

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
  const complaints = filterChains.map(chainComplaint);
  const usable = filterChains.filter((_, i) => complaints[i] === null);
  const plain = usable.filter(({ transportSocket }) => transportSocket === undefined);
  const secured = usable.find(({ transportSocket }) => transportSocket !== undefined);
  const read = secured === undefined ? null : readTls(secured);
  const plaintextPaths = [...new Set(plain.flatMap(pathsOf))];
  const admin = { address: socket.address, port, plaintextPaths, tls: read?.kind === 'tls' ? read.tls : null };
  const remarks = [
    ...complaints.flatMap((why) => (why === null ? [] : `a chain of it is not served: ${why}`)),
    ...(read?.kind === 'unusable' ? [`its TLS is not served: ${read.why}`] : []),
  ];
  return { admin, secrets: read?.kind === 'tls' ? read.secrets : [], remarks };
}

/** A restriction that is not evaluated here refuses every client. */
function chainComplaint({ filters, filterChainMatch }: FilterChain): string | null {
  const [asked] = matchComplaints(filterChainMatch);
  if (asked !== undefined) return asked;
  if ((filterChainMatch?.serverNames.length ?? 0) > 0) return 'it is for certain server names only';
  const manager = managerOf(filters[0]);
  if (manager === undefined || filters.length > 1) return 'it has other filters than one for HTTP';
  const others = manager.httpFilters.filter(
    ({ configType }) => configType.case !== 'typedConfig' || unpack(configType.value, RouterSchema) === undefined,
  );
  return others.length === 0 ? null : `it has the HTTP filters ${others.map(({ name }) => name).join(', ')}`;
}

function managerOf(filter: FilterChain['filters'][number] | undefined): HttpConnectionManager | undefined {
  return filter?.configType.case === 'typedConfig' ? unpack(filter.configType.value, HttpConnectionManagerSchema) : undefined;
}

/**
 * Returns prefixes, up to the first route with another condition: the first match counts, and its
 * effect on later paths is not evaluated.
 */
function pathsOf({ filters }: FilterChain): readonly string[] {
  const specifier = managerOf(filters[0])?.routeSpecifier;
  if (specifier?.case !== 'routeConfig') return [];
  return specifier.value.virtualHosts.flatMap(({ domains, routes }) => {
    if (!domains.includes('*')) return [];
    const prefixes = routes.map(prefixOf);
    const end = prefixes.indexOf(null);
    return prefixes.slice(0, end < 0 ? undefined : end).flatMap((prefix) => prefix ?? []);
  });
}

function prefixOf(route: Route): string | null {
  const path = route.match?.pathSpecifier;
  return route.action.case === 'route' && path?.case === 'prefix' && asksPathOnly(route) ? path.value : null;
}

type TlsRead =
  | { readonly kind: 'tls'; readonly tls: AdminTls; readonly secrets: readonly (readonly [ContentHash, string])[] }
  | { readonly kind: 'unusable'; readonly why: string };

/**
 * A client of this listener may read the whole configuration: it has to show a client certificate
 * with a name.
 */
function readTls({ transportSocket }: FilterChain): TlsRead {
  const config = transportSocket?.configType.case === 'typedConfig' ? transportSocket.configType.value : undefined;
  const context = unpack(config, DownstreamTlsContextSchema);
  const common = context?.commonTlsContext;
  const validation = common?.validationContextType.case === 'validationContext' ? common.validationContextType.value : undefined;
  if (context?.requireClientCertificate !== true) return { kind: 'unusable', why: 'it does not ask for a client certificate' };
  const unknown = unknownField(context);
  if (unknown !== null) return { kind: 'unusable', why: `it has what this egress does not know: ${unknown}` };
  const more = validation === undefined ? [] : checksOf(validation);
  if (more.length > 0) return { kind: 'unusable', why: `it checks more of the client than is checked here: ${more.join(', ')}` };
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

/** Returns the checks besides the CA and one name. */
function checksOf(validation: CertificateValidationContext): readonly string[] {
  const { verifyCertificateHash, verifyCertificateSpki, matchSubjectAltNames } = validation;
  const { crl, maxVerifyDepth, customValidatorConfig, requireSignedCertificateTimestamp } = validation;
  const lists = { verifyCertificateHash, verifyCertificateSpki, matchSubjectAltNames };
  const values = { crl, maxVerifyDepth, customValidatorConfig };
  return [
    ...Object.entries(lists).flatMap(([name, list]) => (list.length > 0 ? [name] : [])),
    ...Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [name])),
    ...(requireSignedCertificateTimestamp === true ? ['requireSignedCertificateTimestamp'] : []),
  ];
}
