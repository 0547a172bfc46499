import type { LazyJson } from '../../base/lazy-json.ts';
import { dumpSections } from '../../xds/dump/envoy-config-dump.ts';
import type { DumpItem, DumpSection } from '../../xds/dump/envoy-config-dump.ts';
import { assignmentJson } from './clusters.ts';
import type { ControlFacts, EnvoyFacts } from './facts.ts';

export interface DumpQuery {
  readonly includeEds: boolean;
  /** A repeated field of a section; empty means all sections. */
  readonly resource: string;
  readonly matches: ((name: string) => boolean) | null;
}

export type DumpAnswer = { readonly kind: 'dump'; readonly json: LazyJson } | { readonly kind: 'no-such-resource' };

const PACKAGE = 'type.googleapis.com/envoy.admin.v3';

/** Writes `envoy.admin.v3.ConfigDump`. */
export function configDump(facts: EnvoyFacts, control: ControlFacts, query: DumpQuery): DumpAnswer {
  const { includeEds, resource, matches } = query;
  const known = dumpSections({ ...control, startedAt: facts.startedAt });
  const at = known.findIndex(({ type }) => type === 'ListenersConfigDump');
  const all = includeEds ? [...known.slice(0, at), endpointsSection(facts), ...known.slice(at)] : known;
  const wanted = (item: DumpItem): boolean => matches === null || matches(item.name);
  if (resource === '') return { kind: 'dump', json: { configs: all.map((section) => sectionJson(section, wanted)) } };
  const section = all.find(({ lists }) => Object.hasOwn(lists, resource));
  if (section === undefined) return { kind: 'no-such-resource' };
  const items = (section.lists[resource] ?? []).filter(wanted);
  const configs = items.map(({ type, json }) => () => ({ '@type': `${PACKAGE}.${section.type}.${type}`, ...json() }));
  return { kind: 'dump', json: { configs } };
}

function sectionJson({ type, fields, lists }: DumpSection, wanted: (item: DumpItem) => boolean): LazyJson {
  const filled = Object.entries(lists).map(([name, items]) => [name, items.filter(wanted).map(({ json }) => json)] as const);
  return {
    '@type': `${PACKAGE}.${type}`,
    ...fields,
    ...Object.fromEntries(filled.filter(([, items]) => items.length > 0)),
  };
}

function endpointsSection(facts: EnvoyFacts): DumpSection {
  const items = [...facts.snapshot().clusters.values()].map((cluster) => ({
    name: cluster.name,
    type: 'DynamicEndpointConfig',
    json: () => ({ endpoint_config: assignmentJson(facts, cluster) }),
  }));
  return { type: 'EndpointsConfigDump', fields: {}, lists: { dynamic_endpoint_configs: items } };
}
