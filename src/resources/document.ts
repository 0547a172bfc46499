import { cut, quote } from '../base/key-material.ts';
import type { Origin } from '../model/compiled.ts';
import { didYouMean } from '../base/did-you-mean.ts';
import { openFields } from './fields.ts';
import type { Fields } from './fields.ts';
import type { Findings } from './findings.ts';
import { isReadKind, kindNames, KINDS, noteOf } from './known-kinds.ts';
import type { ReadKind } from './known-kinds.ts';
import type { MapEntry, MapValue, Value } from './yaml-value.ts';

/** Fields that every resource has, in each of its written forms. */
export interface Meta {
  /**
   * Kuma's name of the resource; for a namespaced kind in Kubernetes form, `<name>.<namespace>`.
   */
  readonly name: string;
  /**
   * The name for SNI and policy order: the label `kuma.io/display-name`, else the name as it was
   * written.
   */
  readonly displayName: string;
  readonly namespace: string;
  readonly form: 'universal' | 'kubernetes';
  /** Empty for kinds that belong to no mesh. */
  readonly mesh: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Milliseconds since the Unix epoch; null where the document has no time. */
  readonly createdAt: number | null;
  /** The beginning of the document. */
  readonly at: Origin;
  readonly nameAt: Origin;
  readonly meshAt: Origin;
  readonly kindAt: Origin;
}

/** A resource whose kind is supported, before its fields are read. */
export interface Document {
  readonly kind: ReadKind;
  readonly meta: Meta;
  /**
   * Collects the problems of the document. An error in a kind that is about one destination refuses
   * only that destination.
   */
  readonly findings: Findings;
  /** Opens the fields of the kind: the resource itself (Universal, older kinds) or its `spec`. */
  spec(known: readonly string[], aliases?: Readonly<Record<string, string>>): Fields;
}

/**
 * Returns the documents of supported kinds; each other document leaves a warning. Takes `kind:
 * List` apart, and the form that kumactl and the API print: `items`, `total`, `next`.
 */
export function documentsIn(value: Value, findings: Findings): readonly Document[] {
  if (value.kind !== 'map') {
    findings.error(value.at, '', 'a resource must be a map with `type` (Universal) or `kind` (Kubernetes)');
    return [];
  }
  const type = value.entries.get('type');
  const kind = value.entries.get('kind');
  // Kuma's own documents may have `apiVersion` beside `type`.
  const isKubernetes =
    type === undefined
      ? kind !== undefined || value.entries.has('apiVersion')
      : kind !== undefined && value.entries.has('apiVersion');
  const items = value.entries.get('items')?.value;
  if (type === undefined && kind === undefined && items !== undefined) {
    if (items.kind === 'list') return items.items.flatMap((item) => documentsIn(item, findings));
    // Go writes an empty list as null.
    if (isNull(items)) return [];
  }
  if (isKubernetes) return kubernetes(value, kind, findings);
  if (type === undefined) {
    findings.error(
      value.at,
      'type',
      'has to be defined: a resource has `type` (Universal) or `apiVersion` and `kind` (Kubernetes)',
    );
    return [];
  }
  return universal(value, type, findings);
}

const UNIVERSAL_META = ['apiVersion', 'type', 'name', 'mesh', 'labels', 'creationTime', 'modificationTime', 'kri'];
const KUBERNETES_META = ['apiVersion', 'kind', 'metadata', 'mesh', 'spec', 'status'];

