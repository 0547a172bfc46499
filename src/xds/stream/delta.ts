import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DeltaDiscoveryRequest } from '#envoy/service/discovery/v3/discovery_pb.js';
import { DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import { TYPE_URLS } from '../messages/ads-state.ts';
import type { Answer, Ask, Protocol } from './protocol.ts';
import { refusalStatus } from './refusal-status.ts';

/**
 * Each answer has what changed and the names that are gone; each request the names that come and
 * go, and the first one of a type what is held already. An answer with nothing in it says that
 * nothing changed.
 */
export const delta: Protocol = {
  method: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
  emptyAsksForAll: true,
  refusedComesAgain: false,
  write: (ask) => toBinary(DeltaDiscoveryRequestSchema, requestOf(ask)),
  read(bytes): Answer {
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    const { typeUrl, systemVersionInfo: version, nonce, removedResources: removed } = response;
    // One without content says that it lives on, for which there is no need here.
    const resources = response.resources.flatMap(({ name, version, resource }) =>
      resource === undefined ? [] : [{ name, version, any: resource }],
    );
    return { typeUrl, version, nonce, resources, removed, isWhole: false };
  },
};

function requestOf(ask: Ask): DeltaDiscoveryRequest {
  const { type, node, names, before, again, versions, nonce, isAnswer, refusal } = ask;
  const asked = new Set(before);
  const wanted = new Set(names);
  // To name what is asked for as a whole, and to take that back, has it sent and changes nothing.
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
