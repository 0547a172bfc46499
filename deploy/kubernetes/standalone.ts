import { ruleGroups } from '../monitoring/render.ts';
import { DRAIN_SECONDS, availability, deployment, networkPolicy, service, serviceAccount } from './parts.ts';
import type { Manifest, Metadata } from './types.ts';

const NAMESPACE = 'zone-egress';
const selector = {
  app: 'zone-egress',
  'app.kubernetes.io/name': 'zone-egress',
  'app.kubernetes.io/instance': 'zone-egress',
};
const named = (name: string): Metadata => ({ name, namespace: NAMESPACE, labels: selector });
const metadata = named('zone-egress');

/**
 * Resources to start from: one mesh, one external service, one permission. Keys are in a Secret.
 */
export const RESOURCES: Readonly<Record<string, string>> = {
  '10-mesh.yaml': `type: Mesh
name: default
mtls:
  enabledBackend: ca-1
  backends:
  - { name: ca-1, type: builtin }
routing:
  zoneEgress: true
`,
  // The Pod listens on every address (--bind), independent of this one.
  '20-zone.yaml': `type: ZoneEgress
name: egress-east
zone: east
networking:
  address: 127.0.0.1
  port: 10002
  admin: { port: 9901 }
`,
  '30-external-services.yaml': `type: ExternalService
mesh: default
name: example
tags: { kuma.io/service: example, kuma.io/protocol: tcp }
networking:
  address: example.com:443
`,
  '40-permissions.yaml': `type: TrafficPermission
mesh: default
name: frontend-to-example
sources:
- match: { kuma.io/service: frontend }
destinations:
- match: { kuma.io/service: example }
`,
};

/** An egress that serves a folder: a ConfigMap with resources, a Secret with keys. */
export const STANDALONE: readonly Manifest[] = [
  {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: NAMESPACE, labels: { ...selector, 'pod-security.kubernetes.io/enforce': 'restricted' } },
  },
  serviceAccount(metadata),
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: named('zone-egress-resources'), data: RESOURCES },
  service(metadata, selector),
  deployment({
    metadata,
    selector,
    args: [
      'run',
      '--resources',
      '/etc/zone-egress',
      '--bind',
      '0.0.0.0',
      '--admin-bind',
      '0.0.0.0',
      '--drain-time',
      `${DRAIN_SECONDS}s`,
      '--log-level=info',
    ],
    env: [],
    ports: [
      { name: 'mesh', containerPort: 10_002 },
      { name: 'admin', containerPort: 9901 },
      { name: 'ready', containerPort: 9902 },
    ],
    mounts: [{ name: 'resources', mountPath: '/etc/zone-egress', readOnly: true }],
    volumes: [
      {
        name: 'resources',
        projected: {
          sources: [{ configMap: { name: 'zone-egress-resources' } }, { secret: { name: 'zone-egress-secrets' } }],
        },
      },
    ],
  }),
  ...availability(metadata, selector),
  networkPolicy(metadata, selector, { metrics: true }),
];

/** For clusters where Prometheus' operator has installed the kind PrometheusRule. */
export const STANDALONE_RULES: readonly Manifest[] = [
  { apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata, spec: ruleGroups() },
];

/** For clusters where Prometheus' operator has installed the kind ServiceMonitor. */
export const STANDALONE_METRICS: readonly Manifest[] = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...named('zone-egress-admin'), labels: { ...selector, 'zone-egress/pages': 'admin' } },
    spec: { clusterIP: 'None', selector, ports: [{ name: 'admin', port: 9901, protocol: 'TCP', targetPort: 'admin' }] },
  },
  {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'ServiceMonitor',
    metadata,
    spec: {
      selector: { matchLabels: { ...selector, 'zone-egress/pages': 'admin' } },
      endpoints: [{ port: 'admin', path: '/stats/prometheus', interval: '30s' }],
    },
  },
];
