import { hash } from 'node:crypto';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { Acceptance, AdsState, AdsType, Held } from '../messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../messages/ads-state.ts';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { AdsResponse, SentResource } from './protocol.ts';
import { RemarkMemory } from './remark-memory.ts';
import { endpointResourceName, secretNamesOfCluster, secretNamesOfListener } from '../messages/resource-names.ts';

/**
 * Decodes and checks one resource of each type. It never throws: a resource that cannot be decoded
 * is refused with an empty name.
 */
export interface Accept {
  readonly cluster: (any: Any) => Acceptance<Cluster>;
  readonly endpoint: (any: Any) => Acceptance<ClusterLoadAssignment>;
  readonly listener: (any: Any) => Acceptance<Listener>;
  readonly secret: (any: Any) => Acceptance<Secret>;
}

export interface RefusedResource {
  /** Empty where not even a name could be read: then no part of the response is applied. */
  readonly name: string;
  readonly why: string;
}

interface Applied {
  readonly refused: readonly RefusedResource[];
  /** Only new ones: a remark on the same resource is not repeated. */
  readonly remarks: readonly { readonly name: string; readonly remark: string }[];
}

/** A resource that another one needs to go live. */
export interface Need {
  readonly type: 'endpoint' | 'secret';
  readonly name: string;
}

interface Needs {
  readonly endpoint: string | null;
  readonly secrets: readonly string[];
}

interface ByType {
  cluster: Map<string, Held<Cluster>>;
  endpoint: Map<string, Held<ClusterLoadAssignment>>;
  listener: Map<string, Held<Listener>>;
  secret: Map<string, Held<Secret>>;
}

const NOTHING: Needs = { endpoint: null, secrets: [] };

/**
 * The resources that a control plane has sent, and the live part of them. `state` is the published
 * part: it has a cluster once its endpoints are there, and a listener once its secrets are; until
 * then it has the version before. Clusters and listeners go when a response lacks them; endpoints
 * and secrets go when nothing refers to them. A chain may refer to a removed cluster until its
 * listener follows. From a response with a refused resource the good ones are applied, as Envoy
 * does, and the version stays.
 */
