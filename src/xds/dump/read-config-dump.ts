/**
 * Reads the page `/config_dump`, of Envoy or of this egress, as the state that its control plane
 * gave. Secrets are not in it: what stands in the place of a private key is replaced by a pair of
 * the caller, so that the rest of the cluster can be read.
 */
import { createHash } from 'node:crypto';
import { fromJson } from '@bufbuild/protobuf';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import { acceptCluster } from '../accept/accept-cluster.ts';
import { acceptListener } from '../accept/accept-listener.ts';
import type { Acceptance, AdsState, Held } from '../messages/ads-state.ts';
import { ANY_TYPES } from '../messages/any-types.ts';

export interface DumpRead {
  readonly state: AdsState;
  /** The resource of the proxy, as its node has it; null where it has none. */
  readonly resource: JsonObject | null;
  /** One sentence for each part that could not be read. */
  readonly problems: readonly string[];
}

/** PEM. */
export interface StandInPair {
  readonly cert: string;
  readonly key: string;
}

/** Throws, with a sentence, where the text is no dump of a configuration. */
export function readConfigDump(text: string, pair: StandInPair): DumpRead {
  const configs = listIn(parsed(text), 'configs');
  if (configs.length === 0) throw new Error('it has no `configs`, so it is no /config_dump');
  const problems: string[] = [];
  const section = (type: string): JsonObject =>
    configs.find((config) => config['@type'] === `type.googleapis.com/envoy.admin.v3.${type}`) ?? {};
  const clusters = listIn(section('ClustersConfigDump'), 'dynamic_active_clusters').map((item) => objectIn(item, 'cluster'));
  const listeners = listIn(section('ListenersConfigDump'), 'dynamic_listeners').map((item) =>
    objectIn(objectIn(item, 'active_state'), 'listener'),
  );
  const held = <Resource>(
    resources: readonly JsonObject[],
    accept: (any: Any) => Acceptance<Resource>,
  ): Map<string, Held<Resource>> =>
    new Map(
      resources.flatMap((json) => {
        const read = heldOf(json, { accept, pair });
        if (typeof read !== 'string') return [[read.name, read] as const];
        problems.push(read);
        return [];
      }),
    );
  return {
    state: {
      clusters: held(clusters, acceptCluster),
      endpoints: new Map(),
      listeners: held(listeners, (any) => acceptListener(any)),
      secrets: new Map(),
      versions: { cluster: '', endpoint: '', listener: '', secret: '' },
    },
    resource: resourceOf(objectIn(objectIn(section('BootstrapConfigDump'), 'bootstrap'), 'node')),
    problems,
  };
}

function heldOf<Resource>(
  json: JsonObject,
  { accept, pair }: { readonly accept: (any: Any) => Acceptance<Resource>; readonly pair: StandInPair },
): Held<Resource> | string {
  const name = typeof json['name'] === 'string' ? json['name'] : 'a resource without a name';
  try {
    const any = fromJson(AnySchema, withPair(json, pair), { registry: ANY_TYPES, ignoreUnknownFields: true });
    const accepted = accept(any);
    if (accepted.kind === 'refused') return `${name}: ${accepted.why}`;
    const hash = createHash('sha256').update(any.value).digest('hex');
    return { name: accepted.name, resource: accepted.resource, hash, version: '', updatedAt: 0 };
  } catch (error) {
    return `${name}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Puts the pair in the place of each redacted key and of the certificate beside it. */
function withPair(value: JsonValue, pair: StandInPair): JsonValue {
  if (Array.isArray(value)) return value.map((item) => withPair(item, pair));
  if (!isObject(value)) return value;
  const hasKey = 'private_key' in value;
  return Object.fromEntries(
    Object.entries(value).map(([name, part]): [string, JsonValue] => {
      if (hasKey && name === 'private_key') return [name, { inline_string: pair.key }];
      if (hasKey && name === 'certificate_chain') return [name, { inline_string: pair.cert }];
      return [name, withPair(part, pair)];
    }),
  );
}

function resourceOf(node: JsonObject): JsonObject | null {
  const text = objectIn(node, 'metadata')['dataplane.resource'];
  if (typeof text !== 'string' || text === '') return null;
  try {
    const resource: unknown = JSON.parse(text);
    return isObject(resource) ? resource : null;
  } catch {
    return null;
  }
}

function parsed(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('it is no JSON');
  }
  if (!isObject(value)) throw new Error('it is no JSON object');
  return value;
}

function listIn(of: JsonObject, name: string): readonly JsonObject[] {
  const list = of[name];
  return Array.isArray(list) ? list.filter(isObject) : [];
}

function objectIn(of: JsonObject, name: string): JsonObject {
  const value = of[name];
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
