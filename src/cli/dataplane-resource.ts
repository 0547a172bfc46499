import { formatProblem } from '../base/problem.ts';
import { openFields } from '../resources/fields.ts';
import type { Fields } from '../resources/fields.ts';
import { createFindings } from '../resources/findings.ts';
import type { Findings } from '../resources/findings.ts';
import { isPort } from '../resources/hosts.ts';
import { parseYaml } from '../resources/yaml.ts';
import type { MapValue } from '../resources/yaml-value.ts';
import { plainYaml } from '../xds/messages/plain-value.ts';
import type { ProxyResource } from './proxy-resource.ts';

const LISTENER_TYPES: readonly string[] = ['ZoneEgress', 'ZoneIngress'];
const WORKLOAD = 'kuma.io/workload';

/**
 * Reads a Dataplane from a rendered template in Universal form, with a ZoneEgress among its
 * listeners; null for an empty template. Throws every problem, one on each line. The control plane
 * gets the text unchanged.
 */
export function readDataplaneResource(file: string, text: string): ProxyResource | null {
  const findings = createFindings(false);
  const values = parseYaml({ path: file, text }, findings);
  const [value] = values;
  if (value === undefined && findings.problems().length === 0) return null;
  if (values.length > 1) throw new Error(`${file}: has ${values.length} documents; allowed is one, the Dataplane`);
  const read = value?.kind === 'map' ? readDataplane(value, findings) : null;
  const problems = findings.problems();
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0 || read === null)
    throw new Error(
      errors.length === 0 ? `${file}: is not a map, which a Dataplane has to be` : errors.map(formatProblem).join('\n'),
    );
  const plain = plainYaml(file, text);
  if (plain.kind === 'wrong') throw new Error(plain.why);
  return { ...read, json: JSON.stringify(plain.map), warnings: problems.map(formatProblem) };
}

function readDataplane(map: MapValue, findings: Findings): Required<Pick<ProxyResource, 'name' | 'mesh' | 'workload'>> {
  const top = opened(map, '', findings);
  const type = top.text('type');
  if (type !== 'Dataplane') {
    // The fields of another kind are not checked.
    const hint = type === 'ZoneEgress' ? '; a ZoneEgress goes with --proxy-type=egress, up to Kuma 2.14' : '';
    const isKubernetes = type === undefined && map.entries.has('kind');
    top.error(
      'type',
      isKubernetes
        ? 'is missing: a proxy brings a resource in Universal form, with `type: Dataplane`'
        : `must be Dataplane for --proxy-type=dataplane${hint}`,
    );
    return { name: '', mesh: '', workload: null };
  }
  const name = top.text('name') ?? '';
  const mesh = top.text('mesh') ?? '';
  if (name === '') top.error('name', 'must not be empty');
  if (mesh === '') top.error('mesh', 'must not be empty: a Dataplane is of one mesh');
  const labels = top.tags('labels');
  if (labels?.tags.has(WORKLOAD) !== true)
    top.warn('labels', `has no ${WORKLOAD}, which a MeshIdentity with its default path asks for`);
  const networking = map.entries.get('networking')?.value;
  if (networking?.kind !== 'map') top.error('networking', 'must be a map with `address` and `listeners`');
  else readNetworking(networking, findings);
  return { name, mesh, workload: labels?.tags.get(WORKLOAD) ?? null };
}

function readNetworking(map: MapValue, findings: Findings): void {
  const networking = opened(map, 'networking', findings);
  const address = networking.text('address') ?? '';
  if (address === '') networking.error('address', 'must not be empty');
  if (address === '0.0.0.0' || address === '::') networking.error('address', 'must not be 0.0.0.0 or ::');
  const listeners = networking.objects('listeners', ['type', 'name', 'address', 'port', 'state']) ?? [];
  const places = new Set<string>();
  for (const listener of listeners) readListener(listener, address, places);
  const egresses = listeners.filter((each) => each.text('type') === 'ZoneEgress');
  if (egresses.length === 0)
    networking.error('listeners', 'must have one with `type: ZoneEgress`: without it this Dataplane is no zone egress');
  if (egresses.length > 1) egresses[1]?.warn('type', 'is a second ZoneEgress listener: only the first is served');
  if (networking.has('inbound')) networking.warn('inbound', 'is not served: this egress is no sidecar');
}

function readListener(listener: Fields, address: string, places: Set<string>): void {
  const type = listener.text('type') ?? '';
  if (!LISTENER_TYPES.includes(type)) listener.error('type', `must be one of ${LISTENER_TYPES.join(', ')}`);
  if (type === 'ZoneIngress') listener.warn('type', 'ZoneIngress is not served: this is a zone egress only');
  const port = listener.count('port') ?? 0;
  if (!isPort(port)) listener.error('port', 'port must be in the range [1, 65535]');
  const own = listener.text('address') ?? address;
  if (own === '0.0.0.0' || own === '::') listener.error('address', 'must not be 0.0.0.0 or ::');
  const place = `${own}:${port}`;
  if (places.has(place)) listener.error('port', `${place} is that of another listener of this Dataplane`);
  places.add(place);
}

/** Opens a map with any fields: the control plane knows the others. */
function opened(map: MapValue, path: string, findings: Findings): Fields {
  return openFields(map, path, [...map.entries.keys()], findings);
}
