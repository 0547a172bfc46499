/**
 * The kinds of resources that are read, under the names that operators write. A kind is a file in
 * kinds/ and a line here; the types of the resource set follow.
 */
export { mesh as Mesh } from './kinds/mesh.ts';
export { zoneEgress as ZoneEgress } from './kinds/zone-egress.ts';
export { zoneIngress as ZoneIngress } from './kinds/zone-ingress.ts';
export { dataplane as Dataplane } from './kinds/dataplane.ts';
export { meshIdentity as MeshIdentity } from './kinds/mesh-identity.ts';
export { meshTrust as MeshTrust } from './kinds/mesh-trust.ts';
export { externalService as ExternalService } from './kinds/external-service.ts';
export { meshExternalService as MeshExternalService } from './kinds/mesh-external-service.ts';
export { trafficPermission as TrafficPermission } from './kinds/traffic-permission.ts';
export { meshTrafficPermission as MeshTrafficPermission } from './kinds/mesh-traffic-permission.ts';
export { trafficRoute as TrafficRoute } from './kinds/traffic-route.ts';
export { meshHttpRoute as MeshHTTPRoute } from './kinds/mesh-route.ts';
export { meshTcpRoute as MeshTCPRoute } from './kinds/mesh-route.ts';
export { meshGateway as MeshGateway } from './kinds/mesh-gateway.ts';
export { meshGatewayRoute as MeshGatewayRoute } from './kinds/mesh-gateway.ts';
export { virtualOutbound as VirtualOutbound } from './kinds/virtual-outbound.ts';
export { meshCircuitBreaker as MeshCircuitBreaker } from './kinds/mesh-circuit-breaker.ts';
export { meshHealthCheck as MeshHealthCheck } from './kinds/mesh-health-check.ts';
export { meshLoadBalancingStrategy as MeshLoadBalancingStrategy } from './kinds/mesh-load-balancing-strategy.ts';
export { meshRateLimit as MeshRateLimit } from './kinds/mesh-rate-limit.ts';
export { meshFaultInjection as MeshFaultInjection } from './kinds/mesh-fault-injection.ts';
export { meshTimeout as MeshTimeout } from './kinds/mesh-timeout.ts';
export { meshAccessLog as MeshAccessLog } from './kinds/mesh-access-log.ts';
export { meshService as MeshService } from './kinds/mesh-service.ts';
export { meshMultiZoneService as MeshMultiZoneService } from './kinds/mesh-service.ts';
export { rateLimit as RateLimit } from './kinds/legacy-http-policy.ts';
export { faultInjection as FaultInjection } from './kinds/legacy-http-policy.ts';
export { secret as Secret } from './kinds/secret.ts';
export { globalSecret as GlobalSecret } from './kinds/secret.ts';
