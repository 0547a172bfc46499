import { cut } from '../../base/key-material.ts';
import type { Origin } from '../../model/compiled.ts';
import { readEitherSource, SPEC_DATA_SOURCES } from '../data-source.ts';
import type { DataSource } from '../data-source.ts';
import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { hostKind, isPort } from '../hosts.ts';
import { ZONE_TAG } from '../tags.ts';
import { ifEnabled, PLAIN } from './tls-enabled.ts';
import type { WrittenTls } from './tls-enabled.ts';
import type { Kind } from './kind.ts';

export interface MeshExternalService extends WrittenTls<MeshExternalTls> {
  readonly meta: Meta;
  /** The only zone that can reach it; empty for every zone. */
  readonly zone: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'http' | 'http2' | 'grpc';
  readonly endpoints: readonly MeshExternalEndpoint[];
  /** A type that a plugin of the control plane would serve; this egress does not. */
  readonly extension: { readonly type: string; readonly at: Origin } | null;
  readonly matchAt: Origin;
  /** Collects later problems of this resource. */
  readonly findings: Findings;
}

export interface MeshExternalEndpoint {
  readonly address: string;
  readonly port: number;
  readonly priority: number;
  readonly at: Origin;
}

export interface MeshExternalTls {
  readonly path: string;
  readonly at: Origin;
  readonly min: TlsBound;
  readonly max: TlsBound;
  readonly allowRenegotiation: boolean;
  readonly mode: VerificationMode;
  /** Empty where not written. */
  readonly serverName: string;
  readonly names: readonly { readonly type: 'Exact' | 'Prefix'; readonly value: string }[];
  /** Undefined where not written, null where it cannot be used. */
  readonly caCert: DataSource | null | undefined;
  readonly clientCert: DataSource | null | undefined;
  readonly clientKey: DataSource | null | undefined;
}

export type TlsBound = (typeof TLS_BOUNDS)[number];
export type VerificationMode = (typeof MODES)[number];

const PROTOCOLS = ['tcp', 'grpc', 'http', 'http2'] as const;
const TLS_BOUNDS = ['TLSAuto', 'TLS10', 'TLS11', 'TLS12', 'TLS13'] as const;
const MODES = ['SkipSAN', 'SkipCA', 'SkipAll', 'Secured'] as const;
const TLS_FIELDS = ['enabled', 'version', 'allowRenegotiation', 'verification'];
const NAME_TYPES = ['Prefix', 'Exact'] as const;

export function readMeshExternalService(document: Document): MeshExternalService {
  const { meta, findings } = document;
  if (meta.displayName.length > 63) findings.error(meta.nameAt, 'name', 'must not be longer than 63 characters');
  const spec = document.spec(['match', 'extension', 'endpoints', 'tls']);
  const match = spec.object('match', ['type', 'port', 'protocol']);
  const type = match?.text('type') ?? '';
  if (type !== '' && type !== 'HostnameGenerator') {
    match?.error('type', `unrecognized type '${cut(type)}' - only 'HostnameGenerator' is supported`);
  }
  const port = match?.count('port');
  if (!isPort(port)) (match ?? spec).errorAt(match?.place('port') ?? spec.at, 'spec.match.port', PORT_MESSAGE);
  const extension = spec.object('extension', ['type', 'config']);
  if (extension !== undefined && (extension.text('type') ?? '') === '') extension.error('type', 'must not be empty');
  return {
    meta,
    findings,
    zone: meta.labels.get(ZONE_TAG) ?? '',
    port: port ?? 0,
    protocol: oneOf(match, 'protocol', PROTOCOLS, 'tcp'),
    endpoints: extension === undefined ? readEndpoints(spec) : [],
    ...(extension === undefined ? readTls(spec) : PLAIN),
    extension: extension === undefined ? null : { type: extension.text('type') ?? '', at: extension.at },
    matchAt: spec.place('match'),
  };
}

const PORT_MESSAGE = 'port must be a valid (1-65535)';

function readEndpoints(spec: Fields): readonly MeshExternalEndpoint[] {
  return (spec.objects('endpoints', ['address', 'port', 'priority']) ?? []).map((item) => {
    const address = item.text('address') ?? '';
    const port = item.count('port');
    const priority = item.count('priority') ?? 0;
    if (hostKind(address) === null) item.error('address', 'address has to be a valid IP or hostname');
    else if (!isPort(port)) item.error('port', PORT_MESSAGE);
    if (priority > 128) item.error('priority', 'must be in the range [0, 128]');
    return { address, port: port ?? 0, priority, at: item.at };
  });
}

function readTls(spec: Fields): WrittenTls<MeshExternalTls> {
  const tls = spec.object('tls', TLS_FIELDS);
  if (tls === undefined) return PLAIN;
  const version = tls.object('version', ['min', 'max']);
  const min = oneOf(version, 'min', TLS_BOUNDS, 'TLSAuto');
  const max = oneOf(version, 'max', TLS_BOUNDS, 'TLSAuto');
  if (max !== 'TLSAuto' && TLS_BOUNDS.indexOf(min) > TLS_BOUNDS.indexOf(max)) {
    version?.error('min', 'min version must be lower than max');
  }
  const verification = tls.object('verification', ['mode', 'serverName', 'subjectAltNames', 'caCert', 'clientCert', 'clientKey']);
  const serverName = verification?.text('serverName');
  if (serverName !== undefined && hostKind(serverName) !== 'name') verification?.error('serverName', 'must be a valid DNS name');
  const names = (verification?.objects('subjectAltNames', ['type', 'value']) ?? []).map((item) => ({
    type: oneOf(item, 'type', NAME_TYPES, 'Exact'),
    value: requiredText(item, 'value'),
  }));
  // Kuma uses the default for an empty mode.
  const mode = verification?.text('mode') === '' ? 'Secured' : oneOf(verification, 'mode', MODES, 'Secured');
  const hasCert = verification?.has('clientCert') ?? false;
  const hasKey = verification?.has('clientKey') ?? false;
  if (hasCert && !hasKey) verification?.error('clientKey', 'must be defined when clientCert is defined');
  if (hasKey && !hasCert) verification?.error('clientCert', 'must be defined when clientKey is defined');
  const source = (name: string): DataSource | null | undefined =>
    verification === undefined ? undefined : readEitherSource(verification, name, SPEC_DATA_SOURCES);
  const read = {
    path: tls.path,
    at: tls.at,
    min,
    max,
    allowRenegotiation: tls.flag('allowRenegotiation') ?? false,
    mode,
    serverName: serverName ?? '',
    names,
    caCert: source('caCert'),
    clientCert: source('clientCert'),
    clientKey: source('clientKey'),
  };
  return ifEnabled(tls, TLS_FIELDS, read);
}

function requiredText(item: Fields, name: string): string {
  if (!item.has(name)) item.error(name, 'must be defined');
  return item.text(name) ?? '';
}

function oneOf<const Value extends string>(
  fields: Fields | undefined,
  name: string,
  allowed: readonly Value[],
  fallback: Value,
): Value {
  const text = fields?.text(name);
  if (text === undefined) return fallback;
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  fields?.error(name, `${JSON.stringify(name)} must be one of [${allowed.map((value) => JSON.stringify(value)).join(', ')}]`);
  return fallback;
}

export const meshExternalService: Kind<MeshExternalService, 'mesh', 'meshExternalServices'> = {
  scope: 'mesh',
  style: 'spec',
  namespaced: true,
  aboutOne: true,
  list: 'meshExternalServices',
  byName: false,
  read: readMeshExternalService,
};
