import { formatProblem } from '../base/problem.ts';
import { documentsIn } from '../resources/document.ts';
import { createFindings } from '../resources/findings.ts';
import { readZoneEgress } from '../resources/kinds/zone-egress.ts';
import { parseYaml } from '../resources/yaml.ts';

export interface ProxyResource {
  readonly name: string;
  /** Mesh of a Dataplane; absent for a ZoneEgress, which belongs to no mesh. */
  readonly mesh?: string;
  /** The workload of a Dataplane; null without the label. */
  readonly workload?: string | null;
  /** In the form for a control plane. */
  readonly json: string;
  /** One line each. */
  readonly warnings: readonly string[];
}

/**
 * Reads a ZoneEgress from a rendered template in Universal form; null for an empty template. Throws
 * every problem, one on each line; `file` is the operator's name of the text.
 */
export function readProxyResource(file: string, text: string): ProxyResource | null {
  const findings = createFindings(false);
  const values = parseYaml({ path: file, text }, findings);
  const [value] = values;
  if (value === undefined && findings.problems().length === 0) return null;
  if (values.length > 1) throw new Error(`${file}: has ${values.length} documents; allowed is one, the ZoneEgress`);
  const type = value?.kind === 'map' ? value.entries.get('type')?.value : undefined;
  if (type?.kind === 'scalar' && type.value !== 'ZoneEgress')
    throw new Error(
      `invalid proxy resource type ${JSON.stringify(String(type.value))}, expected ZoneEgress${type.value === 'Dataplane' ? '; a Dataplane with a ZoneEgress listener goes with --proxy-type=dataplane' : ''}`,
    );
  const [document] = value === undefined ? [] : documentsIn(value, findings);
  if (document !== undefined && document.meta.form !== 'universal')
    throw new Error(`${file}: is in Kubernetes form; a proxy brings a resource in Universal form, with \`type: ZoneEgress\``);
  const egress = document === undefined ? null : readZoneEgress(document);
  const problems = findings.problems();
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0 || egress === null) throw new Error(errors.map(formatProblem).join('\n'));
  const { meta, zone, address, port, adminPort } = egress;
  const json = JSON.stringify({
    type: 'ZoneEgress',
    name: meta.name,
    ...(meta.labels.size === 0 ? {} : { labels: Object.fromEntries(meta.labels) }),
    ...(zone === '' ? {} : { zone }),
    networking: { ...(address === '' ? {} : { address }), port, admin: { port: adminPort } },
  });
  return { name: meta.name, json, warnings: problems.map(formatProblem) };
}
