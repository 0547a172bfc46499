import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DeltaDiscoveryRequest } from '#envoy/service/discovery/v3/discovery_pb.js';
import { DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { TYPE_URLS } from '../messages/ads-state.ts';
import type { AdsResponse, AdsRequest, Protocol } from './protocol.ts';
import { refusalStatus } from './refusal-status.ts';

/**
 * Incremental ADS. Each answer has the changed resources and the removed names. Each request has
 * the added and removed names; the first one of a type also has the resources held already. An
 * empty answer means that nothing changed.
 */
export const delta: Protocol = {
  method: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
  emptyAsksForAll: true,
  refusedComesAgain: false,
  write: (ask) => toBinary(DeltaDiscoveryRequestSchema, requestOf(ask)),
  read(bytes): AdsResponse {
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    const { typeUrl, systemVersionInfo: version, nonce, removedResources: removed } = response;
    // A resource without content extends a lifetime, which this egress does not use.
    const resources = response.resources.flatMap(({ name, version, resource }) =>
      resource === undefined ? [] : [{ name, version, any: resource }],
    );
    return { typeUrl, version, nonce, resources, removed, isWhole: false };
  },
};

function requestOf(ask: AdsRequest): DeltaDiscoveryRequest {
  const { type, node, names, before, again, versions, nonce, isAnswer, refusal } = ask;
  const asked = new Set(before);
  const wanted = new Set(names);
  // Adding a name to a wildcard subscription and removing it again makes the control plane send
  // that resource, without another effect.
  const onlyNow = again.filter((name) => !wanted.has(name));
  return create(DeltaDiscoveryRequestSchema, {
    typeUrl: TYPE_URLS[type],
    resourceNamesSubscribe: [...names.filter((name) => !asked.has(name)), ...again],
    resourceNamesUnsubscribe: [...[...asked].filter((name) => !wanted.has(name)), ...onlyNow],
    initialResourceVersions: before === null ? Object.fromEntries(versions) : {},
    responseNonce: isAnswer ? nonce : '',
    ...(node === null ? {} : { node }),
    ...(refusal === null ? {} : { errorDetail: refusalStatus(refusal) }),
  });
}
