/** Reads requests and makes answers in the two forms of ADS, on the side of a control plane. */
import { Buffer } from 'node:buffer';
import { hash, randomUUID } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import { TYPE_URLS } from '../../xds/messages/ads-state.ts';
import type { AdsProtocol, AdsType } from '../../xds/messages/ads-state.ts';
import type { Node } from '#envoy/config/core/v3/base_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '#envoy/service/discovery/v3/discovery_pb.js';
import type { DeltaDiscoveryRequest, DiscoveryRequest } from '#envoy/service/discovery/v3/discovery_pb.js';

export type AdsRequestMessage = DiscoveryRequest | DeltaDiscoveryRequest;

/** A request of either form. */
export interface FakeAsk {
  readonly typeUrl: string;
  readonly node: Node | undefined;
  /** All names that are requested from now on; empty for the type as a whole. */
  readonly names: readonly string[];
  /** For delta, names that are requested again. */
  readonly again: readonly string[];
  readonly nonce: string;
  /** Empty in the delta form, where `initial` has a version for each resource. */
  readonly version: string;
  readonly initial: ReadonlyMap<string, string>;
  readonly error: string | null;
  readonly message: AdsRequestMessage;
}

/** The served resources of one type. */
export interface FakeServed {
  /** Counts what was served in turn; 0 when the type never had a resource. */
  readonly generation: number;
  readonly resources: ReadonlyMap<string, Any>;
  /** True adds a resource that no proxy can read. */
  readonly bad: boolean;
}

/** The state of one type on a stream. */
export interface FakeWatched {
  readonly ask: FakeAsk;
  /** True after the first answer. */
  readonly answered: boolean;
}

/** The state of one stream in one form: it remembers what the proxy has. */
export interface FakeForm {
  read(bytes: Uint8Array): FakeAsk;
  due(type: AdsType, served: FakeServed, watched: FakeWatched): boolean;
  answer(
    type: AdsType,
    served: FakeServed,
    watched: FakeWatched,
    nonce: string,
  ): { readonly versionInfo: string; readonly bytes: Uint8Array };
  /** Makes an answer with one resource that cannot be read, and nothing else. */
  garbage(type: AdsType, nonce: string): { readonly versionInfo: string; readonly bytes: Uint8Array };
}

export const FAKE_FORMS: Readonly<Record<AdsProtocol, () => FakeForm>> = { sotw: stateOfTheWorldForm, delta: deltaForm };

/** Field 1, length-delimited, longer than what follows: not a message. */
export const GARBAGE: Buffer = Buffer.from([0x0a, 0xff, 0xff, 0x7f, 0x00]);
const CONTROL_PLANE = { identifier: 'kuma-cp-fake' };
const UNREADABLE = 'unreadable';

function stateOfTheWorldForm(): FakeForm {
  const versions = new Map<AdsType, { readonly generation: number; readonly version: string }>();
  /**
   * Kuma makes the configuration of a proxy anew for each stream, so a version that a proxy already
   * has is never the current one.
   */
  function versionOf(type: AdsType, generation: number): string {
    const known = versions.get(type);
    if (known?.generation === generation) return known.version;
    const version = randomUUID();
    versions.set(type, { generation, version });
    return version;
  }
  function answer(type: AdsType, versionInfo: string, nonce: string, resources: Any[]) {
    const message = { versionInfo, resources, typeUrl: TYPE_URLS[type], nonce, controlPlane: CONTROL_PLANE };
    return { versionInfo, bytes: toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, message)) };
  }
  return {
    read(bytes) {
      const message = fromBinary(DiscoveryRequestSchema, bytes);
      const { typeUrl, node, resourceNames: names, responseNonce: nonce, versionInfo: version, errorDetail } = message;
      const error = errorDetail?.message ?? null;
      return { typeUrl, node, names, again: [], nonce, version, initial: new Map(), error, message };
    },
    due(type, { generation, resources }, { ask }) {
      if (generation === 0 || versionOf(type, generation) === ask.version) return false;
      // go-control-plane's ADS mode: no answer until all of them are requested.
      if (type !== 'endpoint' && type !== 'secret') return true;
      const names = new Set(ask.names);
      return names.size === 0 || [...resources.keys()].every((name) => names.has(name));
    },
    answer: (type, { generation, resources, bad }, _watched, nonce) =>
      answer(type, versionOf(type, generation), nonce, [...resources.values(), ...(bad ? [unreadable(type)] : [])]),
    garbage: (type, nonce) => answer(type, randomUUID(), nonce, [unreadable(type)]),
  };
}

