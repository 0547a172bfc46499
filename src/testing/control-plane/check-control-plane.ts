/** Checks the options of the fakes of a control plane, for callers from JavaScript. */
import { amount, anything, byName, either, flag, having, listOf, name, oneOf, options, port, text } from '../../base/shape.ts';
import type { Check } from '../../base/shape.ts';
import { clock } from '../../control/option-checks.ts';
import type { EnvoyResources } from './envoy-resources.ts';
import type { ServiceAddress, UpstreamTlsShape } from './envoy-shapes.ts';
import type {
  FakeConfigurationOptions,
  FakeExternal,
  FakeMeshExternal,
  FakePassthrough,
  FakeRemote,
} from './fake-configuration.ts';
import type { FakeControlPlaneOptions } from './fake-control-plane.ts';
import { KUMA_VERSIONS } from './fake-node.ts';
import { certificateAndKey } from '../egress/test-mesh.ts';

const version = oneOf(KUMA_VERSIONS);

export const envoyResources: Check = options<EnvoyResources>({
  clusters: listOf(anything),
  endpoints: listOf(anything),
  listeners: listOf(anything),
  secrets: listOf(anything),
});

export const controlPlaneOptions: Check = options<FakeControlPlaneOptions>({
  address: name,
  port,
  zone: name,
  version,
  clock,
  resources: envoyResources,
  zoneEgresses: listOf(name),
  deregistrationDelayMs: amount,
  nackBackoffMs: amount,
  firstAnswerMs: amount,
  authentication: oneOf(['zoneToken', 'none']),
  certificate: oneOf(['issued', 'self-signed']),
  xdsHost: name,
  reloadableTokens: flag,
  delta: flag,
  recordedBootstrap: text,
});

export const controlPlaneWait: Check = options<{ readonly timeoutMs?: number }>({ timeoutMs: amount });

const tls = options<UpstreamTlsShape>({ caCert: text, serverName: text, client: certificateAndKey });
const address = { address: name, port, priority: amount };
const protocol = oneOf(['tcp', 'http']);
const principal = either('a service, a URI or a list of them', { string: text, list: listOf(text) });

export const configurationOptions: Check = options<FakeConfigurationOptions>(
  {
    address: name,
    port,
    version,
    meshes: listOf(having('a mesh of createTestMesh', 'client', 'badClient', 'rotate')),
    external: byName(
      options<FakeExternal>(
        {
          ...address,
          mesh: name,
          protocol,
          tls,
          allow: listOf(principal),
          by: oneOf(['TrafficPermission', 'MeshTrafficPermission']),
          policy: name,
          tags: byName(text),
        },
        ['address', 'port'],
      ),
    ),
    meshExternal: byName(
      options<FakeMeshExternal>(
        {
          mesh: name,
          protocol,
          tls,
          port,
          endpoints: listOf(options<ServiceAddress>(address, ['address', 'port'])),
          allowed: flag,
          breaker: flag,
        },
        ['port', 'endpoints'],
      ),
    ),
    passthrough: byName(
      options<FakePassthrough>(
        {
          mesh: name,
          remotes: listOf(options<FakeRemote>({ ...address, zone: name, tags: byName(text) }, ['address', 'port', 'zone'])),
        },
        ['remotes'],
      ),
    ),
    admin: options<NonNullable<FakeConfigurationOptions['admin']>>(
      { port, caCert: text, server: certificateAndKey, readinessPort: port, socketPath: text },
      ['port', 'caCert', 'server'],
    ),
    identities: byName(certificateAndKey),
  },
  ['address', 'port', 'meshes'],
);
