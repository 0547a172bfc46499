/**
 * Reads a recorded ADS conversation from its folder: `index.jsonl` with the order on the wire, and
 * a file for each response, as proto3 JSON or as raw bytes. Unchanged parts that a recording left
 * out are added.
 */
import { Buffer } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import type { AdsProtocol, AdsType } from '../../xds/messages/ads-state.ts';
import { ANY_TYPES } from '../../xds/messages/any-types.ts';
import { DeltaDiscoveryResponseSchema, DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { readEnvoyJson } from './envoy-resources.ts';
import { recordedJson } from './recorded-json.ts';

export type RecordedEvent =
  | {
      readonly kind: 'request';
      readonly n: number;
      readonly type: AdsType;
      readonly nonce: string;
      /** All names that were requested from then on, in both forms. */
      readonly names: readonly string[];
      readonly error: string | null;
    }
  | { readonly kind: 'response'; readonly n: number; readonly type: AdsType; readonly bytes: Uint8Array }
  | { readonly kind: 'mark'; readonly text: string }
  | { readonly kind: 'end'; readonly code: number; readonly message: string };

/** One stream, as it was recorded. */
export interface RecordedStream {
  readonly protocol: AdsProtocol;
  readonly events: readonly RecordedEvent[];
}

/** In the order in which they were opened. */
export type Recording = readonly RecordedStream[];

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
  readonly system_version_info?: string;
  readonly stream?: number;
  readonly subscribe?: readonly string[];
  readonly unsubscribe?: readonly string[];
  readonly response_nonce?: string;
  readonly resource_names?: readonly string[];
  readonly error?: string;
  readonly text?: string;
  readonly code?: number;
  readonly message?: string;
}

export interface RecordingOptions {
  /** A recording whose last responses replace those that this one did not keep. */
  readonly base?: string;
  /** The last message to read, by its number on the wire. Absent reads all. */
  readonly until?: number;
}

/** Throws where a file is missing or cannot be read, or where a needed part was not kept. */
export async function readRecording(folder: string, options: RecordingOptions = {}): Promise<Recording> {
  const last = options.base === undefined ? new Map<AdsType, Uint8Array>() : await lastResponses(options.base);
  const read = reader(folder);
  const streams = new Map<number, Reading>();
  let current: Reading | null = null;
  for (const line of await indexOf(folder)) {
    if ((line.n ?? 0) > (options.until ?? Infinity)) break;
    if (line.event === 'stream-open') {
      const protocol = protocolOf(line.method ?? '');
      // Other types (health discovery) were requested and never answered.
      if (protocol === null) continue;
      current = { protocol, events: [], names: new Map(), clientGone: false };
      streams.set(line.stream ?? streams.size + 1, current);
      continue;
    }
    const reading = line.stream === undefined ? current : (streams.get(line.stream) ?? null);
    const type = SHORT[line.type ?? ''];
    if (reading === null) continue;
    if (line.event !== undefined) noteEvent(reading, line);
    else if (line.dir === 'request' && type !== undefined) noteRequest(reading, type, line);
    else if (line.dir === 'response' && type !== undefined) {
      const bytes =
        line.file === undefined
          ? repeated(folder, line, reading.protocol, last.get(type))
          : await read(line.file, reading.protocol);
      last.set(type, bytes);
      reading.events.push({ kind: 'response', n: line.n ?? 0, type, bytes });
    }
  }
  return [...streams.values()];
}

interface Reading {
  readonly protocol: AdsProtocol;
  readonly events: RecordedEvent[];
  /** The subscriptions of a delta stream. */
  readonly names: Map<AdsType, ReadonlySet<string>>;
  clientGone: boolean;
}

function protocolOf(method: string): AdsProtocol | null {
  if (method.endsWith('/DeltaAggregatedResources')) return 'delta';
  return method === '' || method.endsWith('/StreamAggregatedResources') ? 'sotw' : null;
}

function noteEvent(reading: Reading, { event, text, code, message }: Line): void {
  if (event === 'mark') reading.events.push({ kind: 'mark', text: text ?? '' });
  else if (event === 'client-closes' || event === 'client-gone') reading.clientGone = true;
  else if (event === 'stream-end' && !reading.clientGone)
    reading.events.push({ kind: 'end', code: code ?? 0, message: message ?? '' });
  else if (event === 'upstream-failed') reading.events.push({ kind: 'end', code: UNAVAILABLE, message: message ?? '' });
}

function noteRequest(reading: Reading, type: AdsType, line: Line): void {
  const { n = 0, response_nonce: nonce = '', error = null } = line;
  let names = line.resource_names ?? [];
  if (reading.protocol === 'delta') {
    const { subscribe = [], unsubscribe = [] } = line;
    const now = new Set([...(reading.names.get(type) ?? []), ...subscribe].filter((name) => !unsubscribe.includes(name)));
    reading.names.set(type, now);
    // Unsubscribing gets no answer, and Envoy does it name by name after a while.
    if (nonce === '' && unsubscribe.length > 0 && subscribe.length === 0) return;
    names = [...now];
  }
  reading.events.push({ kind: 'request', n, type, nonce, names, error });
}

/** Returns the last response of each type, as bytes. */
async function lastResponses(folder: string): Promise<Map<AdsType, Uint8Array>> {
  const last = new Map<AdsType, Uint8Array>();
  for (const { events } of await readRecording(folder)) {
    for (const event of events) if (event.kind === 'response') last.set(event.type, event.bytes);
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

function repeated(folder: string, line: Line, protocol: AdsProtocol, bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined)
    throw new Error(`read ${folder}: response ${line.n ?? 0} (${line.type ?? ''}) was not kept, and none came before it`);
  if (protocol === 'delta') {
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    response.nonce = line.nonce ?? '';
    response.systemVersionInfo = line.system_version_info ?? '';
    return toBinary(DeltaDiscoveryResponseSchema, response);
  }
  const response = fromBinary(DiscoveryResponseSchema, bytes);
  response.nonce = line.nonce ?? '';
  response.versionInfo = line.version_info ?? '';
  return toBinary(DiscoveryResponseSchema, response);
}

/** Reads responses of one folder in their order; as raw bytes where those were kept. */
function reader(folder: string): (file: string, protocol: AdsProtocol) => Promise<Uint8Array> {
  let schema: typeof DiscoveryResponseSchema | typeof DeltaDiscoveryResponseSchema = DiscoveryResponseSchema;
  const bytesOf = async (file: string): Promise<Uint8Array | null> => {
    const raw = await readFile(join(folder, file.replace(/\.json$/, '.pb.b64')), 'utf8').catch(() => null);
    return raw === null ? null : Buffer.from(raw, 'base64');
  };
  const json = recordedJson(async (file) => {
    const bytes = await bytesOf(file);
    if (bytes !== null) return toJson(schema, fromBinary(schema, bytes), { registry: ANY_TYPES }) as JsonObject;
    return JSON.parse(await textOf(join(folder, file))) as JsonObject;
  });
  return async (file, protocol) => {
    schema = protocol === 'delta' ? DeltaDiscoveryResponseSchema : DiscoveryResponseSchema;
    const whole = await json(file);
    return (await bytesOf(file)) ?? toBinary(schema, readEnvoyJson(schema, whole));
  };
}

async function textOf(path: string): Promise<string> {
  const plain = await readFile(path, 'utf8').catch(() => null);
  return plain ?? (await promisify(gunzip)(await readFile(`${path}.gz`))).toString('utf8');
}
