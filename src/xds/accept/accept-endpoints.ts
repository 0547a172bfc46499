import { isIP } from 'node:net';
import type { Address } from '#envoy/config/core/v3/address_pb.js';
import { HealthStatus } from '#envoy/config/core/v3/health_check_pb.js';
import type { ClusterLoadAssignment } from '#envoy/config/endpoint/v3/endpoint_pb.js';
import type { Endpoint, LbEndpoint, LocalityLbEndpoints } from '#envoy/config/endpoint/v3/endpoint_components_pb.js';
import { above, constraint, notPositive } from './proto-constraint.ts';

const MAX_PORT = 65_535;
const MAX_PRIORITY = 128;
const MAX_WEIGHTS = 4_294_967_295;

/**
 * Returns why Envoy would refuse these endpoints, with Envoy's messages. `resolves`: names are
 * resolved; otherwise only addresses are allowed.
 */
export function* assignmentRefusals(
  { clusterName, endpoints, policy }: ClusterLoadAssignment,
  { resolves }: { readonly resolves: boolean },
): Iterable<string> {
  if (clusterName === '') yield constraint('ClusterLoadAssignment', 'ClusterName', 'value length must be at least 1 characters');
  if (policy?.overprovisioningFactor === 0)
    yield constraint('ClusterLoadAssignment_Policy', 'OverprovisioningFactor', 'value must be greater than 0');
  yield* notPositive('ClusterLoadAssignment_Policy', { EndpointStaleAfter: policy?.endpointStaleAfter });
  if ((policy?.dropOverloads.length ?? 0) > 1) yield 'Cluster drop_overloads config has more than one entry (limit 1)';
  for (const group of endpoints) yield* groupRefusals(group, resolves);
  yield* weightRefusals(endpoints);
}

function* groupRefusals(
  { priority, loadBalancingWeight, lbEndpoints }: LocalityLbEndpoints,
  resolves: boolean,
): Iterable<string> {
  yield* above(MAX_PRIORITY, 'LocalityLbEndpoints', { Priority: priority });
  if (loadBalancingWeight === 0)
    yield constraint('LocalityLbEndpoints', 'LoadBalancingWeight', 'value must be greater than or equal to 1');
  for (const item of lbEndpoints) yield* endpointRefusals(item, resolves);
}

function* endpointRefusals(item: LbEndpoint, resolves: boolean): Iterable<string> {
  const { loadBalancingWeight, healthStatus, hostIdentifier } = item;
  if (loadBalancingWeight === 0)
    yield constraint('LbEndpoint', 'LoadBalancingWeight', 'value must be greater than or equal to 1');
  if (HealthStatus[healthStatus] === undefined)
    yield constraint('LbEndpoint', 'HealthStatus', 'value must be one of the defined enum values');
  if (hostIdentifier.case !== 'endpoint') return;
  const { address, healthCheckConfig, additionalAddresses }: Endpoint = hostIdentifier.value;
  yield* addressRefusals(address, resolves);
  for (const more of additionalAddresses) yield* addressRefusals(more.address, false);
  if (healthCheckConfig !== undefined)
    yield* above(MAX_PORT, 'Endpoint_HealthCheckConfig', { PortValue: healthCheckConfig.portValue });
}

function* addressRefusals(address: Address | undefined, resolves: boolean): Iterable<string> {
  const kind = address?.address;
  if (kind?.case === undefined) yield constraint('Address', 'Address', 'value is required');
  if (kind?.case === 'pipe' && kind.value.path === '')
    yield constraint('Pipe', 'Path', 'value length must be at least 1 characters');
  if (kind?.case !== 'socketAddress') return;
  const { address: host, portSpecifier: port, resolverName } = kind.value;
  if (host === '') yield constraint('SocketAddress', 'Address', 'value length must be at least 1 characters');
  if (port.case === undefined) yield constraint('SocketAddress', 'PortSpecifier', 'value is required');
  if (port.case === 'portValue') yield* above(MAX_PORT, 'SocketAddress', { PortValue: port.value });
  if (resolves && resolverName !== '') yield 'STRICT_DNS clusters must NOT have a custom resolver name set';
  if (resolves || resolverName !== '') return;
  if (port.case === 'namedPort') yield `IP resolver can't handle port specifier type 2`;
  if (isIP(host) === 0 || host.includes('%'))
    yield `malformed IP address: ${host}. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'`;
}

function* weightRefusals(endpoints: readonly LocalityLbEndpoints[]): Iterable<string> {
  const byPriority = new Map<number, number>();
  for (const { priority, loadBalancingWeight, lbEndpoints } of endpoints) {
    byPriority.set(priority, (byPriority.get(priority) ?? 0) + (loadBalancingWeight ?? 0));
    const sum = lbEndpoints.reduce((all, item) => all + (item.loadBalancingWeight ?? 1), 0);
    if (sum > MAX_WEIGHTS) yield `The sum of weights of all endpoints in the locality exceeds ${MAX_WEIGHTS}`;
  }
  for (const [priority, sum] of byPriority) {
    if (sum > MAX_WEIGHTS) yield `The sum of weights of all localities at the same priority ${priority} exceeds ${MAX_WEIGHTS}`;
  }
}
