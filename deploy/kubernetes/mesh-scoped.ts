import { CONTROL_PLANE_CA, CONTROL_PLANE_CA_FILE, CONTROL_PLANE_CA_PATH } from './joined.ts';
import { DRAIN_SECONDS, availability, deployment, networkPolicy, service, serviceAccount } from './parts.ts';
import type { Manifest, Metadata } from './types.ts';

const NAMESPACE = 'zone-egress-meshes';
/** The meshes to start from; each has a Dataplane and a Secret with its token. */
const MESHES = ['mesh-a', 'mesh-b'] as const;
/** The control plane reads the Dataplane of the first mesh at this port, the next at the next. */
const INSPECTION = 9910;
const MOST_MESHES = 90;
const WORKLOAD = 'zone-egress';
const DATAPLANES = '/etc/zone-egress/dataplanes';
const selector = {
  app: 'zone-egress',
  'app.kubernetes.io/name': 'zone-egress',
  'app.kubernetes.io/instance': 'zone-egress',
};
const named = (name: string): Metadata => ({ name, namespace: NAMESPACE, labels: selector });
const metadata = named('zone-egress');

/** Each Pod fills in its own name and address, so that several replicas are several Dataplanes. */
function dataplane(mesh: string, place: number): string {
  return `type: Dataplane
mesh: "${mesh}"
name: {{ pod }}
labels:
  kuma.io/workload: "${WORKLOAD}"
networking:
  address: {{ address }}
  admin:
    port: ${INSPECTION + place}
  listeners:
  - type: ZoneEgress
    address: {{ address }}
    port: 10002
    name: egress-port
`;
}

/**
 * One Deployment that joins a control plane in Universal mode as the egress of each of several
 * meshes. A control plane in Kubernetes mode makes Dataplanes out of Pods, of one mesh each.
 */
const meshScoped = (keepsState: boolean): readonly Manifest[] => [
  {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: NAMESPACE, labels: { ...selector, 'pod-security.kubernetes.io/enforce': 'restricted' } },
  },
  serviceAccount(metadata),
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: named('zone-egress-dataplanes'),
    data: Object.fromEntries(MESHES.map((mesh, place) => [`${mesh}.yaml`, dataplane(mesh, place)])),
  },
  service(metadata, selector),
  deployment({
    keepsState,
    metadata,
    selector,
    args: [
      'run',
      '--proxy-type=dataplane',
      `--dataplane-file=${DATAPLANES}`,
      '--dataplane-var=pod=$(POD_NAME)',
      '--dataplane-var=address=$(POD_IP)',
      '--log-level=info',
    ],
    env: [
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'KUMA_CONTROL_PLANE_URL', value: 'https://kuma-control-plane.kuma-system:5678' },
      { name: 'KUMA_CONTROL_PLANE_CA_CERT_FILE', value: CONTROL_PLANE_CA_FILE },
      { name: 'KUMA_DATAPLANE_DRAIN_TIME', value: `${DRAIN_SECONDS}s` },
      { name: 'KUMA_DATAPLANE_RUNTIME_ENVOY_XDS_TRANSPORT_PROTOCOL_VARIANT', value: 'DELTA_GRPC' },
    ],
    ports: [
      { name: 'mesh', containerPort: 10_002 },
      { name: 'ready', containerPort: 9902 },
    ],
    mounts: [
      { name: 'control-plane-ca', mountPath: CONTROL_PLANE_CA_PATH, readOnly: true },
      { name: 'dataplanes', mountPath: DATAPLANES, readOnly: true },
    ],
    volumes: [
      CONTROL_PLANE_CA,
      {
        name: 'dataplanes',
        projected: {
          sources: [
            { configMap: { name: 'zone-egress-dataplanes' } },
            // The token of NAME.yaml is NAME.token beside it.
            ...MESHES.map((mesh) => ({
              secret: { name: `zone-egress-token-${mesh}`, items: [{ key: 'token', path: `${mesh}.token` }] },
            })),
          ],
        },
      },
    ],
  }),
  ...availability(metadata, selector),
  networkPolicy(metadata, selector, {
    metrics: false,
    anyClient: true,
    inspection: { first: INSPECTION, last: INSPECTION + MOST_MESHES - 1 },
  }),
];

export const MESH_SCOPED: readonly Manifest[] = meshScoped(false);
/** The same, and it starts on its last good configurations while the control plane is away. */
export const MESH_SCOPED_STATE: readonly Manifest[] = meshScoped(true);