function universal(map: MapValue, type: MapEntry, all: Findings): readonly Document[] {
  const typeName = stringOf(type.value);
  if (typeName === null) {
    all.error(type.value.at, 'type', 'must be a string');
    return [];
  }
  const kind = readKind(typeName, type.value.at, 'type', all);
  if (kind === null) return [];
  const findings = findingsOf(kind, { name: map.entries.get('name')?.value, mesh: map.entries.get('mesh')?.value }, all);
  const { style } = KINDS[kind];
  const own = style === 'spec' ? ['spec', 'status'] : [];
  // The reader of the kind reports unknown fields, because it knows the others; this only looks at
  // the common ones.
  const top = openFields(only(map, UNIVERSAL_META), '', UNIVERSAL_META, findings);
  const name = top.text('name');
  const meta = checkedMeta(
    kind,
    {
      name: name ?? '',
      isMisread: name === undefined && top.has('name'),
      namespace: '',
      mesh: top.text('mesh') ?? '',
      labels: top.tags('labels')?.tags ?? new Map<string, string>(),
      createdAt: timeOf(top, 'creationTime'),
      at: map.at,
      nameAt: top.place('name'),
      meshAt: top.place('mesh'),
      kindAt: type.value.at,
    },
    'universal',
    findings,
  );
  const document: Document = {
    kind,
    meta,
    findings,
    spec(known, aliases) {
      if (style === 'fields') return openFields(map, '', [...UNIVERSAL_META, ...known], findings, aliases);
      const outer = openFields(map, '', [...UNIVERSAL_META, ...own], findings);
      return outer.object('spec', known) ?? openFields(emptyMap(map.at), 'spec', known, findings);
    },
  };
  return [document];
}

function kubernetes(map: MapValue, kindEntry: MapEntry | undefined, all: Findings): readonly Document[] {
  const kindName = kindEntry === undefined ? null : stringOf(kindEntry.value);
  if (kindEntry === undefined || kindName === null) {
    all.error(kindEntry?.value.at ?? map.at, 'kind', 'has to be defined');
    return [];
  }
  const items = map.entries.get('items')?.value;
  if (kindName.endsWith('List') && items?.kind === 'list') return items.items.flatMap((item) => documentsIn(item, all));
  const apiVersion = stringOf(map.entries.get('apiVersion')?.value) ?? '';
  if (apiVersion === 'v1' && kindName === 'Secret') return kubernetesSecret(map, all);
  if (apiVersion !== '' && !apiVersion.startsWith('kuma.io/')) {
    all.warn(kindEntry.value.at, 'kind', `${cut(kindName)} of ${cut(apiVersion)} is no resource of Kuma: not used`);
    return [];
  }
  if (apiVersion === '') all.warn(map.at, 'apiVersion', 'is not defined: read as kuma.io/v1alpha1');
  const kind = readKind(kindName, kindEntry.value.at, 'kind', all);
  if (kind === null) return [];
  const findings = findingsOf(kind, writtenNames(map), all);
  if (kind === 'Secret' || kind === 'GlobalSecret') {
    findings.error(
      kindEntry.value.at,
      'kind',
      'a secret in Kubernetes form has apiVersion v1, kind Secret and a type of system.kuma.io',
    );
    return [];
  }
  return [kubernetesDocument(map, kind, findings)];
}

function kubernetesDocument(map: MapValue, kind: ReadKind, findings: Findings): Document {
  const { style, namespaced } = KINDS[kind];
  const top = openFields(map, '', KUBERNETES_META, findings);
  const metadata = metadataOf(map, findings);
  const labels = metadata.tags('labels')?.tags ?? new Map<string, string>();
  const name = metadata.text('name');
  const namespace = metadata.text('namespace') ?? '';
  const byLabel = style === 'spec';
  const mesh = byLabel ? labels.get('kuma.io/mesh') : top.text('mesh');
  if (KINDS[kind].scope === 'mesh') {
    const [elsewhere, at] = byLabel
      ? [top.text('mesh'), top.place('mesh')]
      : [labels.get('kuma.io/mesh'), metadata.place('labels')];
    // Kuma reads only one of the two places, and uses `default` where that one is empty.
    if (elsewhere !== undefined && elsewhere !== '' && elsewhere !== (mesh ?? 'default')) {
      const [field, right] = byLabel
        ? ['mesh', 'the label kuma.io/mesh']
        : ['metadata.labels["kuma.io/mesh"]', 'mesh, beside metadata,'];
      const message = `does not count: ${right} says the mesh of a ${kind}, and this one is in mesh ${quote(mesh ?? 'default')}`;
      findings.warn(at, field, message);
    }
  }
  const meta = checkedMeta(
    kind,
    {
      name: namespaced && namespace !== '' ? `${name ?? ''}.${namespace}` : (name ?? ''),
      written: name ?? '',
      isMisread: name === undefined && metadata.has('name'),
      namespace,
      mesh: mesh ?? 'default',
      labels,
      createdAt: timeOf(metadata, 'creationTimestamp'),
      at: map.at,
      nameAt: metadata.place('name'),
      meshAt: byLabel ? metadata.place('labels') : top.place('mesh'),
      kindAt: map.entries.get('kind')?.value.at ?? map.at,
    },
    'kubernetes',
    findings,
  );
  const path = style === 'spec' ? 'spec' : '';
  return {
    kind,
    meta,
    findings,
    spec(known, aliases) {
      const spec = map.entries.get('spec')?.value;
      if (spec?.kind === 'map') return openFields(spec, path, known, findings, aliases);
      if (spec !== undefined && !isNull(spec)) findings.error(spec.at, 'spec', 'must be a map');
      return openFields(emptyMap(map.at), path, known, findings, aliases);
    },
  };
}

