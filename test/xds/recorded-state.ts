import { createHash } from 'node:crypto';
import { fromJson, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, JsonObject, MessageShape, Registry } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import { acceptListener } from '../../src/xds/accept/accept-listener.ts';
import type { ListenerMemory } from '../../src/xds/accept/accept-listener.ts';
import { acceptSecret } from '../../src/xds/accept/accept-secret.ts';
import type { Acceptance, AdsState, Held } from '../../src/xds/messages/ads-state.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import { adsResources, readSecrets } from '../kuma/ads-state.ts';
import { everyMessage } from './registry.ts';

export const registry: Registry = await everyMessage();

export function fromRecord<Desc extends DescMessage>(schema: Desc, json: unknown): MessageShape<Desc> {
  const { '@type': _, ...fields } = json as JsonObject;
  return fromJson(schema, fields, { registry });
}

export function anyOf<Desc extends DescMessage>(schema: Desc, json: unknown): Any {
  return anyPack(schema, fromRecord(schema, json));
}

export function held<Resource>(acceptance: Acceptance<Resource>, any: Any): Held<Resource> {
  if (acceptance.kind === 'refused') throw new Error(`${acceptance.name}: ${acceptance.why}`);
  const hash = createHash('sha256').update(any.value).digest('hex');
  return { name: acceptance.name, resource: acceptance.resource, hash, version: '1', updatedAt: 0 };
}

function plain<Desc extends DescMessage>(schema: Desc, name: string, json: unknown): Held<MessageShape<Desc>> {
  const resource = fromRecord(schema, json);
  const hash = createHash('sha256').update(toBinary(schema, resource)).digest('hex');
  return { name, resource, hash, version: '1', updatedAt: 0 };
}

/** Returns what an egress has after the message with this number of a recorded conversation. */
export function recordedState(folder: URL, until: number = Infinity, memory: ListenerMemory = new Map()): AdsState {
  const clusters = new Map<string, Held<Cluster>>();
  const endpoints = new Map<string, Held<ClusterLoadAssignment>>();
  const listeners: [string, Held<Listener>][] = [];
  for (const { name, resource } of adsResources(folder, until)) {
    const type = (resource as { readonly '@type': string })['@type'];
    if (type.endsWith('.Cluster')) clusters.set(name, plain(ClusterSchema, name, resource));
    else if (type.endsWith('.ClusterLoadAssignment')) endpoints.set(name, plain(ClusterLoadAssignmentSchema, name, resource));
    else {
      const any = anyOf(ListenerSchema, resource);
      listeners.push([name, held(acceptListener(any, memory), any)]);
    }
  }
  const secrets = readSecrets(folder, until).map(({ name, resource }) => {
    const any = anyOf(SecretSchema, resource);
    return [name, held(acceptSecret(any), any)] as const;
  });
  const versions = { cluster: '1', endpoint: '1', listener: '1', secret: '1' };
  return { clusters, endpoints, listeners: new Map(listeners), secrets: new Map(secrets), versions };
}
