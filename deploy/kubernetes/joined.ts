import { DRAIN_SECONDS, availability, deployment, networkPolicy, service, serviceAccount } from './parts.ts';
import type { Manifest, Volume } from './types.ts';

/** Names and labels of Kuma's chart, which its control plane and its dashboards look for. */
const selector = { app: 'kuma-egress', 'app.kubernetes.io/name': 'kuma', 'app.kubernetes.io/instance': 'kuma' };
const metadata = { name: 'kuma-egress', namespace: 'kuma-system', labels: selector };
const TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount';

export const CONTROL_PLANE_CA_PATH = '/var/run/secrets/kuma.io/cp-ca';
export const CONTROL_PLANE_CA_FILE: string = `${CONTROL_PLANE_CA_PATH}/ca.crt`;
export const CONTROL_PLANE_CA: Volume = {
  name: 'control-plane-ca',
  secret: { secretName: 'kuma-tls-cert', items: [{ key: 'ca.crt', path: 'ca.crt' }] },
};

/**
 * An egress that gets its configuration from the control plane of the zone, replacing that of
 * Kuma's chart.
 */
const joined = (keepsState: boolean): readonly Manifest[] => [
  serviceAccount(metadata),
  service(metadata, selector),
  deployment({
    keepsState,
    metadata,
    selector,
    // This makes the control plane create a ZoneEgress for each Pod.
    annotations: { 'kuma.io/egress': 'enabled' },
    args: ['run', '--log-level=info'],
    env: [
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
      { name: 'HOST_IP', valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } } },
      { name: 'KUMA_CONTROL_PLANE_URL', value: 'https://kuma-control-plane.kuma-system:5678' },
      { name: 'KUMA_CONTROL_PLANE_CA_CERT_FILE', value: CONTROL_PLANE_CA_FILE },
      { name: 'KUMA_DATAPLANE_DRAIN_TIME', value: `${DRAIN_SECONDS}s` },
      { name: 'KUMA_DATAPLANE_RUNTIME_TOKEN_PATH', value: `${TOKEN}/token` },
      { name: 'KUMA_DATAPLANE_PROXY_TYPE', value: 'egress' },
    ],
    ports: [
      { name: 'mesh', containerPort: 10_002 },
      { name: 'ready', containerPort: 9902 },
      { name: 'inspect', containerPort: 9901 },
    ],
    mounts: [
      { name: 'control-plane-ca', mountPath: CONTROL_PLANE_CA_PATH, readOnly: true },
      { name: 'token', mountPath: TOKEN, readOnly: true },
    ],
    volumes: [
      CONTROL_PLANE_CA,
      // The egress reads it for each connection, so it may be this short-lived.
      { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }] } },
    ],
  }),
  ...availability(metadata, selector),
  networkPolicy(metadata, selector, { metrics: false, inspection: { namespace: metadata.namespace } }),
];

export const JOINED: readonly Manifest[] = joined(false);
/** The same, and it starts on its last good configuration while the control plane is away. */
export const JOINED_STATE: readonly Manifest[] = joined(true);
