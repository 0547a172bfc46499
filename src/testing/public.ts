// The entry of `zone-egress/testing`: fakes for other people's tests. What is not here is not for use.
import type { FakeConfiguration, FakeConfigurationOptions } from './fake-configuration.ts';
import type { FakeControlPlane, FakeControlPlaneOptions } from './fake-control-plane.ts';

export { createFakeEgress } from './fake-egress.ts';
export { CHANNELS } from './fake-egress-api.ts';
export type { FakeDestination, FakeEgress, FakeEgressEvents, FakeEgressOptions, FakeFault } from './fake-egress-api.ts';
export type {
  FakeExternalOptions,
  FakeMeshOptions,
  FakePermission,
  FakeServiceOptions,
  FakeTlsOptions,
  FakeZoneOptions,
  Place,
} from './fake-zone-options.ts';
export { ConnectionRefused } from './fake-client.ts';
export type { ClientFiles, ConnectTo, Connector, FakeClient, FakeClientOptions, FetchDispatcher } from './fake-client.ts';
export type { Explanation, FakeSession } from './fake-session.ts';
export type { SessionWants } from './expectations.ts';
export type { Fits, History, WaitOptions } from './history.ts';
export type { Wanted, Wants } from './match.ts';
export type { Toxic, ToxicType } from './toxics.ts';
export { FakeClock } from './fake-clock.ts';
export { createTestMesh } from './test-mesh.ts';
export type { BadClient, ClientOptions, TestMesh } from './test-mesh.ts';
export { createFakeExternalService } from './fake-external-service.ts';
export type { Behaviour, FakeExternalService, FakeExternalServiceOptions } from './fake-external-service.ts';
export { createFakeZoneIngress } from './fake-zone-ingress.ts';
export type { FakeZoneIngress, FakeZoneIngressOptions, IngressConnection } from './fake-zone-ingress.ts';
export type { FakeControlPlane, FakeControlPlaneOptions } from './fake-control-plane.ts';
export type { FakeConfigurationOptions } from './fake-configuration.ts';
export { ConfigError } from '../control/config-source.ts';
export type { Clock, Timer } from '../base/clock.ts';
export type { EndReason, RefusalCode } from '../base/refusal.ts';

/** A control plane on loopback. gRPC and Envoy's messages take a second to load: only who asks for it waits for them. */
export async function createFakeControlPlane(options: FakeControlPlaneOptions = {}): Promise<FakeControlPlane> {
  return (await import('./fake-control-plane.ts')).createFakeControlPlane(options);
}

/** What Kuma sends the egress of a small zone, for `set` of a fake control plane. Rejects where a service is of a mesh that is not there. */
export async function fakeConfiguration(options: FakeConfigurationOptions): Promise<FakeConfiguration> {
  return (await import('./fake-configuration.ts')).fakeConfiguration(options);
}
