import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DiscoveryRequest } from '#envoy/service/discovery/v3/discovery_pb.js';
import { DiscoveryRequestSchema, DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { TYPE_URLS } from '../messages/ads-state.ts';
import type { AdsResponse, AdsRequest, Protocol } from './protocol.ts';
import { refusalStatus } from './refusal-status.ts';

/**
 * State of the world. Each answer has all resources of its type; each request has all names, with
 * the version that was accepted last.
 */
export const stateOfTheWorld: Protocol = {
  method: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
  emptyAsksForAll: false,
  refusedComesAgain: true,
  write: (ask) => toBinary(DiscoveryRequestSchema, requestOf(ask)),
  read(bytes): AdsResponse {
    const { typeUrl, versionInfo: version, nonce, resources } = fromBinary(DiscoveryResponseSchema, bytes);
    return {
      typeUrl,
      version,
      nonce,
      resources: resources.map((any) => ({ name: '', version, any })),
      removed: [],
      isWhole: true,
    };
  },
};

function requestOf({ type, node, names, version, nonce, refusal }: AdsRequest): DiscoveryRequest {
  return create(DiscoveryRequestSchema, {
    typeUrl: TYPE_URLS[type],
    versionInfo: version,
    responseNonce: nonce,
    resourceNames: [...names],
    ...(node === null ? {} : { node }),
    ...(refusal === null ? {} : { errorDetail: refusalStatus(refusal) }),
  });
}
