import { existsSync, readFileSync } from 'node:fs';
import type { JsonValue, Registry } from '@bufbuild/protobuf';
import { create, fromBinary, fromJson, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { AdsType } from '../../src/xds/messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import type { DiscoveryRequest, DiscoveryResponse } from '#envoy/service/discovery/v3/discovery_pb.js';
import { DiscoveryRequestSchema, DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { AdsResponse, AdsRequest } from '../../src/xds/stream/protocol.ts';
import { stateOfTheWorld } from '../../src/xds/stream/state-of-the-world.ts';
import { resourcesOf } from '../kuma/ads-state.ts';

/** A line of `index.jsonl`. */
export interface Line {
  readonly event?: 'stream-open' | 'stream-end' | 'mark' | 'client-gone' | 'client-closes' | 'upstream-failed';
  readonly dir?: 'request' | 'response';
  readonly file?: string;
  readonly n?: number;
  readonly type?: string;
  readonly node?: string;
  readonly resource_names?: readonly string[];
  readonly version_info?: string;
  readonly response_nonce?: string;
  readonly nonce?: string;
  readonly error?: string;
  readonly code?: number;
  readonly message?: string;
  readonly t_ms: number;
}

/**
 * The content of a request, without what no control plane reads: the order of names, and whether a
 * field is empty or absent.
 */
export interface Said {
  readonly type: string;
  readonly node?: string;
  readonly names: readonly string[];
  readonly version: string;
  readonly nonce: string;
  readonly error?: string;
}

const SHORT: Readonly<Record<string, AdsType>> = { cds: 'cluster', eds: 'endpoint', lds: 'listener', sds: 'secret' };

export function linesOf(folder: URL): readonly Line[] {
  const text = readFileSync(new URL('index.jsonl', folder), 'utf8').trim();
  return text.split('\n').map((line) => JSON.parse(line) as Line);
}

export function typeOf({ type = '' }: Line): AdsType | undefined {
  return SHORT[type];
}

export function saidInLine(line: Line): Said {
  const { node, error } = line;
  return {
    type: typeOf(line) ?? line.type ?? '',
    ...(node === undefined ? {} : { node }),
    names: [...(line.resource_names ?? [])].sort(),
    version: line.version_info ?? '',
    nonce: line.response_nonce ?? '',
    ...(error === undefined ? {} : { error }),
  };
}

export function saidIn({ typeUrl, node, resourceNames, versionInfo, responseNonce, errorDetail }: DiscoveryRequest): Said {
  return {
    type: ADS_TYPES.find((type) => TYPE_URLS[type] === typeUrl) ?? typeUrl,
    ...(node === undefined ? {} : { node: node.id }),
    names: [...resourceNames].sort(),
    version: versionInfo,
    nonce: responseNonce,
    ...(errorDetail === undefined ? {} : { error: errorDetail.message }),
  };
}

/** In the form of a stream of the state of the world. */
export function saidInAsk(ask: AdsRequest): Said {
  return saidIn(fromBinary(DiscoveryRequestSchema, stateOfTheWorld.write(ask)));
}

export function answerOf(response: DiscoveryResponse): AdsResponse {
  return stateOfTheWorld.read(toBinary(DiscoveryResponseSchema, response));
}

/**
 * Returns a response as it came: the bytes where they were kept, else made from its JSON; null
 * where a part was not kept, because other responses have the same resources.
 */
export function responseOf(folder: URL, { file }: Line, registry: Registry): DiscoveryResponse | null {
  if (file === undefined) return null;
  const bytes = new URL(file.replace(/json$/, 'pb.b64'), folder);
  if (existsSync(bytes)) return fromBinary(DiscoveryResponseSchema, Buffer.from(readFileSync(bytes, 'utf8'), 'base64'));
  const text = readFileSync(new URL(file, folder), 'utf8');
  const earlier = [...text.matchAll(/"@unchanged": ?"([^"]+)"/g)].map(([, name = '']) => name);
  if (!earlier.every((name) => existsSync(new URL(name, folder)))) return null;
  const whole = JSON.parse(text) as Readonly<Record<string, string>>;
  return create(DiscoveryResponseSchema, {
    typeUrl: whole.typeUrl ?? '',
    versionInfo: whole.versionInfo ?? '',
    nonce: whole.nonce ?? '',
    resources: resourcesOf(folder, file).map((resource) => fromJson(AnySchema, resource as JsonValue, { registry })),
  });
}
