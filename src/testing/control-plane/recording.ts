/**
 * A recorded ADS conversation read from its folder: `index.jsonl` with the order on the wire, and a
 * file for each response, as proto3 JSON or as the bytes themselves. What a recording left out
 * because it did not change is put back.
 */
import { Buffer } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { AdsType } from '../../xds/messages/ads-state.ts';
import { DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { DiscoveryResponse } from '#envoy/service/discovery/v3/discovery_pb.js';
import { readEnvoyJson } from './envoy-resources.ts';

export type RecordedEvent =
  | {
      readonly kind: 'request';
      readonly n: number;
      readonly type: AdsType;
      readonly nonce: string;
      readonly names: readonly string[];
      readonly error: string | null;
    }
  | { readonly kind: 'response'; readonly n: number; readonly type: AdsType; readonly bytes: Uint8Array }
  | { readonly kind: 'mark'; readonly text: string }
  | { readonly kind: 'end'; readonly code: number; readonly message: string };

/** The events of each stream, in the order of the streams. */
export type Recording = readonly (readonly RecordedEvent[])[];

const SHORT: Readonly<Record<string, AdsType>> = { cds: 'cluster', eds: 'endpoint', lds: 'listener', sds: 'secret' };
const UNAVAILABLE = 14;

interface Line {
  readonly event?: string;
  readonly method?: string;
  readonly dir?: 'request' | 'response';
  readonly file?: string;
  readonly n?: number;
  readonly type?: string;
  readonly nonce?: string;
  readonly version_info?: string;
  readonly response_nonce?: string;
  readonly resource_names?: readonly string[];
  readonly error?: string;
  readonly text?: string;
  readonly code?: number;
  readonly message?: string;
}

export interface RecordingOptions {
  /** A recording whose last responses stand in where this one kept none. */
  readonly base?: string;
  /** The last message to read, by its number on the wire. Absent: all. */
  readonly until?: number;
}

/** Throws where a file is missing or cannot be read, or where something was not kept. */
export async function readRecording(folder: string, options: RecordingOptions = {}): Promise<Recording> {
  const last = options.base === undefined ? new Map<AdsType, Uint8Array>() : await lastResponses(options.base);
  const read = reader(folder);
  const streams: RecordedEvent[][] = [];
  let clientGone = false;
  for (const line of await indexOf(folder)) {
    if ((line.n ?? 0) > (options.until ?? Infinity)) break;
    const events = streams.at(-1) ?? [];
    const type = SHORT[line.type ?? ''];
    if (line.event === 'stream-open') {
      // Others (health discovery) came along and were never answered.
      if (line.method?.endsWith('/StreamAggregatedResources') === false) continue;
      streams.push([]);
      clientGone = false;
    } else if (line.event === 'mark') events.push({ kind: 'mark', text: line.text ?? '' });
    else if (line.event === 'client-closes' || line.event === 'client-gone') clientGone = true;
    else if (line.event === 'stream-end' && !clientGone)
      events.push({ kind: 'end', code: line.code ?? 0, message: line.message ?? '' });
    else if (line.event === 'upstream-failed') events.push({ kind: 'end', code: UNAVAILABLE, message: line.message ?? '' });
    else if (line.dir === 'request' && type !== undefined) {
      const { n = 0, response_nonce: nonce = '', resource_names: names = [], error = null } = line;
      events.push({ kind: 'request', n, type, nonce, names, error });
    } else if (line.dir === 'response' && type !== undefined) {
      const bytes = line.file === undefined ? repeated(folder, line, last.get(type)) : await read(line.file);
      last.set(type, bytes);
      events.push({ kind: 'response', n: line.n ?? 0, type, bytes });
    }
  }
  return streams;
}

/** The last response of each type, as bytes. */
async function lastResponses(folder: string): Promise<Map<AdsType, Uint8Array>> {
  const last = new Map<AdsType, Uint8Array>();
  for (const stream of await readRecording(folder)) {
    for (const event of stream) if (event.kind === 'response') last.set(event.type, event.bytes);
  }
  return last;
}

async function indexOf(folder: string): Promise<readonly Line[]> {
  const text = await readFile(join(folder, 'index.jsonl'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

function repeated(folder: string, line: Line, bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined)
    throw new Error(`read ${folder}: response ${line.n ?? 0} (${line.type ?? ''}) was not kept, and none came before it`);
  const response: DiscoveryResponse = fromBinary(DiscoveryResponseSchema, bytes);
  response.nonce = line.nonce ?? '';
  response.versionInfo = line.version_info ?? '';
  return toBinary(DiscoveryResponseSchema, response);
}

/** Reads responses of one folder; files that others refer to are parsed once. */
function reader(folder: string): (file: string) => Promise<Uint8Array> {
  const parsed = new Map<string, Promise<JsonObject>>();
  function json(file: string): Promise<JsonObject> {
    const known = parsed.get(file) ?? readFile(join(folder, file), 'utf8').then((text) => whole(JSON.parse(text) as JsonObject));
    parsed.set(file, known);
    return known;
  }
  async function whole(response: JsonObject): Promise<JsonObject> {
    const resources: JsonObject[] = [];
    for (const resource of objects(response['resources'])) resources.push(await restored(resource));
    return { ...response, resources };
  }
  async function restored(resource: JsonObject): Promise<JsonObject> {
    const from = resource['@unchanged'];
    if (typeof from === 'string') {
      return found(objects((await json(from))['resources']), (other) => nameOf(other) === nameOf(resource), resource);
    }
    if (resource['filterChains'] === undefined) return resource;
    const chains: JsonObject[] = [];
    for (const chain of objects(resource['filterChains'])) {
      if (chain['@omitted'] !== undefined)
        throw new Error(`read ${folder}: the chain ${JSON.stringify(chain['serverNames'])} was not kept`);
      const source = chain['@unchanged'];
      if (typeof source !== 'string') {
        chains.push(chain);
        continue;
      }
      const listener = found(objects((await json(source))['resources']), (other) => nameOf(other) === nameOf(resource), resource);
      chains.push(found(objects(listener['filterChains']), (other) => same(serverNamesOf(other), chain['serverNames']), chain));
    }
    return { ...resource, filterChains: chains };
  }
  return async (file) => {
    const raw = await readFile(join(folder, file.replace(/\.json$/, '.pb.b64')), 'utf8').catch(() => null);
    if (raw !== null) return Buffer.from(raw, 'base64');
    return toBinary(DiscoveryResponseSchema, readEnvoyJson(DiscoveryResponseSchema, await json(file)));
  };
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

function same(one: JsonValue | undefined, other: JsonValue | undefined): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function objects(value: JsonValue | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? (value as JsonObject[]) : [];
}
