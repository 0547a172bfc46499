import { quote } from '../../base/key-material.ts';
import type { Origin } from '../../model/compiled.ts';
import { readDataSource } from '../data-source.ts';
import type { DataSource } from '../data-source.ts';
import type { Document, Meta } from '../document.ts';
import type { Fields } from '../fields.ts';
import type { Kind } from './kind.ts';

export interface MeshDefinition {
  readonly meta: Meta;
  /** The enabled backend; null where the mesh has no mTLS. */
  readonly mtls: CaBackend | null;
  readonly zoneEgress: boolean;
  readonly localityAware: boolean;
  readonly forbidsMeshExternalServices: boolean;
  /** Kinds for which Kuma creates no default policy with the mesh; `*` means all. */
  readonly skippedPolicies: readonly string[];
}

export interface CaBackend {
  readonly name: string;
  readonly type: string;
  readonly path: string;
  readonly at: Origin;
  /** Null for Kuma's default. */
  readonly expirationMs: number | null;
  /** For a provided CA; undefined where not written, null where it cannot be used. */
  readonly cert: DataSource | null | undefined;
  readonly key: DataSource | null | undefined;
}

const KNOWN = [
  'mtls',
  'tracing',
  'logging',
  'metrics',
  'networking',
  'routing',
  'constraints',
  'skipCreatingInitialPolicies',
  'meshServices',
];

function readMesh(document: Document): MeshDefinition {
  const spec = document.spec(KNOWN);
  const mtls = spec.object('mtls', ['enabledBackend', 'backends', 'skipValidation']);
  const routing = spec.object('routing', ['localityAwareLoadBalancing', 'zoneEgress', 'defaultForbidMeshExternalServiceAccess']);
  const meshServices = spec.object('meshServices', ['mode']);
  if (meshServices !== undefined) checkEnum(meshServices, 'mode', ['Disabled', 'Everywhere', 'ReachableBackends', 'Exclusive']);
  const enabled = mtls?.text('enabledBackend') ?? '';
  const backends = mtls === undefined ? [] : readBackends(mtls, enabled);
  const zoneEgress = routing?.flag('zoneEgress') ?? false;
  if (zoneEgress && enabled === '') spec.error('mtls', 'has to be set when zoneEgress enabled');
  return {
    meta: document.meta,
    mtls: enabled === '' ? null : (backends.find(({ name }) => name === enabled) ?? null),
    zoneEgress,
    localityAware: routing?.flag('localityAwareLoadBalancing') ?? false,
    skippedPolicies: spec.texts('skipCreatingInitialPolicies') ?? [],
    forbidsMeshExternalServices: routing?.flag('defaultForbidMeshExternalServiceAccess') ?? false,
  };
}

function readBackends(mtls: Fields, enabled: string): readonly CaBackend[] {
  const items = mtls.objects('backends', ['name', 'type', 'mode', 'dpCert', 'rootChain', 'conf']) ?? [];
  if (items.length > 1) mtls.error('backends', 'cannot have more than 1 backends');
  const used = new Set<string>();
  const backends = items.map((item) => {
    const name = item.text('name') ?? '';
    if (used.has(name)) item.error('name', `${quote(name)} name is already used for another backend`);
    used.add(name);
    return readBackend(item, name, mtls.path);
  });
  if (enabled !== '' && !used.has(enabled)) mtls.error('enabledBackend', 'has to be set to one of the backends in the mesh');
  return backends;
}

function readBackend(item: Fields, name: string, mtlsPath: string): CaBackend {
  const type = item.text('type') ?? '';
  if (type === '') item.error('type', 'has to be defined');
  checkEnum(item, 'mode', ['STRICT', 'PERMISSIVE']);
  const rotation = item.object('dpCert', ['rotation', 'requestTimeout'])?.object('rotation', ['expiration']);
  const expiration = rotation?.text('expiration') ?? '';
  let expirationMs: number | null = null;
  if (item.has('dpCert')) {
    expirationMs = parseDuration(expiration);
    // Kuma writes `dpcert` here and leaves the backend out.
    const path = `${mtlsPath}.dpcert.rotation.expiration`;
    if (expirationMs === null)
      item.errorAt(rotation?.place('expiration') ?? item.place('dpCert'), path, 'has to be a valid format');
    else if (expirationMs === 0) expirationMs = null;
  }
  const conf = type === 'provided' ? item.object('conf', ['cert', 'key']) : undefined;
  return {
    name,
    type,
    path: item.path,
    at: item.at,
    expirationMs,
    cert: conf === undefined ? undefined : readDataSource(conf, 'cert'),
    key: conf === undefined ? undefined : readDataSource(conf, 'key'),
  };
}

/** Protobuf's JSON accepts the number of an enum value too. */
function checkEnum(fields: Fields, name: string, allowed: readonly string[]): void {
  const value = fields.word(name);
  if (value === undefined || allowed.includes(value) || allowed.some((_, i) => String(i) === value)) return;
  fields.error(name, `unknown value ${quote(value)}: must be one of ${allowed.join(', ')}`);
}

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['y', 365 * 24 * 3_600_000],
  ['w', 7 * 24 * 3_600_000],
  ['d', 24 * 3_600_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]);

/**
 * Reads Kuma's durations, one number with one unit, or `0`, in milliseconds; null for other texts.
 */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0;
  const match = /^(\d+)(y|w|d|h|m|s|ms)$/.exec(text);
  const ms = Number(match?.[1]) * (UNIT_MS.get(match?.[2] ?? '') ?? Number.NaN);
  return Number.isSafeInteger(ms) ? ms : null;
}

export const mesh: Kind<MeshDefinition, 'global', 'meshes'> = {
  scope: 'global',
  style: 'fields',
  namespaced: false,
  aboutOne: false,
  list: 'meshes',
  byName: false,
  read: readMesh,
};