/** Kuma stores its secrets as Kubernetes Secrets of two types, with the payload in `data.value`. */
function kubernetesSecret(map: MapValue, all: Findings): readonly Document[] {
  const typeValue = map.entries.get('type')?.value;
  const type = stringOf(typeValue) ?? 'Opaque';
  const kind = type === 'system.kuma.io/secret' ? 'Secret' : type === 'system.kuma.io/global-secret' ? 'GlobalSecret' : null;
  if (kind === null) {
    all.warn(typeValue?.at ?? map.at, 'type', 'a Secret of this type is no secret of Kuma (system.kuma.io/secret): not used');
    return [];
  }
  const findings = findingsOf(kind, writtenNames(map), all);
  const metadata = metadataOf(map, findings);
  const labels = metadata.tags('labels')?.tags ?? new Map<string, string>();
  const name = metadata.text('name');
  const meta = checkedMeta(
    kind,
    {
      name: name ?? '',
      isMisread: name === undefined && metadata.has('name'),
      namespace: metadata.text('namespace') ?? '',
      mesh: labels.get('kuma.io/mesh') ?? 'default',
      labels,
      createdAt: null,
      at: map.at,
      nameAt: metadata.place('name'),
      meshAt: metadata.place('labels'),
      kindAt: map.entries.get('kind')?.value.at ?? map.at,
    },
    'kubernetes',
    findings,
  );
  const known = ['apiVersion', 'kind', 'metadata', 'type', 'data', 'stringData', 'immutable'];
  return [{ kind, meta, findings, spec: () => openFields(map, '', known, findings) }];
}

function findingsOf(
  kind: ReadKind,
  { name, mesh }: { readonly name: Value | undefined; readonly mesh: Value | undefined },
  all: Findings,
): Findings {
  if (!KINDS[kind].aboutOne) return all;
  const inMesh = KINDS[kind].scope === 'mesh' ? `${cut(stringOf(mesh) ?? 'default')}/` : '';
  return all.within(`${kind} ${inMesh}${cut(stringOf(name) ?? '')}`);
}

/** The names in Kubernetes form, as written, before any check. */
function writtenNames(map: MapValue): { readonly name: Value | undefined; readonly mesh: Value | undefined } {
  const metadata = map.entries.get('metadata')?.value;
  const entries = metadata?.kind === 'map' ? metadata.entries : null;
  const labels = entries?.get('labels')?.value;
  const label = labels?.kind === 'map' ? labels.entries.get('kuma.io/mesh')?.value : undefined;
  return { name: entries?.get('name')?.value, mesh: map.entries.get('mesh')?.value ?? label };
}

interface WrittenMeta extends Omit<Meta, 'displayName' | 'form'> {
  /** The name before the namespace was added. */
  readonly written?: string;
  /** True for a name that is no text, which is already reported. */
  readonly isMisread: boolean;
}

