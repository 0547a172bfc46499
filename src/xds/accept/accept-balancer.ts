import type { Any } from '@bufbuild/protobuf/wkt';
import { isPrime } from '../../base/is-prime.ts';
import { BALANCING_DEFAULTS } from '../../model/cluster.ts';
import { BALANCERS } from '../messages/cluster-extensions.ts';
import {
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  Cluster_LbSubsetConfig_LbSubsetFallbackPolicy,
  Cluster_LbSubsetConfig_LbSubsetSelector_LbSubsetSelectorFallbackPolicy,
  Cluster_RingHashLbConfig_HashFunction,
} from '#envoy/config/cluster/v3/cluster_pb.js';
import type { Cluster, LoadBalancingPolicy } from '#envoy/config/cluster/v3/cluster_pb.js';
import { LeastRequestSchema } from '#envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
import { MaglevSchema } from '#envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.js';
import { RingHashSchema } from '#envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.js';
import { SubsetSchema } from '#envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js';
import { WrrLocalitySchema } from '#envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js';
import { above, constraint, undefinedEnum } from './proto-constraint.ts';
import { typeOf, unpack } from '../messages/typed-config.ts';

/**
 * Returns why Envoy would refuse the way in which this cluster picks its endpoints, with Envoy's
 * messages.
 */
export function* balancerRefusals(cluster: Cluster): Iterable<string> {
  const { lbPolicy, loadBalancingPolicy, commonLbConfig, clusterDiscoveryType: type } = cluster;
  yield* undefinedEnum('Cluster', { LbPolicy: [lbPolicy, Cluster_LbPolicy] });
  yield* configRefusals(cluster);
  yield* subsetRefusals(cluster);
  const panic = commonLbConfig?.healthyPanicThreshold?.value;
  if (panic !== undefined && !(panic >= 0 && panic <= 100))
    yield constraint('Percent', 'Value', 'value must be inside range [0, 100]');
  if (loadBalancingPolicy !== undefined || lbPolicy === Cluster_LbPolicy.LOAD_BALANCING_POLICY_CONFIG) {
    yield* policyRefusals(cluster, loadBalancingPolicy);
    return;
  }
  const isOriginal = type.case === 'type' && type.value === Cluster_DiscoveryType.ORIGINAL_DST;
  const isProvided = lbPolicy === Cluster_LbPolicy.CLUSTER_PROVIDED;
  if (isOriginal && !isProvided)
    yield `cluster: LB policy ${Cluster_LbPolicy[lbPolicy]} is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'`;
  if (isProvided && type.case === 'type' && !isOriginal)
    yield `cluster: LB policy CLUSTER_PROVIDED cannot be combined with this type of cluster`;
}

const MAX_RING = 8_388_608;
const MAX_TABLE = 5_000_011;

function* configRefusals({ lbConfig, lbPolicy }: Cluster): Iterable<string> {
  switch (lbConfig.case) {
    case 'leastRequestLbConfig':
      yield* choiceRefusals(lbConfig.value.choiceCount);
      return;
    case 'ringHashLbConfig':
      yield* undefinedEnum('Cluster_RingHashLbConfig', {
        HashFunction: [lbConfig.value.hashFunction, Cluster_RingHashLbConfig_HashFunction],
      });
      yield* ringRefusals(lbConfig.value, { isUsed: lbPolicy === Cluster_LbPolicy.RING_HASH });
      return;
    case 'maglevLbConfig':
      yield* tableRefusals(lbConfig.value.tableSize, { isUsed: lbPolicy === Cluster_LbPolicy.MAGLEV });
      return;
    default:
  }
}

function* choiceRefusals(choiceCount: number | undefined): Iterable<string> {
  if (choiceCount !== undefined && choiceCount < 2)
    yield constraint('LeastRequest', 'ChoiceCount', 'value must be greater than or equal to 2');
}

function* ringRefusals(
  ring: { readonly minimumRingSize?: bigint | undefined; readonly maximumRingSize?: bigint | undefined },
  { isUsed }: { readonly isUsed: boolean },
): Iterable<string> {
  yield* above(MAX_RING, 'RingHash', { MinimumRingSize: ring.minimumRingSize, MaximumRingSize: ring.maximumRingSize });
  const least = Number(ring.minimumRingSize ?? BALANCING_DEFAULTS.minimumRingSize);
  const most = Number(ring.maximumRingSize ?? BALANCING_DEFAULTS.maximumRingSize);
  if (isUsed && least > most) yield `ring hash: minimum_ring_size (${least}) > maximum_ring_size (${most})`;
}

