import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { Node } from '#envoy/config/core/v3/base_pb.js';

/**
 * The control planes that were recorded, by their differences. 3.0 is the main branch before its
 * release: it knows only Dataplanes, and answers only delta ADS.
 */
export const KUMA_VERSIONS = ['2.9', '2.12', '2.14', '3.0'] as const;

export type KumaVersion = (typeof KUMA_VERSIONS)[number];

/** Tells whether it is 2.14 or later. */
export function isLatest(version: KumaVersion): boolean {
  return version === '2.14' || version === '3.0';
}

export type ReadNode =
  | {
      readonly kind: 'read';
      readonly id: string;
      /** Name of the ZoneEgress or the Dataplane. */
      readonly name: string;
      /** The label `kuma.io/workload` of the resource that it brings; empty without one. */
      readonly workload: string;
      readonly isDataplane: boolean;
      /** True when the proxy brings the resource; otherwise the ZoneEgress has to exist. */
      readonly withResource: boolean;
      /** True when the control plane fails on it silently. */
      readonly silent: boolean;
    }
  | {
      readonly kind: 'refused';
      readonly id: string;
      readonly name: string;
      readonly workload: string;
      readonly isDataplane: boolean;
      readonly why: string;
      /** True for a refusal that comes before the check of the token. */
      readonly beforeToken: boolean;
    };

/**
 * Reads the node of a first request as a control plane does; the texts of the refusals are Kuma's.
 */
export function readNode(node: Node | undefined, version: KumaVersion): ReadNode {
  const id = node?.id ?? '';
  const dot = id.indexOf('.');
  const name = id.slice(dot + 1);
  if (dot < 0 || name === '') {
    const why = 'invalid node ID: the name should be provided after the dot';
    return { kind: 'refused', id, name, workload: '', isDataplane: false, why, beforeToken: true };
  }
  const metadata = node?.metadata ?? {};
  const resource = textOf(metadata['dataplane.resource']);
  const proxyType = textOf(metadata['dataplane.proxyType']);
  const brought = resourceIn(resource);
  const proxy = { id, name, workload: workloadIn(brought), isDataplane: proxyType === 'dataplane' };
  const refused = (why: string): ReadNode => ({ kind: 'refused', ...proxy, why, beforeToken: false });
  if (version === '3.0' && proxyType === 'egress')
    return refused('unsupported proxy type "egress", only "dataplane" is supported');
  if (resource !== '') {
    const isDataplane = textOf(brought['type']) === 'Dataplane';
    if (proxyType !== (isDataplane ? 'dataplane' : 'egress')) {
      const type = isDataplane ? 'Dataplane' : 'ZoneEgress';
      return refused(`could not register proxy passed in kuma-dp run: invalid type *v1alpha1.${type} for Spec`);
    }
    const mesh = id.slice(0, dot);
    const resourceName = textOf(brought['name']);
    if ((mesh !== '') !== isDataplane || resourceName !== name) {
      const key = `{ZoneEgress  ${resourceName} 0001-01-01 00:00:00 +0000 UTC 0001-01-01 00:00:00 +0000 UTC map[]}`;
      return refused(`proxyId {${mesh} ${name}} does not match proxy resource ${key}`);
    }
  }
  const admin = portOf(metadata['dataplane.admin.port']);
  const readiness = portOf(metadata['dataplane.readinessReporter.port']);
  return { kind: 'read', ...proxy, withResource: resource !== '', silent: version !== '2.9' && admin > 0 && readiness === 0 };
}

/** Empty for a text that is no resource. */
function resourceIn(text: string): JsonObject {
  try {
    return JSON.parse(text) as JsonObject;
  } catch {
    return {};
  }
}

function workloadIn({ labels }: JsonObject): string {
  return typeof labels === 'object' && labels !== null && !Array.isArray(labels) ? textOf(labels['kuma.io/workload']) : '';
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** Kuma reads a text; 0 where there is none, or no port. */
function portOf(value: JsonValue | undefined): number {
  return /^[0-9]{1,5}$/.test(textOf(value)) ? Number(value) : 0;
}