function checkedMeta(kind: ReadKind, meta: WrittenMeta, form: Meta['form'], findings: Findings): Meta {
  const { scope } = KINDS[kind];
  const { written, isMisread, ...rest } = meta;
  const name = written ?? meta.name;
  const field = form === 'universal' ? 'name' : 'metadata.name';
  if (isMisread) {
    // Already reported.
  } else if (name === '') findings.error(meta.nameAt, field, 'cannot be empty');
  else if (name.length > 253) findings.error(meta.nameAt, field, 'value length must less or equal 253');
  else if (!NAME.test(name)) {
    // Before 2.5 Kuma allowed underscores, and resources of that time still exist.
    if (OLD_NAME.test(name)) findings.warn(meta.nameAt, field, NAME_MESSAGE);
    else findings.error(meta.nameAt, field, NAME_MESSAGE);
  }
  const displayName = meta.labels.get('kuma.io/display-name');
  // The display name goes into SNI and names of clusters, and is shown: it must have only the
  // characters of a name.
  if (displayName !== undefined && !OLD_NAME.test(displayName)) {
    const labels = form === 'universal' ? 'labels' : 'metadata.labels';
    findings.error(meta.at, `${labels}["kuma.io/display-name"]`, OLD_NAME_MESSAGE);
  }
  if (scope === 'mesh') {
    if (meta.mesh === '') findings.error(meta.meshAt, 'mesh', 'cannot be empty');
    else if (!OLD_NAME.test(meta.mesh)) findings.error(meta.meshAt, 'mesh', OLD_NAME_MESSAGE);
  } else if (kind !== 'Mesh' && form === 'universal' && meta.mesh !== '') {
    findings.warn(meta.meshAt, 'mesh', `a ${kind} belongs to no mesh: not used`);
  }
  return {
    ...rest,
    form,
    mesh: scope === 'mesh' ? meta.mesh : '',
    displayName: displayName === undefined || displayName === '' ? name : displayName,
  };
}

const NAME = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const NAME_MESSAGE =
  "invalid characters. A lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const OLD_NAME = /^[0-9a-z-_.]*$/;
const OLD_NAME_MESSAGE = "invalid characters. Valid characters are numbers, lowercase latin letters and '-', '_', '.' symbols.";

function readKind(name: string, at: Origin, field: string, findings: Findings): ReadKind | null {
  if (isReadKind(name)) return name;
  const note = noteOf(name);
  if (note !== undefined) findings.warn(at, field, `${name}: ${note}`);
  else findings.unknown(at, field, `unknown kind ${quote(name)}${didYouMean(name, kindNames())}; not used`);
  return null;
}

function metadataOf(map: MapValue, findings: Findings): Fields {
  const metadata = map.entries.get('metadata')?.value;
  const used = ['name', 'namespace', 'labels', 'creationTimestamp'];
  if (metadata?.kind === 'map') return openFields(only(metadata, used), 'metadata', used, findings);
  if (metadata !== undefined && !isNull(metadata)) findings.error(metadata.at, 'metadata', 'must be a map');
  return openFields(emptyMap(map.at), 'metadata', used, findings);
}

function timeOf(fields: Fields, name: string): number | null {
  const text = fields.text(name);
  if (text === undefined) return null;
  const time = Date.parse(text);
  // A resource that was never stored has Go's zero time: year 1.
  if (!Number.isNaN(time)) return time < 0 ? null : time;
  fields.warn(name, 'is no time that can be read: not used');
  return null;
}

function only(map: MapValue, names: readonly string[]): MapValue {
  return { ...map, entries: new Map([...map.entries].filter(([name]) => names.includes(name))) };
}

function emptyMap(at: Origin): MapValue {
  return { kind: 'map', entries: new Map(), at };
}

function stringOf(value: Value | undefined): string | null {
  return value?.kind === 'scalar' && typeof value.value === 'string' ? value.value : null;
}

function isNull(value: Value): boolean {
  return value.kind === 'scalar' && value.value === null;
}
