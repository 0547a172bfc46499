/**
 * Reads responses of a recording as JSON, and adds what it left out: resources and chains that did
 * not change, and chains that changed like their neighbours.
 */
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';

/** Reads responses as `load` returns them; they must be read in their order. */
export function recordedJson(load: (file: string) => Promise<JsonObject>): (file: string) => Promise<JsonObject> {
  const parsed = new Map<string, Promise<JsonObject>>();
  /** Keyed by name, as they were sent last. */
  const listeners = new Map<JsonValue, JsonObject>();

  function read(file: string): Promise<JsonObject> {
    const known = parsed.get(file) ?? load(file).then(whole);
    parsed.set(file, known);
    return known;
  }
  async function whole(response: JsonObject): Promise<JsonObject> {
    const resources: JsonObject[] = [];
    for (const each of objects(response['resources'])) {
      const inner = each['resource'];
      const wrapped = typeof inner === 'object' && inner !== null && !Array.isArray(inner);
      const resource = await restored(wrapped ? { name: nameOf(each), ...inner } : each);
      resources.push(wrapped ? { ...each, resource } : resource);
    }
    return { ...response, resources };
  }
  async function restored(resource: JsonObject): Promise<JsonObject> {
    const from = resource['@unchanged'];
    if (typeof from === 'string') return named(await read(from), resource);
    if (resource['filterChains'] === undefined) return resource;
    const chains: JsonObject[] = [];
    for (const [at, chain] of objects(resource['filterChains']).entries()) {
      const source = chain['@unchanged'];
      const listener = typeof source === 'string' ? named(await read(source), resource) : null;
      chains.push(listener === null ? chain : chainOf(listener, chain, at));
    }
    const before = listeners.get(nameOf(resource));
    const kept = chains.filter((chain) => chain['@omitted'] === undefined);
    const filterChains = chains.map((chain, at) =>
      chain['@omitted'] === undefined ? chain : likeNeighbours(before === undefined ? {} : chainOf(before, chain, at), kept),
    );
    const complete = { ...resource, filterChains };
    listeners.set(nameOf(resource), complete);
    return complete;
  }
  return read;
}

function named(response: JsonObject, wanted: JsonObject): JsonObject {
  const all = objects(response['resources']).map((each) => {
    const inner = each['resource'];
    return typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : each;
  });
  return found(all, (other) => nameOf(other) === nameOf(wanted), wanted);
}

/** Finds a chain by its server names, or by its place among those without. */
function chainOf(listener: JsonObject, chain: JsonObject, at: number): JsonObject {
  const wanted = JSON.stringify(chain['serverNames'] ?? []);
  const chains = objects(listener['filterChains']);
  const fits = (other: JsonObject | undefined): boolean =>
    other !== undefined && JSON.stringify(serverNamesOf(other) ?? []) === wanted;
  return found(chains, (other) => (fits(chains[at]) ? other === chains[at] : fits(other)), chain);
}

/** The rule set of a mesh is the same in all chains of one kind: of connections, or of requests. */
function likeNeighbours(chain: JsonObject, neighbours: readonly JsonObject[]): JsonObject {
  const rules = new Map(neighbours.flatMap((each) => filtersIn(each).filter(isRbac)).map((filter) => [typeOf(filter), filter]));
  const replaced = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return value.map(replaced);
    if (typeof value !== 'object' || value === null) return value;
    if (isRbac(value)) return rulesInto(value, rules.get(typeOf(value)));
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, replaced(each)]));
  };
  return replaced(chain) as JsonObject;
}

const RULES: readonly string[] = ['matcher', 'rules', 'shadowMatcher', 'shadowRules'];

function rulesInto(filter: JsonObject, neighbour: JsonObject | undefined): JsonObject {
  if (neighbour === undefined) throw new Error(`read a recording: no neighbour has rules for ${JSON.stringify(filter['name'])}`);
  const config = neighbour['typedConfig'] as JsonObject;
  const own = Object.entries(filter['typedConfig'] as JsonObject).filter(([key]) => !RULES.includes(key));
  const theirs = Object.entries(config).filter(([key]) => RULES.includes(key));
  return { ...filter, typedConfig: Object.fromEntries([...own, ...theirs]) };
}

/** Returns the filters of a chain, and those inside of its HTTP connection manager. */
function filtersIn(value: JsonValue): readonly JsonObject[] {
  if (Array.isArray(value)) return value.flatMap(filtersIn);
  if (typeof value !== 'object' || value === null) return [];
  const own = value['typedConfig'] === undefined ? [] : [value];
  return [...own, ...Object.values(value).flatMap(filtersIn)];
}

function isRbac(filter: JsonObject): boolean {
  return /\.rbac\.v3\.RBAC$/.test(typeOf(filter));
}

function typeOf(filter: JsonObject): string {
  const config = filter['typedConfig'];
  const type = typeof config === 'object' && config !== null && !Array.isArray(config) ? config['@type'] : undefined;
  return typeof type === 'string' ? type : '';
}

function found(among: readonly JsonObject[], fits: (candidate: JsonObject) => boolean, wanted: JsonObject): JsonObject {
  const match = among.find(fits);
  if (match === undefined) throw new Error(`read a recording: nothing is there for ${JSON.stringify(wanted)}`);
  return match;
}

function serverNamesOf(chain: JsonObject): JsonValue | undefined {
  const match = chain['filterChainMatch'];
  return typeof match === 'object' && match !== null && !Array.isArray(match) ? match['serverNames'] : undefined;
}

function nameOf(resource: JsonObject): JsonValue {
  return resource['name'] ?? resource['clusterName'] ?? '';
}

function objects(value: JsonValue | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? (value as JsonObject[]) : [];
}