/** Over 60 lines: one object over what a stream has sent; each of its methods is short. */
function deltaForm(): FakeForm {
  const names = new Map<string, Set<string>>();
  const isWhole = new Map<string, boolean>();
  /** The resources of the proxy, by type and name, including refused ones. */
  const sent = new Map<AdsType, Map<string, string>>();

  function changes(type: AdsType, { resources, bad }: FakeServed, { ask }: FakeWatched) {
    const has = sent.get(type) ?? new Map<string, string>();
    const whole = isWhole.get(TYPE_URLS[type]) === true;
    const asked = names.get(TYPE_URLS[type]) ?? new Set<string>();
    const all = [...resources, ...(bad ? [[UNREADABLE, unreadable(type)] as const] : [])];
    const wanted = all.filter(([name]) => whole || asked.has(name));
    const changed = wanted.filter(([name, any]) => has.get(name) !== versionOf(any) || ask.again.includes(name));
    const removed = [...has.keys()].filter((name) => !all.some(([each]) => each === name));
    return {
      has,
      changed,
      removed,
      version: hash(
        'sha256',
        all
          .map(([name, any]) => name + versionOf(any))
          .sort()
          .join(),
      ).slice(0, 16),
    };
  }
  function answer(
    type: AdsType,
    systemVersionInfo: string,
    nonce: string,
    changed: readonly (readonly [string, Any])[],
    removed: string[],
  ) {
    const resources = changed.map(([name, resource]) => ({ name, version: versionOf(resource), resource }));
    const message = {
      systemVersionInfo,
      resources,
      removedResources: removed,
      typeUrl: TYPE_URLS[type],
      nonce,
      controlPlane: CONTROL_PLANE,
    };
    return {
      versionInfo: systemVersionInfo,
      bytes: toBinary(DeltaDiscoveryResponseSchema, create(DeltaDiscoveryResponseSchema, message)),
    };
  }
  return {
    read(bytes) {
      const message = fromBinary(DeltaDiscoveryRequestSchema, bytes);
      const {
        typeUrl,
        node,
        resourceNamesSubscribe: come,
        resourceNamesUnsubscribe: go,
        responseNonce: nonce,
        errorDetail,
      } = message;
      const before = names.get(typeUrl);
      if (before === undefined) isWhole.set(typeUrl, come.length === 0);
      const again = come.filter((name) => before?.has(name) === true || (isWhole.get(typeUrl) === true && go.includes(name)));
      const now = new Set([...(before ?? []), ...come].filter((name) => !go.includes(name)));
      names.set(typeUrl, now);
      const initial = new Map(Object.entries(message.initialResourceVersions));
      const error = errorDetail?.message ?? null;
      return { typeUrl, node, names: [...now], again, nonce, version: '', initial, error, message };
    },
    due(type, served, watched) {
      if (!sent.has(type)) sent.set(type, new Map(watched.ask.initial));
      if (isWhole.get(TYPE_URLS[type]) !== true) {
        const asked = names.get(TYPE_URLS[type]);
        for (const name of sent.get(type)?.keys() ?? []) if (asked?.has(name) !== true) sent.get(type)?.delete(name);
      }
      const { changed, removed } = changes(type, served, watched);
      return changed.length + removed.length > 0 || (isWhole.get(TYPE_URLS[type]) === true && !watched.answered);
    },
    answer(type, served, watched, nonce) {
      const { has, changed, removed, version } = changes(type, served, watched);
      for (const [name, any] of changed) has.set(name, versionOf(any));
      for (const name of removed) has.delete(name);
      return answer(type, version, nonce, changed, removed);
    },
    garbage: (type, nonce) => answer(type, randomUUID(), nonce, [[UNREADABLE, unreadable(type)]], []),
  };
}

function versionOf({ value }: Any): string {
  return hash('sha256', value);
}

function unreadable(type: AdsType): Any {
  return create(AnySchema, { typeUrl: TYPE_URLS[type], value: GARBAGE });
}
