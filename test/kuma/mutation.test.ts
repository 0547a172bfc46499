/**
 * Tests the comparison itself: one leaf of each kind is changed, in the result and in Envoy's own
 * configuration, and the change must be found. The list at the end has the parts of Envoy's
 * configuration that may change without an effect here.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { KUMA, LIVE, withKuma } from '../data.ts';
import { adsResources } from './ads-state.ts';
import { compare } from './compare.ts';
import { goldenResources, readResources } from './from-envoy.ts';
import type { EnvoyRouting, Named } from './from-envoy.ts';
import { NOT_BUILT } from './model.ts';

/** Everything that the recording and the goldens of policies contain. */
function everything(): readonly Named[] {
  const policies = (file: string): readonly Named[] => goldenResources(readFileSync(new URL(`policies/${file}`, KUMA), 'utf8'));
  const renamed = (file: string, prefix: string): readonly Named[] =>
    policies(file).map(({ name, resource }) => ({
      name: prefix + name,
      resource: { ...(resource as object), name: prefix + name },
    }));
  return [
    ...adsResources(new URL('ads/sotw/', LIVE), 12),
    ...renamed('meshcircuitbreaker-mes-egress-cluster.yaml', 'breaker '),
    ...renamed('meshhealthcheck-mes-egress-cluster.yaml', 'check '),
    ...goldenResources(readFileSync(new URL('policies/meshtrafficpermission-apply-ze-listener-with-mtp.yaml', KUMA), 'utf8')),
  ];
}

interface Leaf {
  readonly path: readonly string[];
  readonly value: string | number | boolean;
}

function leaves(value: unknown, path: readonly string[] = []): readonly Leaf[] {
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? [{ path, value }] : [];
}

function changed(value: Leaf['value']): Leaf['value'] {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value + 1;
  if (/^\d+(?:\.\d+)?s$/.test(value)) return '7.5s';
  return /^[A-Za-z0-9+/=]{200,}$/.test(value) ? Buffer.from('other').toString('base64') : `${value}x`;
}

function withLeaf(root: unknown, [key, ...rest]: readonly string[], value: Leaf['value']): unknown {
  if (key === undefined) return value;
  const copy: unknown = Array.isArray(root) ? [...(root as unknown[])] : { ...(root as object) };
  const fields = copy as Record<string, unknown>;
  fields[key] = withLeaf(fields[key], rest, value);
  return copy;
}

/** The first leaf of each kind: indices, and arbitrary names, do not make a kind. */
function oneOfEachKind(root: unknown, kindOf: (path: readonly string[]) => string): ReadonlyMap<string, Leaf> {
  const kinds = new Map<string, Leaf>();
  for (const leaf of leaves(root)) {
    const kind = kindOf(leaf.path);
    if (!kinds.has(kind)) kinds.set(kind, leaf);
  }
  return kinds;
}

const isIndex = (step: string): boolean => /^\d+$/.test(step);

t.test('a change in one field of a model is one line, with the path of that field', withKuma, async (t) => {
  const { routes, clusters } = readResources(everything());
  const model = { routes, clusters };
  const kinds = oneOfEachKind(model, (path) =>
    path
      .filter((step, i) => i !== 1 && !isIndex(step) && path[i - 1] !== 'tags' && path[i - 1] !== 'subset')
      .join('.')
      .replace(/^clusters|^routes\.cluster/, 'cluster'),
  );
  for (const [kind, { path, value }] of kinds) {
    const { differences } = compare(model, withLeaf(model, path, changed(value)));
    const shown = path.map((step) =>
      isIndex(step) ? `[${step}]` : /^\w+$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`,
    );
    t.same(
      differences,
      [`${shown.join('')}: expected ${JSON.stringify(value)}, got ${JSON.stringify(changed(value))}`],
      `${kind} is compared`,
    );
  }
  t.ok(kinds.size >= 45, `${kinds.size} kinds of field`);
});

t.test('an element too many or too few is found', async (t) => {
  const list = { a: [1, 2], b: { x: 'y' } };
  t.same(compare(list, { a: [1], b: {} }).differences, ['.a[1]: expected 2, got nothing', '.b.x: expected "y", got nothing']);
  t.same(compare({ a: [1], b: {} }, list).differences, ['.a[1]: expected nothing, got 2', '.b.x: expected nothing, got "y"']);
});

t.test('what is not built is listed where the other side has something, and never counts as equal', async (t) => {
  const { differences, notBuilt } = compare({ a: { x: 1 }, b: null, c: [] }, { a: NOT_BUILT, b: NOT_BUILT, c: NOT_BUILT });
  t.same(differences, []);
  t.same(notBuilt, ['.a: expected {"x":1}, not built']);
});

/** Names without a meaning, parts of HTTP, and parts that Envoy itself ignores here. */
const WITHOUT_MEANING: readonly RegExp[] = [
  /@type$/,
  /[sS]tatPrefix$|altStatName$/,
  /^Listener\.(?:name|address|trafficDirection|enableReusePort)/,
  /^Listener\.filterChains\.name$/,
  /\.name$/,
  /clusterName$/,
  /edsClusterConfig|sdsConfig/,
  /internalAddressConfig/,
  /routeConfig\.(?:validateClusters|request\w+)/,
  /metadataMatch\.filterMetadata\.envoy\.lb\.mesh$/,
  /circuitBreakers\.thresholds\.(?:maxConnectionPools|maxRequests|maxRetries|trackRemaining)$/,
  /subZone$/,
  // The only one of its kind is about another chain.
  /httpFilters\..*singlePredicate\.valueMatch\.exact$/,
  /outlierDetection\.enforcing(?:SuccessRate|FailurePercentage)$/,
];

t.test('a change of Envoy’s configuration is a difference or is unread, except where it has no meaning', withKuma, async (t) => {
  const resources = everything();
  const before = readResources(resources);
  t.same(before.unread, []);
  const type = (index = ''): string =>
    (resources[Number(index)]?.resource as { '@type': string })['@type'].split('.').at(-1) ?? '';
  const kinds = oneOfEachKind(resources, (path) =>
    [type(path[0]), ...path.slice(2).filter((step) => !isIndex(step))].join('.').replace(/(policies\.)[^.]+/, '$1NAME'),
  );
  const silent: string[] = [];
  for (const [kind, { path, value }] of kinds) {
    if (path[1] === 'name' || isOwn(resources, path[0])) continue;
    const after = readResources(withLeaf(resources, path, changed(value)) as readonly Named[]);
    if (same(before, after)) silent.push(kind);
  }
  t.same(
    silent.filter((kind) => !WITHOUT_MEANING.some((known) => known.test(kind))),
    [],
  );
  t.ok(kinds.size - silent.length >= 60, `${kinds.size} kinds of leaf, ${silent.length} of them without a meaning here`);
});

/** Belongs to the proxy itself, which is not read. */
function isOwn(resources: readonly Named[], index = ''): boolean {
  return /^kuma:/.test(resources[Number(index)]?.name ?? '');
}

function same(before: EnvoyRouting, after: EnvoyRouting): boolean {
  return compare(before, after).differences.length === 0;
}
