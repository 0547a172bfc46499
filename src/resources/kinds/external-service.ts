import { quote } from '../../base/key-material.ts';
import type { Origin } from '../../model/compiled.ts';
import { readDataSource } from '../data-source.ts';
import type { DataSource } from '../data-source.ts';
import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { hostKind, isPort, splitHostPort } from '../hosts.ts';
import { checkTags, PROTOCOL_TAG, SERVICE_TAG, ZONE_TAG } from '../tags.ts';
import type { Tags } from '../tags.ts';
import { ifEnabled, PLAIN } from './tls-enabled.ts';
import type { WrittenTls } from './tls-enabled.ts';
import type { Kind } from './kind.ts';

export interface ExternalService extends WrittenTls<ExternalServiceTls> {
  readonly meta: Meta;
  readonly tags: Tags;
  readonly service: string;
  /** The only zone that can reach it; empty for every zone. */
  readonly zone: string;
  readonly protocol: ExternalProtocol;
  readonly host: string;
  readonly port: number;
  readonly addressAt: Origin;
  /** Collects later problems of this resource. */
  readonly findings: Findings;
}

export type ExternalProtocol = 'tcp' | 'http' | 'http2' | 'grpc' | 'kafka';

export interface ExternalServiceTls {
  readonly path: string;
  readonly at: Origin;
  /** Empty where not written. */
  readonly serverName: string;
  readonly skipHostnameVerification: boolean;
  readonly allowRenegotiation: boolean;
  /** Undefined where not written, null where it cannot be used. */
  readonly caCert: DataSource | null | undefined;
  readonly clientCert: DataSource | null | undefined;
  readonly clientKey: DataSource | null | undefined;
}

const TLS_FIELDS = [
  'enabled',
  'caCert',
  'clientCert',
  'clientKey',
  'allowRenegotiation',
  'serverName',
  'skipHostnameVerification',
];
/** The names in Kuma's protobuf, which its JSON accepts too. */
const ALIASES = { ca_cert: 'caCert', client_cert: 'clientCert', client_key: 'clientKey', server_name: 'serverName' };

function readExternalService(document: Document): ExternalService {
  const { findings } = document;
  const spec = document.spec(['tags', 'networking'], ALIASES);
  const networking = spec.object('networking', ['address', 'tls', 'disableHostDNSEntry']);
  const address = networking?.text('address');
  if (!spec.has('networking')) findings.error(spec.at, 'networking', 'should have networking');
  if (networking !== undefined) checkHostPort(networking, address);
  const tls = networking === undefined ? PLAIN : readTls(networking);
  const written = spec.tags('tags');
  const field = written ?? { path: 'tags', at: spec.at, tags: new Map<string, string>(), place: () => spec.at };
  const { tags } = field;
  const protocol = tags.get(PROTOCOL_TAG);
  if (protocol !== undefined && !PROTOCOLS.has(protocol.toLowerCase())) {
    const allowed = 'Allowed values: grpc, http, http2, kafka, tcp';
    const message = `tag "${PROTOCOL_TAG}" has an invalid value ${quote(protocol)}. ${allowed}`;
    findings.error(field.place(PROTOCOL_TAG), `tags["${PROTOCOL_TAG}"]`, message);
  }
  checkTags(field, { service: true }, findings);
  const { host, port } = splitHostPort(address ?? '') ?? { host: '', port: '' };
  const service = tags.get(SERVICE_TAG) ?? '';
  if (service !== '' && service === host) {
    findings.error(field.place(SERVICE_TAG), `tags["${SERVICE_TAG}"]`, 'cannot be the same as networking.address');
  }
  return {
    meta: document.meta,
    tags,
    service,
    zone: tags.get(ZONE_TAG) ?? '',
    protocol: PROTOCOLS.get((protocol ?? 'tcp').toLowerCase()) ?? 'tcp',
    host,
    port: Number(port),
    findings,
    addressAt: networking?.place('address') ?? spec.at,
    ...tls,
  };
}

/** Kuma accepts tls and mysql too, and treats them as bytes. */
const PROTOCOLS: ReadonlyMap<string, ExternalProtocol> = new Map([
  ['tcp', 'tcp'],
  ['tls', 'tcp'],
  ['mysql', 'tcp'],
  ['kafka', 'kafka'],
  ['http', 'http'],
  ['http2', 'http2'],
  ['grpc', 'grpc'],
]);

function checkHostPort(networking: Fields, address: string | undefined): void {
  if (address === undefined || address === '') {
    // A value that is no text has been reported already.
    if (address === '' || !networking.has('address')) networking.error('address', "address can't be empty");
    return;
  }
  const parts = splitHostPort(address);
  if (parts === null) networking.error('address', 'unable to parse address');
  const { host, port } = parts ?? { host: '', port: '' };
  if (hostKind(host) === null) networking.error('address', 'address has to be a valid IP address or a domain name');
  const number = /^\d{1,10}$/.test(port) ? Number(port) : null;
  if (number === null || number > 0xffffffff) networking.error('address', 'unable to parse port in address');
  if (!isPort(number ?? 0)) networking.error('address', 'port must be in the range [1, 65535]');
}

function readTls(networking: Fields): WrittenTls<ExternalServiceTls> {
  const tls = networking.object('tls', TLS_FIELDS);
  if (tls === undefined) return PLAIN;
  const serverName = tls.text('serverName');
  if (serverName === '') tls.error('serverName', 'cannot be empty');
  // Kuma accepts any text, which Envoy then sends. An IP address is not sent as SNI, but the
  // certificate must be valid for it.
  else if (serverName !== undefined && hostKind(serverName) === null)
    tls.error('serverName', 'must be a valid DNS name or IP address');
  const read = {
    path: tls.path,
    at: tls.at,
    serverName: serverName ?? '',
    skipHostnameVerification: tls.flag('skipHostnameVerification') ?? false,
    allowRenegotiation: tls.flag('allowRenegotiation') ?? false,
    caCert: readDataSource(tls, 'caCert'),
    clientCert: readDataSource(tls, 'clientCert'),
    clientKey: readDataSource(tls, 'clientKey'),
  };
  return ifEnabled(tls, TLS_FIELDS, read);
}

export const externalService: Kind<ExternalService, 'mesh', 'externalServices'> = {
  scope: 'mesh',
  style: 'fields',
  namespaced: false,
  aboutOne: true,
  list: 'externalServices',
  byName: false,
  read: readExternalService,
};
