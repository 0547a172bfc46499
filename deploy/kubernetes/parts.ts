import type { Container, EnvVar, Manifest, Metadata, Volume } from './types.ts';

export const IMAGE = 'zone-egress:0.1.0';
/** How long sessions may continue after SIGTERM. */
export const DRAIN_SECONDS = 30;
/**
 * The kubelet kills after this: the drain, and some seconds for the rest (the log, leaving the
 * control plane).
 */
export const GRACE_SECONDS: number = DRAIN_SECONDS + 15;

/**
 * The Pod cannot read its own grace period. With this the egress warns of a drain time that does
 * not fit, wherever that was set.
 */
const GRACE: EnvVar = { name: 'ZONE_EGRESS_GRACE_PERIOD', value: `${GRACE_SECONDS}s` };

/**
 * Two files of at most 128 MiB each: the one that is written lies beside the one that it replaces.
 * An emptyDir, because the name of a Pod is the owner of what is kept, and a new Pod has another.
 */
const STATE: Volume = { name: 'state', emptyDir: { sizeLimit: '256Mi' } };
/** The egress makes a folder of its own in it: every user may write in an emptyDir. */
const STATE_PATH = '/var/lib/zone-egress';

export interface Deployed {
  readonly metadata: Metadata;
  readonly selector: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly env: readonly EnvVar[];
  readonly ports: Container['ports'];
  readonly mounts: Container['volumeMounts'];
  readonly volumes: readonly Volume[];
  /** Keeps the last good configuration of the control plane in a volume of the Pod. */
  readonly keepsState?: boolean;
}

export function deployment(of: Deployed): Manifest {
  const { metadata, selector } = of;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      // Without `replicas`: the HorizontalPodAutoscaler sets them, and an apply would reset them.
      strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      selector: { matchLabels: selector },
      template: {
        metadata: { labels: selector, ...(of.annotations === undefined ? {} : { annotations: of.annotations }) },
        spec: {
          serviceAccountName: metadata.name,
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: GRACE_SECONDS,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 5678,
            runAsGroup: 5678,
            fsGroup: 5678,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          nodeSelector: { 'kubernetes.io/os': 'linux' },
          topologySpreadConstraints: ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map((topologyKey) => ({
            maxSkew: 1,
            topologyKey,
            whenUnsatisfiable: 'ScheduleAnyway',
            labelSelector: { matchLabels: selector },
          })),
          containers: [container(of)],
          volumes: [...of.volumes, ...(of.keepsState === true ? [STATE] : [])],
        },
      },
    },
  };
}

function container({ args, env, ports, mounts, keepsState = false }: Deployed): Container {
  const ready = { httpGet: { path: '/ready', port: 'ready' }, timeoutSeconds: 3 };
  return {
    name: 'egress',
    image: IMAGE,
    imagePullPolicy: 'IfNotPresent',
    args,
    env: [...env, ...(keepsState ? [{ name: 'ZONE_EGRESS_STATE_DIR', value: `${STATE_PATH}/kept` }] : []), GRACE],
    ports,
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    // A control plane may be away for five minutes at the start, as for kuma-dp.
    startupProbe: { ...ready, periodSeconds: 1, failureThreshold: 300 },
    readinessProbe: { ...ready, periodSeconds: 5, failureThreshold: 2 },
    // A Pod that is being deleted is not probed any more, so no drain ends by it.
    livenessProbe: { ...ready, periodSeconds: 5, failureThreshold: 12 },
    // Without a limit of CPU: a handshake that waits for its share is a connection that times out.
    resources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '512Mi' } },
    volumeMounts: [...mounts, ...(keepsState ? [{ name: STATE.name, mountPath: STATE_PATH }] : [])],
  };
}

export function service(metadata: Metadata, selector: Readonly<Record<string, string>>): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { type: 'ClusterIP', selector, ports: [{ name: 'mesh', port: 10_002, protocol: 'TCP', targetPort: 'mesh' }] },
  };
}

export function serviceAccount(metadata: Metadata): Manifest {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false };
}

/** At least two replicas, of which at most one is away for maintenance. */
export function availability(metadata: Metadata, selector: Readonly<Record<string, string>>): readonly Manifest[] {
  return [
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata,
      spec: { maxUnavailable: 1, selector: { matchLabels: selector } },
    },
    {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata,
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: metadata.name },
        minReplicas: 2,
        maxReplicas: 5,
        metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }],
      },
    },
  ];
}

export interface Admission {
  /**
   * True lets Prometheus read the admin pages from a namespace with the label `zone-egress/metrics:
   * allowed`.
   */
  readonly metrics: boolean;
  /** Sidecars outside of the cluster reach the listener too. */
  readonly anyClient?: boolean;
  /**
   * Who reads the egress for its users: a control plane in this namespace at the port `inspect`, or
   * one anywhere at a range of ports. Each listener there takes only the certificate of its control
   * plane.
   */
  readonly inspection?: { readonly namespace: string } | { readonly first: number; readonly last: number };
}

function inspectionRule(inspection: Admission['inspection']): readonly object[] {
  if (inspection === undefined) return [];
  if ('first' in inspection) return [{ ports: [{ protocol: 'TCP', port: inspection.first, endPort: inspection.last }] }];
  const controlPlane = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': inspection.namespace } } };
  return [{ from: [controlPlane], ports: [{ protocol: 'TCP', port: 'inspect' }] }];
}

/**
 * Sidecars of every namespace reach the listener. The kubelet probes the readiness port, which some
 * networks treat like any client. Outgoing traffic may reach all addresses except those at which
 * clouds serve the credentials of their machines.
 */
export function networkPolicy(metadata: Metadata, selector: Readonly<Record<string, string>>, admission: Admission): Manifest {
  const { metrics, anyClient = false, inspection } = admission;
  const prometheus = { namespaceSelector: { matchLabels: { 'zone-egress/metrics': 'allowed' } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: {
      podSelector: { matchLabels: selector },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        { ...(anyClient ? {} : { from: [{ namespaceSelector: {} }] }), ports: [{ protocol: 'TCP', port: 'mesh' }] },
        { ports: [{ protocol: 'TCP', port: 'ready' }] },
        ...(metrics ? [{ from: [prometheus], ports: [{ protocol: 'TCP', port: 'admin' }] }] : []),
        ...inspectionRule(inspection),
      ],
      egress: [
        {
          to: [
            { ipBlock: { cidr: '0.0.0.0/0', except: ['169.254.169.254/32'] } },
            { ipBlock: { cidr: '::/0', except: ['fd00:ec2::254/128'] } },
          ],
        },
      ],
    },
  };
}