export class HeldResources {
  readonly #accept: Accept;
  readonly #known: ByType = { cluster: new Map(), endpoint: new Map(), listener: new Map(), secret: new Map() };
  /** The versions of the known resources, as the control plane sent them. */
  readonly #versions: Readonly<Record<AdsType, Map<string, string>>> = {
    cluster: new Map(),
    endpoint: new Map(),
    listener: new Map(),
    secret: new Map(),
  };
  readonly #needs = new WeakMap<Held<unknown>, Needs>();
  readonly #remarks = new RemarkMemory();
  /** Needs that are no longer waited for. */
  readonly #released = new Set<string>();
  #state: AdsState = {
    clusters: new Map(),
    endpoints: new Map(),
    listeners: new Map(),
    secrets: new Map(),
    versions: { cluster: '', endpoint: '', listener: '', secret: '' },
  };
  /** Stored by #settle, because they are read more often than they change. */
  #wanted: Readonly<Record<Need['type'], readonly string[]>> = { endpoint: [], secret: [] };
  #missing: Readonly<Record<'cluster' | 'listener', readonly Need[]>> = { cluster: [], listener: [] };

  constructor(accept: Accept) {
    this.#accept = accept;
  }

  get state(): AdsState {
    return this.#state;
  }

  /** Returns, sorted, what the known and the live clusters and listeners need. */
  wanted(type: Need['type']): readonly string[] {
    return this.#wanted[type];
  }

  /** Returns what a new stream need not send again; refused resources are not in it. */
  versions(type: AdsType): ReadonlyMap<string, string> {
    return this.#versions[type];
  }

  /** `wall`: milliseconds since the Unix epoch. */
  apply(type: AdsType, answer: AdsResponse, wall: number): Applied {
    const applied = this.#applyType(type, answer, wall);
    if (applied.refused.length === 0 && this.#state.versions[type] !== answer.version)
      this.#state = { ...this.#state, versions: { ...this.#state.versions, [type]: answer.version } };
    this.#settle();
    return applied;
  }

  /** Stops waiting for these: resources that need them go live without them. */
  release(needs: readonly Need[]): void {
    for (const need of needs) this.#released.add(keyOf(need));
    this.#settle();
  }

  /** Returns what the known resources that are not live still need. */
  missing(of: 'cluster' | 'listener'): readonly Need[] {
    return this.#missing[of];
  }

  #applyType(type: AdsType, answer: AdsResponse, wall: number): Applied {
    switch (type) {
      case 'cluster':
        return this.#take(type, this.#known.cluster, this.#state.clusters, answer, wall, this.#accept.cluster, (cluster) => ({
          endpoint: endpointResourceName(cluster),
          secrets: secretNamesOfCluster(cluster),
        }));
      case 'listener':
        return this.#take(type, this.#known.listener, this.#state.listeners, answer, wall, this.#accept.listener, (listener) => ({
          endpoint: null,
          secrets: secretNamesOfListener(listener),
        }));
      case 'endpoint':
        return this.#take(type, this.#known.endpoint, this.#state.endpoints, answer, wall, this.#accept.endpoint, () => NOTHING);
      case 'secret':
        return this.#take(type, this.#known.secret, this.#state.secrets, answer, wall, this.#accept.secret, () => NOTHING);
      default:
        return type satisfies never;
    }
  }

  #take<Resource>(
    type: AdsType,
    known: Map<string, Held<Resource>>,
    live: ReadonlyMap<string, Held<Resource>>,
    { resources, removed, isWhole }: AdsResponse,
    wall: number,
    accept: (any: Any) => Acceptance<Resource>,
    needsOf: (resource: Resource) => Needs,
  ): Applied {
    const unchanged = new Map([...live.values(), ...known.values()].map((held) => [held.hash, held]));
    const isNamed = type === 'endpoint' || type === 'secret';
    const wanted = new Set(isNamed ? this.#wanted[type] : []);
    const gone = new Set(removed);
    const next = new Map<string, Held<Resource>>();
    const versions = new Map<string, string>();
    const refused: RefusedResource[] = [];
    const remarks = new Map<string, readonly string[]>();
    for (const sent of resources) {
      const sha256 = hash('sha256', sent.any.value, 'hex');
      const same = unchanged.get(sha256);
      const judged: Acceptance<Resource> =
        same === undefined || sent.any.typeUrl !== TYPE_URLS[type]
          ? judge(accept, type, sent)
          : { kind: 'accepted', name: same.name, resource: same.resource, remarks: [] };
      const { name, why } = named(judged, sent.name);
      // A resource without a name cannot be told apart from the others.
      if (name === '') return whole(why ?? 'a resource has no name');
      if (isNamed && !wanted.has(name)) continue;
      const twice = next.has(name) ? `duplicate ${type} ${name} found` : null;
      const both = gone.has(name) ? `${type} ${name} is sent and removed in the same response` : null;
      const refusal = why ?? twice ?? both;
      if (refusal !== null || judged.kind === 'refused') {
        refused.push({ name, why: refusal ?? '' });
        continue;
      }
      const held = same ?? { name, resource: judged.resource, hash: sha256, version: sent.version, updatedAt: wall };
      if (same === undefined) {
        this.#needs.set(held, needsOf(judged.resource));
        remarks.set(name, judged.remarks);
      }
      next.set(name, held);
      versions.set(name, sent.version);
    }
    // Refused resources stay as they were.
    const stays = new Set(refused.map(({ name }) => name));
    const isGone = (name: string): boolean => !stays.has(name) && (isWhole ? !next.has(name) : gone.has(name));
    if (isNamed) {
      // Only the resources that refer to one remove it; but one that does not exist is not awaited.
      for (const name of [...stays, ...gone]) if (!known.has(name)) this.#released.add(keyOf({ type, name }));
    } else {
      for (const name of known.keys()) if (isGone(name)) known.delete(name);
    }
    for (const name of gone) if (!stays.has(name)) this.#versions[type].delete(name);
    for (const [name, held] of next) known.set(name, held);
    for (const [name, version] of versions) this.#versions[type].set(name, version);
    return {
      refused,
      remarks: [...remarks].flatMap(([name, said]) => this.#remarks.fresh(type, name, said).map((remark) => ({ name, remark }))),
    };
  }

  /** Publishes complete resources, then drops resources that nothing needs any more. */
  #settle(): void {
    const missing = { cluster: new Map<string, Need>(), listener: new Map<string, Need>() };
    const clusters = this.#live(this.#state.clusters, this.#known.cluster, missing.cluster);
    const listeners = this.#live(this.#state.listeners, this.#known.listener, missing.listener);
    this.#missing = { cluster: [...missing.cluster.values()], listener: [...missing.listener.values()] };
    const wanted = { endpoint: new Set<string>(), secret: new Set<string>() };
    const live = { endpoint: new Set<string>(), secret: new Set<string>() };
    for (const held of [...this.#known.cluster.values(), ...this.#known.listener.values()]) this.#add(wanted, held);
    for (const held of [...clusters.values(), ...listeners.values()]) {
      this.#add(wanted, held);
      this.#add(live, held);
    }
    this.#wanted = { endpoint: [...wanted.endpoint].sort(), secret: [...wanted.secret].sort() };
    for (const name of this.#known.endpoint.keys()) if (!wanted.endpoint.has(name)) this.#known.endpoint.delete(name);
    for (const name of this.#known.secret.keys()) if (!wanted.secret.has(name)) this.#known.secret.delete(name);
    for (const key of this.#released) {
      const { type, name } = needOf(key);
      if (!wanted[type].has(name) || this.#known[type].has(name)) this.#released.delete(key);
    }
    for (const type of ADS_TYPES) {
      this.#remarks.keepOnly(type, this.#known[type]);
      for (const name of this.#versions[type].keys()) if (!this.#known[type].has(name)) this.#versions[type].delete(name);
    }
    const { versions } = this.#state;
    const next = {
      clusters: sameOr(this.#state.clusters, clusters),
      endpoints: sameOr(this.#state.endpoints, only(this.#known.endpoint, live.endpoint)),
      listeners: sameOr(this.#state.listeners, listeners),
      secrets: sameOr(this.#state.secrets, only(this.#known.secret, live.secret)),
      versions,
    };
    const before = this.#state;
    const changed = (['clusters', 'endpoints', 'listeners', 'secrets'] as const).some((each) => next[each] !== before[each]);
    if (changed) this.#state = next;
  }

  /** Adds what a resource lacks to `missing`, and keeps its previous version in place. */
  #live<Resource>(
    before: ReadonlyMap<string, Held<Resource>>,
    known: ReadonlyMap<string, Held<Resource>>,
    missing: Map<string, Need>,
  ): Map<string, Held<Resource>> {
    const live = new Map<string, Held<Resource>>();
    for (const [name, held] of known) {
      const old = before.get(name);
      const lacks = old === held ? [] : this.#lacks(held);
      for (const need of lacks) missing.set(keyOf(need), need);
      const shown = lacks.length === 0 ? held : old;
      if (shown !== undefined) live.set(name, shown);
    }
    return live;
  }

  #lacks(held: Held<unknown>): readonly Need[] {
    const { endpoint, secrets } = this.#needs.get(held) ?? NOTHING;
    const needs: Need[] = secrets.filter((name) => !this.#known.secret.has(name)).map((name) => ({ type: 'secret', name }));
    if (endpoint !== null && !this.#known.endpoint.has(endpoint)) needs.push({ type: 'endpoint', name: endpoint });
    return needs.filter((need) => !this.#released.has(keyOf(need)));
  }

  #add(names: Record<Need['type'], Set<string>>, held: Held<unknown>): void {
    const { endpoint, secrets } = this.#needs.get(held) ?? NOTHING;
    if (endpoint !== null) names.endpoint.add(endpoint);
    for (const name of secrets) names.secret.add(name);
  }
}

/** A fault in the check of one resource must not end the process. */
function judge<Resource>(accept: (any: Any) => Acceptance<Resource>, type: AdsType, { any }: SentResource): Acceptance<Resource> {
  if (any.typeUrl !== TYPE_URLS[type])
    return { kind: 'refused', name: '', why: `a resource has the type ${any.typeUrl}, not ${TYPE_URLS[type]}` };
  try {
    return accept(any);
  } catch (error) {
    return {
      kind: 'refused',
      name: '',
      why: `a resource could not be read: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

/**
 * Returns the name of a resource, and why it is refused, if it is. The name beside a resource
 * counts, because the control plane uses it.
 */
function named(judged: Acceptance<unknown>, beside: string): { readonly name: string; readonly why: string | null } {
  const why = judged.kind === 'refused' ? judged.why : null;
  if (beside === '' || beside === judged.name) return { name: judged.name, why };
  return { name: beside, why: why ?? `the resource has the name ${JSON.stringify(judged.name)} inside` };
}

/** Makes the result for a response of which nothing can be applied. */
function whole(why: string): Applied {
  return { refused: [{ name: '', why }], remarks: [] };
}

function keyOf({ type, name }: Need): string {
  return `${type} ${name}`;
}

function needOf(key: string): Need {
  const name = key.slice(key.indexOf(' ') + 1);
  return { type: key.startsWith('endpoint ') ? 'endpoint' : 'secret', name };
}

function only<Value>(map: ReadonlyMap<string, Value>, names: ReadonlySet<string>): Map<string, Value> {
  return new Map([...map].filter(([name]) => names.has(name)));
}

/** Returns `before` when nothing changed, so that equal maps are the same object. */
function sameOr<Value>(before: ReadonlyMap<string, Value>, after: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
  if (before.size !== after.size) return after;
  for (const [name, value] of after) if (before.get(name) !== value) return after;
  return before;
}
