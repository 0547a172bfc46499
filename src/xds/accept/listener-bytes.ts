import { createHash } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';
import { ListenerSchema } from '#envoy/config/listener/v3/listener_pb.js';
import type { FilterChain } from '#envoy/config/listener/v3/listener_components_pb.js';
import { FilterChainSchema } from '#envoy/config/listener/v3/listener_components_pb.js';

/**
 * Chains by a hash of their bytes, each with the reason for which Envoy would refuse it, or null.
 */
export type ChainMemory = Map<string, KnownChain>;

export interface KnownChain {
  readonly chain: FilterChain;
  readonly refusal: string | null;
}

const FILTER_CHAINS = ListenerSchema.field.filterChains.number;

/**
 * Reads a listener from its bytes; known chains keep their identity. A listener of an egress
 * contains all of its chains, and a push that changes one of them repeats the others. Throws the
 * decoder's errors.
 */
export function readListener(
  bytes: Uint8Array,
  known: ChainMemory,
  refusalOf: (chain: FilterChain) => string | null,
): { readonly listener: Listener; readonly chains: ChainMemory } {
  const reader = new BinaryReader(bytes);
  const rest = new BinaryWriter();
  const chains: ChainMemory = new Map();
  const inOrder: FilterChain[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, type] = reader.tag();
    if (field === FILTER_CHAINS && type === WireType.LengthDelimited) {
      const own = reader.bytes();
      const hash = createHash('sha256').update(own).digest('base64');
      const found = known.get(hash) ?? chains.get(hash) ?? newChain(own, refusalOf);
      chains.set(hash, found);
      inOrder.push(found.chain);
    } else {
      reader.skip(type, field);
      rest.raw(bytes.subarray(start, reader.pos));
    }
  }
  const listener = fromBinary(ListenerSchema, rest.finish());
  listener.filterChains = inOrder;
  return { listener, chains };
}

function newChain(bytes: Uint8Array, refusalOf: (chain: FilterChain) => string | null): KnownChain {
  const chain = fromBinary(FilterChainSchema, bytes);
  return { chain, refusal: refusalOf(chain) };
}
