/**
 * Converts Envoy's resources from the form of a test (messages, or proto3 JSON) to the form on the
 * wire.
 */
import { create, fromJson, isMessage, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, JsonObject, JsonValue, Message, MessageShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { AdsType } from '../../xds/messages/ads-state.ts';
import { ADS_TYPES, TYPE_URLS } from '../../xds/messages/ads-state.ts';
import { ANY_TYPES } from '../../xds/messages/any-types.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';

const SCHEMAS: Readonly<Record<AdsType, DescMessage>> = {
  cluster: ClusterSchema,
  endpoint: ClusterLoadAssignmentSchema,
  listener: ListenerSchema,
  secret: SecretSchema,
};

/** Resources of a control plane; a JSON object may keep its `@type`. */
export interface EnvoyResources {
  readonly clusters?: readonly (Cluster | JsonObject)[];
  readonly endpoints?: readonly (ClusterLoadAssignment | JsonObject)[];
  readonly listeners?: readonly (Listener | JsonObject)[];
  readonly secrets?: readonly (Secret | JsonObject)[];
}

export const RESOURCE_KEYS: Readonly<Record<AdsType, keyof EnvoyResources>> = {
  cluster: 'clusters',
  endpoint: 'endpoints',
  listener: 'listeners',
  secret: 'secrets',
};

export interface PackedResource {
  readonly name: string;
  readonly any: Any;
}

/** Throws where the JSON is not a resource of the type. */
export function packResource(type: AdsType, resource: Message | JsonObject): PackedResource {
  const message = isMessage(resource) ? resource : readEnvoyJson(SCHEMAS[type], withoutType(resource));
  return { name: nameOf(message), any: create(AnySchema, { typeUrl: TYPE_URLS[type], value: toBinary(SCHEMAS[type], message) }) };
}

/** Reads proto3 JSON with `Any` resolved, as Envoy and the recordings write it. */
export function readEnvoyJson<Desc extends DescMessage>(schema: Desc, json: JsonValue): MessageShape<Desc> {
  return fromJson(schema, json, { registry: ANY_TYPES });
}

export function adsTypeOf(typeUrl: string): AdsType | null {
  return ADS_TYPES.find((type) => TYPE_URLS[type] === typeUrl) ?? null;
}

function withoutType({ '@type': _, ...rest }: JsonObject): JsonObject {
  return rest;
}

/** Returns the name by which a request asks for it. */
function nameOf(message: Message): string {
  const { name, clusterName } = message as { readonly name?: string; readonly clusterName?: string };
  return name ?? clusterName ?? '';
}
