/**
 * The accepted resources of a control plane as bytes, to be read again after a restart. A line of
 * JSON describes the bytes that follow it: one DeltaDiscoveryResponse for each type.
 */
import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { DeltaDiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { ADS_TYPES, TYPE_URLS } from '../messages/ads-state.ts';
import type { AdsState, AdsType, Held } from '../messages/ads-state.ts';
import { delta } from './delta.ts';
import { HeldResources } from './held-resources.ts';
import type { Accept } from './held-resources.ts';

/** The egress that kept the configuration. A file of another one is not taken. */
export interface KeptOwner {
  /** The origin of the URL of the control plane. */
  readonly controlPlane: string;
  readonly name: string;
  /** Empty for a ZoneEgress. */
  readonly mesh: string;
}

export type KeptRead =
  /** `savedAt` in milliseconds since the Unix epoch. */
  | { readonly kind: 'read'; readonly state: AdsState; readonly savedAt: number }
  | { readonly kind: 'refused'; readonly why: string };

/** Rises with each change of the format. */
const FORMAT = 1;

interface Header extends KeptOwner {
  readonly zoneEgressState: number;
  readonly savedAt: number;
  readonly writtenBy: string;
  /** The length of each message, in the order of ADS_TYPES. */
  readonly lengths: readonly number[];
  /** The checksum of all bytes after the line. */
  readonly sha256: string;
}

/** Resources that are encoded before others have their turn. */
const STEP = 50;

/** Writes the state in steps. The bytes have private keys. */
export function* keptBytes(
  state: AdsState,
  owner: KeptOwner,
  { savedAt, writtenBy }: { readonly savedAt: number; readonly writtenBy: string },
): Generator<void, readonly Uint8Array[]> {
  const { versions } = state;
  const messages = [
    yield* message('cluster', ClusterSchema, state.clusters, versions.cluster),
    yield* message('endpoint', ClusterLoadAssignmentSchema, state.endpoints, versions.endpoint),
    yield* message('listener', ListenerSchema, state.listeners, versions.listener),
    yield* message('secret', SecretSchema, state.secrets, versions.secret),
  ];
  const body = Buffer.concat(messages);
  yield;
  const header: Header = {
    zoneEgressState: FORMAT,
    ...owner,
    savedAt,
    writtenBy,
    lengths: messages.map(({ length }) => length),
    sha256: hash('sha256', body, 'hex'),
  };
  return [Buffer.from(`${JSON.stringify(header)}\n`), body];
}

function* message<Schema extends DescMessage>(
  type: AdsType,
  schema: Schema,
  held: ReadonlyMap<string, Held<MessageShape<Schema>>>,
  systemVersionInfo: string,
): Generator<void, Uint8Array> {
  const typeUrl = TYPE_URLS[type];
  const resources = [];
  for (const { name, version, resource } of held.values()) {
    resources.push({ name, version, resource: { typeUrl, value: toBinary(schema, resource) } });
    if (resources.length % STEP === 0) yield;
  }
  return toBinary(DeltaDiscoveryResponseSchema, create(DeltaDiscoveryResponseSchema, { typeUrl, systemVersionInfo, resources }));
}

/**
 * Reads what `keptBytes` wrote. Each resource has to pass the checks of a control plane's, and one
 * that does not refuses the whole.
 */
export function readKept(bytes: Uint8Array, owner: KeptOwner, accept: Accept): KeptRead {
  const header = headerOf(bytes);
  if (typeof header === 'string') return refused(header);
  const foreign = foreignTo(header, owner);
  if (foreign !== null) return refused(foreign);
  const body = bytes.subarray(bytes.indexOf(NEWLINE) + 1);
  const wanted = header.lengths.reduce((sum, length) => sum + length, 0);
  if (body.length < wanted) return refused(`it is truncated: it has ${body.length} of ${wanted} bytes`);
  if (body.length > wanted || hash('sha256', body, 'hex') !== header.sha256)
    return refused('it is damaged: its checksum is that of another content');
  const state = stateOf(body, header, accept);
  return typeof state === 'string' ? refused(state) : { kind: 'read', state, savedAt: header.savedAt };
}

const NEWLINE = 0x0a;
const MAX_HEADER_BYTES = 65_536;

function headerOf(bytes: Uint8Array): Header | string {
  const end = bytes.subarray(0, MAX_HEADER_BYTES).indexOf(NEWLINE);
  const line = new TextDecoder().decode(bytes.subarray(0, Math.max(0, end)));
  let header: unknown;
  try {
    header = JSON.parse(line);
  } catch {
    return 'it is no kept configuration of a zone egress, or its first line is damaged';
  }
  if (!isObject(header) || header.zoneEgressState === undefined) return 'it is no kept configuration of a zone egress';
  const { zoneEgressState: format, writtenBy } = header;
  if (format !== FORMAT)
    return `it has format ${JSON.stringify(format)}, written by version ${JSON.stringify(writtenBy)}; this version reads format ${FORMAT}`;
  return isHeader(header) ? header : 'its first line is damaged';
}

function isObject(value: unknown): value is Partial<Header> {
  return typeof value === 'object' && value !== null;
}

function isHeader(header: Partial<Header>): header is Header {
  const { controlPlane, name, mesh, savedAt, writtenBy, lengths, sha256 } = header;
  return (
    [controlPlane, name, mesh, writtenBy, sha256].every((text) => typeof text === 'string') &&
    typeof savedAt === 'number' &&
    !Number.isNaN(new Date(savedAt).getTime()) &&
    Array.isArray(lengths) &&
    lengths.length === ADS_TYPES.length &&
    lengths.every((length) => Number.isSafeInteger(length) && length >= 0)
  );
}

function foreignTo(header: Header, owner: KeptOwner): string | null {
  for (const [key, what] of [
    ['controlPlane', 'control plane'],
    ['mesh', 'mesh'],
    ['name', 'name'],
  ] as const) {
    if (header[key] !== owner[key])
      return `it was kept for the ${what} ${JSON.stringify(header[key])}, and this egress has ${JSON.stringify(owner[key])}`;
  }
  return null;
}

/** Returns the state, or why it is refused. */
function stateOf(body: Uint8Array, { lengths, savedAt }: Header, accept: Accept): AdsState | string {
  const held = new HeldResources(accept);
  let at = 0;
  for (const [i, type] of ADS_TYPES.entries()) {
    const end = at + (lengths[i] ?? 0);
    try {
      const [first] = held.apply(type, delta.read(body.subarray(at, end)), savedAt).refused;
      if (first !== undefined) return `this version refuses ${type} ${first.name} in it: ${first.why}`;
    } catch {
      return `its part with resources of the type ${type} is damaged`;
    }
    at = end;
  }
  // Nothing else comes: resources that the control plane had not sent are not waited for.
  held.release([...held.missing('cluster'), ...held.missing('listener')]);
  return held.state;
}

function refused(why: string): KeptRead {
  return { kind: 'refused', why };
}
