// The entry `zone-egress/testing`: fakes for tests of other projects. Only what is exported here is
// supported.
import type { FakeConfiguration, FakeConfigurationOptions } from './control-plane/fake-configuration.ts';
import type { FakeControlPlane, FakeControlPlaneOptions } from './control-plane/fake-control-plane.ts';

export { createFakeEgress } from './egress/fake-egress.ts';
export { CHANNELS } from './egress/fake-egress-api.ts';
export type { FakeDestination, FakeEgress, FakeEgressEvents, FakeEgressOptions, FakeFault } from './egress/fake-egress-api.ts';
export type {
  FakeExternalOptions,
  FakeMeshOptions,
  FakePermission,
  FakeServiceOptions,
  FakeTlsOptions,
  FakeZoneOptions,
  Place,
} from './egress/fake-zone-options.ts';
export { ConnectionRefused } from './egress/fake-client.ts';
export type { ClientFiles, ConnectTo, Connector, FakeClient, FakeClientOptions, FetchDispatcher } from './egress/fake-client.ts';
export type { Explanation, FakeSession } from './egress/fake-session.ts';
export type { FakeRequest, RequestWants } from './egress/fake-request.ts';
export type { ServedRequest } from './egress/served-requests.ts';
export type { SessionWants } from './egress/session-expectations.ts';
export type { Fits, History, WaitOptions } from './egress/session-history.ts';
export type { Wanted, Wants } from './egress/match.ts';
export type { Toxic, ToxicType } from './egress/toxics.ts';
export { FakeClock } from './fake-clock.ts';
export { createTestMesh } from './egress/test-mesh.ts';
export type { BadClient, ClientOptions, TestMesh } from './egress/test-mesh.ts';
export { createFakeExternalService } from './egress/fake-external-service.ts';
export type { Behaviour, FakeExternalService, FakeExternalServiceOptions } from './egress/fake-external-service.ts';
export { createFakeZoneIngress } from './egress/fake-zone-ingress.ts';
export type { FakeZoneIngress, FakeZoneIngressOptions, IngressConnection } from './egress/fake-zone-ingress.ts';
export type { FakeControlPlane, FakeControlPlaneOptions } from './control-plane/fake-control-plane.ts';
export type { FakeConfigurationOptions } from './control-plane/fake-configuration.ts';
export { ConfigError } from '../control/sources/config-source.ts';
export type { Clock, Timer } from '../base/clock.ts';
export type { EndReason, RefusalCode } from '../base/refusal.ts';

/**
 * Makes a control plane on loopback. gRPC and Envoy's messages take a second to load, so they are
 * loaded only by this call.
 */
export async function createFakeControlPlane(options: FakeControlPlaneOptions = {}): Promise<FakeControlPlane> {
  return (await import('./control-plane/fake-control-plane.ts')).createFakeControlPlane(options);
}

/**
 * Makes what Kuma sends the egress of a small zone, for `set` of a fake control plane. Rejects
 * where a service belongs to a mesh that does not exist.
 */
export async function fakeConfiguration(options: FakeConfigurationOptions): Promise<FakeConfiguration> {
  return (await import('./control-plane/fake-configuration.ts')).fakeConfiguration(options);
}