function* tableRefusals(tableSize: bigint | undefined, { isUsed }: { readonly isUsed: boolean }): Iterable<string> {
  yield* above(MAX_TABLE, 'Maglev', { TableSize: tableSize });
  if (isUsed && tableSize !== undefined && tableSize <= MAX_TABLE && !isPrime(Number(tableSize)))
    yield 'The table size of maglev must be prime number';
}

function* subsetRefusals({ lbSubsetConfig: subsets, commonLbConfig: common }: Cluster): Iterable<string> {
  if (subsets === undefined) return;
  yield* undefinedEnum('Cluster_LbSubsetConfig', {
    FallbackPolicy: [subsets.fallbackPolicy, Cluster_LbSubsetConfig_LbSubsetFallbackPolicy],
  });
  for (const { fallbackPolicy } of subsets.subsetSelectors)
    yield* undefinedEnum('Cluster_LbSubsetConfig_LbSubsetSelector', {
      FallbackPolicy: [fallbackPolicy, Cluster_LbSubsetConfig_LbSubsetSelector_LbSubsetSelectorFallbackPolicy],
    });
  if (subsets.localityWeightAware && common?.localityConfigSpecifier.case !== 'localityWeightedLbConfig')
    yield 'Locality weight aware subset LB requires that a locality_weighted_lb_config be set';
}

function* policyRefusals(
  { name, lbSubsetConfig, commonLbConfig: common }: Cluster,
  policy: LoadBalancingPolicy | undefined,
): Iterable<string> {
  if (policy === undefined) {
    yield 'cluster: field load_balancing_policy need to be set';
    return;
  }
  if (lbSubsetConfig !== undefined) yield 'cluster: load_balancing_policy cannot be combined with lb_subset_config';
  if (common?.localityConfigSpecifier.case !== undefined || common?.consistentHashingLbConfig !== undefined)
    yield 'cluster: load_balancing_policy cannot be combined with partial fields (zone_aware_lb_config, locality_weighted_lb_config, consistent_hashing_lb_config) of common_lb_config';
  yield* chosenRefusals(name, policy);
}

function* chosenRefusals(cluster: string, { policies }: LoadBalancingPolicy): Iterable<string> {
  const configs = policies.map(({ typedExtensionConfig }) => typedExtensionConfig);
  const chosen = configs.find((config) => BALANCERS.has(typeOf(config?.typedConfig)));
  if (chosen === undefined) {
    const names = configs.map((config) => config?.name ?? '').join(', ');
    yield `cluster: didn't find a registered load balancer factory implementation for cluster: '${cluster}' with names from [${names}]`;
    return;
  }
  yield* insideRefusals(cluster, chosen.typedConfig);
}

function* insideRefusals(cluster: string, config: Any | undefined): Iterable<string> {
  const ring = unpack(config, RingHashSchema);
  if (ring !== undefined) yield* ringRefusals(ring, { isUsed: true });
  if (ring?.minimumRingSize === 0n) yield constraint('RingHash', 'MinimumRingSize', 'value must be inside range [1, 8388608]');
  const table = unpack(config, MaglevSchema);
  if (table !== undefined) yield* tableRefusals(table.tableSize, { isUsed: true });
  yield* choiceRefusals(unpack(config, LeastRequestSchema)?.choiceCount);
  const subset = unpack(config, SubsetSchema);
  const locality = unpack(config, WrrLocalitySchema);
  if (subset !== undefined && subset.subsetLbPolicy === undefined)
    yield constraint('Subset', 'SubsetLbPolicy', 'value is required');
  if (locality !== undefined && locality.endpointPickingPolicy === undefined)
    yield constraint('WrrLocality', 'EndpointPickingPolicy', 'value is required');
  const inner = subset?.subsetLbPolicy ?? locality?.endpointPickingPolicy;
  if (inner !== undefined) yield* chosenRefusals(cluster, inner);
}
