import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { Acceptance, AdsType } from '../../src/xds/messages/ads-state.ts';
import type { Accept } from '../../src/xds/stream/held-resources.ts';
import { ClusterSchema } from '#envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '#envoy/extensions/transport_sockets/tls/v3/secret_pb.js';

/** Returns why a resource is refused, or undefined to accept it. */
export type Judge = (type: AdsType, name: string, resource: unknown) => string | undefined;

/** Decodes, and accepts what the judge does not refuse. */
export function acceptAll(judge: Judge = () => undefined): Accept {
  return {
    cluster: accepting('cluster', ClusterSchema, ({ name }) => name, judge),
    endpoint: accepting('endpoint', ClusterLoadAssignmentSchema, ({ clusterName }) => clusterName, judge),
    listener: accepting('listener', ListenerSchema, ({ name }) => name, judge),
    secret: accepting('secret', SecretSchema, ({ name }) => name, judge),
  };
}

function accepting<Desc extends DescMessage>(
  type: AdsType,
  schema: Desc,
  nameOf: (resource: MessageShape<Desc>) => string,
  judge: Judge,
): (any: Any) => Acceptance<MessageShape<Desc>> {
  return ({ value }) => {
    let resource: MessageShape<Desc>;
    try {
      resource = fromBinary(schema, value);
    } catch (error) {
      return { kind: 'refused', name: '', why: String(error) };
    }
    const name = nameOf(resource);
    const why = judge(type, name, resource);
    return why === undefined ? { kind: 'accepted', name, resource, remarks: [] } : { kind: 'refused', name, why };
  };
}
