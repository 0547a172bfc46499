import { cut } from '../../base/key-material.ts';
import type { Origin } from '../../model/compiled.ts';
import type { Fields, TagField } from '../fields.ts';
import type { Findings } from '../findings.ts';
import { checkSelector, checkTags } from '../tags.ts';
import type { Tags } from '../tags.ts';

/** A reference from a policy to its target. */
export interface TargetRef {
  readonly kind: TargetKind;
  readonly name: string;
  readonly tags: Tags;
  /** True for a target that labels select instead of a name. */
  readonly byLabels: boolean;
  readonly labels: Tags;
  /** Empty for the namespace of the policy. */
  readonly namespace: string;
  readonly sectionName: string;
  /** True when the target includes gateways. */
  readonly includesGateways: boolean;
  /** True when the target includes only gateways. */
  readonly onlyGateways: boolean;
  readonly at: Origin;
  readonly path: string;
}

/** Ordered from the least specific to the most specific. */
export const TARGET_KINDS = [
  'Mesh',
  'Dataplane',
  'MeshSubset',
  'MeshGateway',
  'MeshService',
  'MeshExternalService',
  'MeshMultiZoneService',
  'MeshServiceSubset',
  'MeshHTTPRoute',
] as const;
export type TargetKind = (typeof TARGET_KINDS)[number];

export const TARGET_FIELDS: readonly string[] = [
  'kind',
  'name',
  'tags',
  'mesh',
  'namespace',
  'labels',
  'sectionName',
  'proxyTypes',
];

/**
 * Returns undefined without a reference, and null for one that is not valid, which is reported with
 * Kuma's message.
 */
export function readTargetRef(
  parent: Fields,
  name: string,
  kinds: readonly TargetKind[],
  findings: Findings,
): TargetRef | null | undefined {
  if (!parent.has(name)) return undefined;
  const ref = parent.object(name, TARGET_FIELDS);
  return ref === undefined ? null : checkTargetRef(ref, kinds, findings);
}

/** Reads a reference whose map is open already. */
export function checkTargetRef(ref: Fields, kinds: readonly TargetKind[], findings: Findings): TargetRef | null {
  const kindText = ref.text('kind') ?? '';
  if (kindText === '') {
    ref.error('kind', 'must be defined');
    return null;
  }
  const kind = kinds.find((each) => each === kindText);
  if (kind === undefined) {
    ref.error('kind', `value '${cut(kindText)}' is not supported`);
    return null;
  }
  const refName = ref.text('name') ?? '';
  const tags = ref.tags('tags');
  const labels = ref.tags('labels')?.tags ?? new Map<string, string>();
  checkFields(ref, kind, { name: refName, tags, labels }, findings);
  const proxyTypes = ref.texts('proxyTypes');
  if ((kind === 'Mesh' || kind === 'MeshSubset') && proxyTypes?.length === 0) {
    ref.error('proxyTypes', 'must be undefined or have at least one element');
  }
  return {
    kind,
    name: refName,
    tags: tags?.tags ?? new Map<string, string>(),
    byLabels: labels.size > 0,
    labels,
    namespace: ref.text('namespace') ?? '',
    sectionName: ref.text('sectionName') ?? '',
    includesGateways: includesGateways(kind, proxyTypes),
    onlyGateways: kind === 'MeshGateway' || (proxyTypes !== undefined && !proxyTypes.includes('Sidecar')),
    at: ref.at,
    path: ref.path,
  };
}

/** Checks the fields beside a kind, with Kuma's messages. */
function checkFields(
  ref: Fields,
  kind: TargetKind,
  {
    name: refName,
    tags,
    labels,
  }: { readonly name: string; readonly tags: TagField | undefined; readonly labels: ReadonlyMap<string, string> },
  findings: Findings,
): void {
  const forbid = (...fields: readonly string[]): void => {
    for (const field of fields) if (isSet(ref, field)) ref.error(field, `must not be set with kind ${kind}`);
  };
  switch (kind) {
    case 'Mesh':
      if (refName !== '') ref.error('name', 'using name with kind Mesh is not yet supported');
      forbid('mesh', 'tags', 'labels', 'namespace', 'sectionName');
      break;
    case 'Dataplane':
      forbid('tags', 'mesh', 'proxyTypes');
      break;
    case 'MeshSubset':
      forbid('name', 'mesh', 'labels', 'namespace', 'sectionName');
      if (tags !== undefined) checkTags(tags, {}, findings);
      break;
    case 'MeshService':
      checkName(ref, refName);
      forbid('mesh', 'tags', 'proxyTypes');
      if (labels.size === 0 && refName === '')
        findings.error(ref.at, ref.path, 'name or labels must be set when kind is MeshService');
      if (labels.size > 0 && (refName !== '' || isSet(ref, 'namespace'))) {
        ref.error('labels', 'either labels or name and namespace must be specified');
      }
      break;
    case 'MeshExternalService':
    case 'MeshHTTPRoute':
      checkName(ref, refName);
      forbid('mesh', 'tags', 'proxyTypes', 'sectionName');
      if (labels.size === 0 && refName === '')
        findings.error(ref.at, ref.path, `name or labels must be set when kind is ${kind}`);
      if (labels.size > 0 && (refName !== '' || isSet(ref, 'namespace'))) {
        const names = kind === 'MeshExternalService' ? 'name' : 'name and namespace';
        ref.error('labels', `either labels or ${names} must be specified`);
      }
      break;
    case 'MeshMultiZoneService':
      break;
    case 'MeshServiceSubset':
    case 'MeshGateway':
      if (refName === '') ref.error('name', `must be set when kind is ${kind}`);
      checkName(ref, refName);
      forbid('mesh', 'proxyTypes', 'labels', 'namespace', 'sectionName');
      if (tags !== undefined) checkSelector(tags, {}, findings);
      break;
    default:
      kind satisfies never;
  }
}

function includesGateways(kind: TargetKind, proxyTypes: readonly string[] | undefined): boolean {
  if (kind === 'MeshGateway' || kind === 'MeshHTTPRoute') return true;
  return (kind === 'Mesh' || kind === 'MeshSubset') && (proxyTypes === undefined || proxyTypes.includes('Gateway'));
}

function checkName(ref: Fields, name: string): void {
  if (/^[0-9a-z.\-_]*$/.test(name)) return;
  ref.error('name', "invalid characters: must consist of lower case alphanumeric characters, '-', '.' and '_'.");
}

/** Kuma treats an empty text, map or list as not set. */
function isSet(ref: Fields, name: string): boolean {
  return ref.has(name) && !ref.isEmpty(name);
}
