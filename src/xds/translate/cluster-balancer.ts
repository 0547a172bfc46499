import type { Any } from '@bufbuild/protobuf/wkt';
import { BALANCING_DEFAULTS } from '../../model/cluster.ts';
import type { Balancer, Cluster } from '../../model/cluster.ts';
import { Cluster_LbPolicy, Cluster_RingHashLbConfig_HashFunction } from '#envoy/config/cluster/v3/cluster_pb.js';
import type {
  Cluster as EnvoyCluster,
  Cluster_CommonLbConfig,
  LoadBalancingPolicy,
} from '#envoy/config/cluster/v3/cluster_pb.js';
import type { LocalityLbConfig } from '#envoy/extensions/load_balancing_policies/common/v3/common_pb.js';
import { LeastRequestSchema } from '#envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
import { MaglevSchema } from '#envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.js';
import { RandomSchema } from '#envoy/extensions/load_balancing_policies/random/v3/random_pb.js';
import { RingHash_HashFunction, RingHashSchema } from '#envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.js';
import { RoundRobinSchema } from '#envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js';
import { SubsetSchema } from '#envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js';
import { WrrLocalitySchema } from '#envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js';
import { BALANCERS } from '../messages/cluster-extensions.ts';
import { typeOf, unpack } from '../messages/typed-config.ts';

export interface BalancingRead {
  /**
   * `balancer`, `localityWeighting`, `panicThresholdPercent`, `failInPanic`: only values that
   * differ from the defaults, or were written.
   */
  readonly fields: Partial<Cluster>;
  readonly remarks: readonly string[];
}

/**
 * Reads the balancing policy: the extension where there is one, else the old field. Round robin is
 * left out.
 */
export function readBalancing(cluster: EnvoyCluster): BalancingRead {
  const { loadBalancingPolicy, commonLbConfig } = cluster;
  const own = loadBalancingPolicy === undefined ? byEnum(cluster) : byExtension(loadBalancingPolicy);
  const fields = { ...own.fields, ...commonFields(commonLbConfig) };
  const panic = commonLbConfig?.healthyPanicThreshold?.value;
  return { fields: { ...fields, ...(panic === undefined ? {} : { panicThresholdPercent: panic }) }, remarks: own.remarks };
}

function commonFields(common: Cluster_CommonLbConfig | LocalityLbConfig | undefined): Partial<Cluster> {
  const specifier = common?.localityConfigSpecifier;
  switch (specifier?.case) {
    case 'localityWeightedLbConfig':
      return { localityWeighting: true };
    case 'zoneAwareLbConfig':
      return specifier.value.failTrafficOnPanic ? { failInPanic: true } : {};
    case undefined:
      return {};
    default:
      return specifier satisfies never;
  }
}

const SLOW_START = 'a slow start is not made: a new endpoint gets its whole share at once';

function read(balancer: Balancer | null, remarks: readonly string[] = [], more: Partial<Cluster> = {}): BalancingRead {
  return { fields: { ...(balancer === null ? {} : { balancer }), ...more }, remarks };
}

function byEnum({ lbPolicy, lbConfig }: EnvoyCluster): BalancingRead {
  switch (lbPolicy) {
    case Cluster_LbPolicy.LEAST_REQUEST: {
      const config = lbConfig.case === 'leastRequestLbConfig' ? lbConfig.value : undefined;
      return read(leastRequest(config), config?.slowStartConfig === undefined ? [] : [SLOW_START]);
    }
    case Cluster_LbPolicy.RING_HASH: {
      const config = lbConfig.case === 'ringHashLbConfig' ? lbConfig.value : undefined;
      return read(ringHash(config, config?.hashFunction === Cluster_RingHashLbConfig_HashFunction.MURMUR_HASH_2));
    }
    case Cluster_LbPolicy.RANDOM:
      return read({ kind: 'random' });
    case Cluster_LbPolicy.MAGLEV:
      return read(maglev(lbConfig.case === 'maglevLbConfig' ? lbConfig.value : undefined));
    case Cluster_LbPolicy.ROUND_ROBIN:
    case Cluster_LbPolicy.CLUSTER_PROVIDED:
    case Cluster_LbPolicy.LOAD_BALANCING_POLICY_CONFIG: {
      const slow = lbConfig.case === 'roundRobinLbConfig' && lbConfig.value.slowStartConfig !== undefined;
      return read(null, slow ? [SLOW_START] : []);
    }
    default:
      return lbPolicy satisfies never;
  }
}

