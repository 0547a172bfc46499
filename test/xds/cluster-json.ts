import type { JsonObject, Registry } from '@bufbuild/protobuf';
import { fromJson } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { Secret } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { everyMessage } from './registry.ts';

const registry: Registry = await everyMessage();

/** Resources as proto3 JSON: a cluster of one address, with the fields of a test. */
export function clusterOf(fields: JsonObject = {}): Cluster {
  return fromJson(ClusterSchema, { name: 'es', loadAssignment: assignmentJson([{}]), ...fields }, { registry });
}

export function clusterAny(fields: JsonObject = {}): Any {
  return anyPack(ClusterSchema, clusterOf(fields));
}

export function assignmentOf(fields: JsonObject): ClusterLoadAssignment {
  return fromJson(ClusterLoadAssignmentSchema, fields, { registry });
}

export function assignmentAny(fields: JsonObject): Any {
  return anyPack(ClusterLoadAssignmentSchema, assignmentOf(fields));
}

export function secretOf(fields: JsonObject): Secret {
  return fromJson(SecretSchema, fields, { registry });
}

/** One locality, whose endpoints have these fields. */
export function assignmentJson(items: readonly JsonObject[], locality: JsonObject = {}): JsonObject {
  return { clusterName: 'es', endpoints: [{ ...locality, lbEndpoints: items.map((item) => endpointJson(item)) }] };
}

export function endpointJson({ host = '10.0.0.1', port = 443, ...fields }: JsonObject): JsonObject {
  return { endpoint: { address: { socketAddress: { address: host, portValue: port } } }, ...fields };
}

export const TYPES = 'type.googleapis.com/envoy.extensions.';

export function tlsSocket(context: JsonObject): JsonObject {
  const typedConfig = { '@type': `${TYPES}transport_sockets.tls.v3.UpstreamTlsContext`, ...context };
  return { name: 'envoy.transport_sockets.tls', typedConfig };
}

/** Adds a field that the messages do not have to the same bytes. */
export function withField(any: Any, field: number): Any {
  const bytes = Buffer.concat([any.value, varint(field * 8), Buffer.of(1)]);
  return { ...any, value: bytes };
}

function varint(value: number): Buffer {
  return value < 128 ? Buffer.of(value) : Buffer.of((value & 127) | 128, value >> 7);
}
