import { parseAllDocuments, isMap, isSeq } from 'yaml';
import type { Document, YAMLMap } from 'yaml';
import { durationSeconds } from './duration.ts';

/** A change of the manifests that the chart of Kuma or Kong Mesh renders. */
export interface Replacement {
  readonly image: string;
}

/** The time that the kubelet has to wait after the drain. */
const AFTER_DRAIN_SECONDS = 15;
const DEFAULT_DRAIN = '30s';
/** Tells the egress, which warns of a drain time that does not fit. */
const GRACE = 'ZONE_EGRESS_GRACE_PERIOD';

/**
 * Returns the same manifests with this egress in place of kuma-dp in each Deployment with
 * `KUMA_DATAPLANE_PROXY_TYPE=egress`, under any name. All else keeps its text. Throws without such
 * a Deployment: otherwise an installation would seem to have the change.
 */
export function replaceEgress(text: string, { image }: Replacement): string {
  const documents = parseAllDocuments(text);
  if (!Array.isArray(documents)) return text;
  for (const { errors } of documents)
    if (errors[0] !== undefined) throw new Error(`standard input is not YAML: ${errors[0].message}`);
  let replaced = 0;
  const texts = documents.map((document) => {
    const container = egressContainer(document);
    if (container === null) return textOf(document, text);
    change(document, container, image);
    replaced++;
    return document.toString({ lineWidth: 0, directives: false });
  });
  if (replaced === 0)
    throw new Error(
      'no Deployment runs a container with KUMA_DATAPLANE_PROXY_TYPE=egress: is egress.enabled set in the values of the chart?',
    );
  return texts.map((each) => `---\n${each.trim()}\n`).join('');
}

function textOf(document: Document.Parsed, all: string): string {
  const [start = 0, , end = 0] = document.range;
  return all
    .slice(start, end)
    .replace(/^---.*\n/, '')
    .replace(/\n(---|\.\.\.)\s*$/, '\n');
}

function egressContainer(document: Document.Parsed): YAMLMap | null {
  if (document.get('kind') !== 'Deployment') return null;
  const containers = document.getIn(['spec', 'template', 'spec', 'containers']);
  if (!isSeq(containers)) return null;
  const found = containers.items.filter(isMap).find((container) => variable(container, 'KUMA_DATAPLANE_PROXY_TYPE') === 'egress');
  return found ?? null;
}

function variable(container: YAMLMap, name: string): string | null {
  const env = container.get('env');
  if (!isSeq(env)) return null;
  const value = env.items
    .filter(isMap)
    .find((each) => each.get('name') === name)
    ?.get('value');
  return typeof value === 'string' ? value : null;
}

function change(document: Document.Parsed, container: YAMLMap, image: string): void {
  const drain = durationSeconds(variable(container, 'KUMA_DATAPLANE_DRAIN_TIME') ?? DEFAULT_DRAIN);
  container.set('image', image);
  for (const [path, value] of [
    ['allowPrivilegeEscalation', false],
    ['readOnlyRootFilesystem', true],
    ['capabilities', { drop: ['ALL'] }],
  ] as const)
    container.setIn(['securityContext', path], document.createNode(value));
  const pod = ['spec', 'template', 'spec'];
  document.setIn([...pod, 'securityContext', 'seccompProfile'], document.createNode({ type: 'RuntimeDefault' }));
  // Kubernetes allows 30 s where none is written, even when the drain takes longer.
  const grace = Math.ceil(drain) + AFTER_DRAIN_SECONDS;
  document.setIn([...pod, 'terminationGracePeriodSeconds'], grace);
  setVariable(document, container, GRACE, `${grace}s`);
}

function setVariable(document: Document.Parsed, container: YAMLMap, name: string, value: string): void {
  const env = container.get('env');
  if (!isSeq(env)) throw new Error('the container of the egress has no list env');
  const found = env.items.filter(isMap).find((each) => each.get('name') === name);
  if (found === undefined) env.add(document.createNode({ name, value }));
  else found.set('value', value);
}