/**
 * The first policy that Envoy knows counts; policies inside of its own (subsets, localities) are
 * followed.
 */
function byExtension({ policies }: LoadBalancingPolicy): BalancingRead {
  const config = policies
    .map(({ typedExtensionConfig }) => typedExtensionConfig?.typedConfig)
    .find((each) => BALANCERS.has(typeOf(each)));
  const least = unpack(config, LeastRequestSchema);
  if (least !== undefined)
    return read(
      leastRequest(least),
      least.slowStartConfig === undefined ? [] : [SLOW_START],
      commonFields(least.localityLbConfig),
    );
  const round = unpack(config, RoundRobinSchema);
  if (round !== undefined)
    return read(null, round.slowStartConfig === undefined ? [] : [SLOW_START], commonFields(round.localityLbConfig));
  const random = unpack(config, RandomSchema);
  if (random !== undefined) return read({ kind: 'random' }, [], commonFields(random.localityLbConfig));
  const ring = unpack(config, RingHashSchema);
  if (ring !== undefined)
    return read(
      ringHash(ring, ring.hashFunction === RingHash_HashFunction.MURMUR_HASH_2),
      [],
      weighted(ring.localityWeightedLbConfig),
    );
  const table = unpack(config, MaglevSchema);
  if (table !== undefined) return read(maglev(table), [], weighted(table.localityWeightedLbConfig));
  return byNested(config);
}

function byNested(config: Any | undefined): BalancingRead {
  const subset = unpack(config, SubsetSchema)?.subsetLbPolicy;
  if (subset !== undefined) return byExtension(subset);
  const locality = unpack(config, WrrLocalitySchema)?.endpointPickingPolicy;
  if (locality !== undefined) {
    const inner = byExtension(locality);
    return { fields: { ...inner.fields, localityWeighting: true }, remarks: inner.remarks };
  }
  const type = typeOf(config);
  return read(null, [`the load balancing policy ${type === '' ? 'without a configuration' : type} is not known: round robin`]);
}

function weighted(config: object | undefined): Partial<Cluster> {
  return config === undefined ? {} : { localityWeighting: true };
}

interface LeastRequestConfig {
  readonly choiceCount?: number | undefined;
  readonly activeRequestBias?: { readonly defaultValue: number } | undefined;
}

function leastRequest(config: LeastRequestConfig | undefined): Balancer {
  const bias = config?.activeRequestBias?.defaultValue;
  return {
    kind: 'least-request',
    choiceCount: config?.choiceCount ?? BALANCING_DEFAULTS.choiceCount,
    ...(bias === undefined ? {} : { activeRequestBias: bias }),
  };
}

interface RingConfig {
  readonly minimumRingSize?: bigint | undefined;
  readonly maximumRingSize?: bigint | undefined;
}

function ringHash(config: RingConfig | undefined, isMurmur: boolean): Balancer {
  const minimumRingSize = Number(config?.minimumRingSize ?? BALANCING_DEFAULTS.minimumRingSize);
  return {
    kind: 'ring-hash',
    minimumRingSize,
    maximumRingSize: Math.max(minimumRingSize, Number(config?.maximumRingSize ?? BALANCING_DEFAULTS.maximumRingSize)),
    hashFunction: isMurmur ? 'murmur-hash-2' : 'xx-hash',
  };
}

function maglev(config: { readonly tableSize?: bigint | undefined } | undefined): Balancer {
  return { kind: 'maglev', tableSize: Number(config?.tableSize ?? BALANCING_DEFAULTS.tableSize) };
}
