// Tests the chart of deploy/helm: it makes the objects of deploy/kubernetes, the API takes what it
// makes, and wrong values are refused. A renderer of these tests stands in for Helm; where Helm is
// on PATH, it is compared with it.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv from 'ajv';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';
import { JOINED, JOINED_STATE } from '../../deploy/kubernetes/joined.ts';
import { MESH_SCOPED, MESH_SCOPED_STATE } from '../../deploy/kubernetes/mesh-scoped.ts';
import { RESOURCES, STANDALONE, STANDALONE_METRICS, STANDALONE_RULES } from '../../deploy/kubernetes/standalone.ts';
import type { Container, Manifest } from '../../deploy/kubernetes/types.ts';
import { withHelm } from '../data.ts';
import { until } from '../egress/until.ts';
import { MAIN, page, writeZone } from '../egress/zone-process.ts';
import { env, root } from '../packed.ts';
import { problemsOf } from './api-schema.ts';
import { renderChart, valuesOf } from './helm/chart.ts';
import type { Release } from './helm/chart.ts';

const CHART = join(root, 'deploy/helm/zone-egress');

type Values = Readonly<Record<string, unknown>>;

const joined = (values: Values = {}): Release => ({ name: 'kuma', namespace: 'kuma-system', values });
const standalone = (values: Values = {}): Release => ({
  name: 'zone-egress',
  namespace: 'zone-egress',
  values: { mode: 'standalone', configuration: { files: RESOURCES }, ...values },
});
const meshScoped = (values: Values = {}): Release => ({
  name: 'zone-egress',
  namespace: 'zone-egress-meshes',
  values: { mode: 'meshScoped', meshes: ['mesh-a', 'mesh-b'].map((name) => ({ name, egress: { enabled: true } })), ...values },
});
const KUMAS_NAMES = { nameOverride: 'kuma', fullnameOverride: 'kuma-egress' };

/** Releases that between them take each way through the templates. */
const RELEASES: Readonly<Record<string, Release>> = {
  'joined, nothing set': joined(),
  'joined, with the names of Kuma': joined(KUMAS_NAMES),
  standalone: standalone(),
  'standalone with metrics': standalone({ serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } }),
  'standalone with rules for one Prometheus': standalone({
    prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
  }),
  'standalone from a ConfigMap that exists': standalone({
    configuration: { files: null, existingConfigMap: 'zone', secretName: 'keys' },
    networkPolicy: { metricsNamespaceLabels: { 'kubernetes.io/metadata.name': 'monitoring' } },
    egress: { podAnnotations: { a: 'b' } },
  }),
  'mesh-scoped': meshScoped(),
  'mesh-scoped, each value': meshScoped({
    meshes: [
      { name: 'a', egress: { enabled: true, workload: 'out', tokenSecretName: 'token-of-a' } },
      { name: 'b', egress: { enabled: false } },
      { name: 'c' },
    ],
    egress: { envVars: { ZONE_EGRESS_HTTP: 'off' } },
  }),
  // Kubernetes and Helm allow names that YAML reads as numbers.
  'names that look like numbers': {
    name: '1e3',
    namespace: '17',
    values: {
      mode: 'standalone',
      configuration: { existingConfigMap: '1', secretName: '2' },
      egress: { priorityClassName: '3', podAnnotations: { a: '4' } },
    },
  },
  'a release of another name': { name: 'east', namespace: 'kuma-system', values: {} },
  nothing: joined({ egress: { enabled: false } }),
  'all else set': joined({
    global: { imagePullSecrets: [{ name: 'registry' }] },
    controlPlane: { url: 'https://cp.example:5678', tls: { general: { secretName: 'cp' } } },
    networkPolicy: { enabled: false },
    egress: {
      image: { registry: 'registry.example:5000', repository: 'mesh/zone-egress', tag: '1.2.3' },
      imagePullPolicy: 'Always',
      extraLabels: { team: 'mesh', cost: '17' },
      annotations: { older: 'yes' },
      podAnnotations: { newer: 'true' },
      deploymentAnnotations: { owner: 'mesh' },
      serviceAccountAnnotations: { role: 'none' },
      drainTime: '1h2m3s',
      logLevel: 'debug',
      state: { enabled: true, sizeLimit: '64Mi', medium: 'Memory' },
      envVars: { ZONE_EGRESS_MAX_SESSIONS: '1000', ZONE_EGRESS_HTTP: 'off' },
      replicas: 3,
      autoscaling: { enabled: false },
      podDisruptionBudget: { maxUnavailable: '25%' },
      resources: { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '2', memory: '1Gi' } },
      startupProbe: { enabled: false },
      readinessProbe: { initialDelaySeconds: 1, successThreshold: 1 },
      livenessProbe: { enabled: false },
      service: {
        type: 'LoadBalancer',
        port: 10_443,
        nodePort: 30_002,
        loadBalancerIP: '192.0.2.1',
        annotations: { lb: 'internal' },
      },
      automountServiceAccountToken: true,
      priorityClassName: 'system-cluster-critical',
      nodeSelector: { 'kubernetes.io/os': 'linux', pool: 'egress' },
      tolerations: [{ key: 'egress', operator: 'Exists', effect: 'NoSchedule' }],
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
      topologySpreadConstraints: [{ maxSkew: 2, topologyKey: 'rack', whenUnsatisfiable: 'DoNotSchedule' }],
      dns: { policy: 'None', config: { nameservers: ['192.0.2.53'], searches: ['example'] } },
    },
  }),
  'without autoscaler, budget and Service': joined({
    egress: {
      autoscaling: { enabled: false },
      podDisruptionBudget: { enabled: false },
      service: { enabled: false },
      terminationGracePeriodSeconds: 60,
      readinessProbe: { enabled: false },
    },
  }),
};

const isTest = ({ metadata }: Manifest): boolean => metadata.annotations?.['helm.sh/hook'] === 'test';
const nameOf = ({ kind, metadata }: Manifest): string => `${kind} ${metadata.name}`;
/** The labels that only Helm's objects have. */
const HELMS = ['app.kubernetes.io/version', 'app.kubernetes.io/managed-by', 'helm.sh/chart'];

/** The objects by name, without the test and without Helm's own labels. */
function objects(manifests: readonly Manifest[]): Readonly<Record<string, unknown>> {
  const plain = JSON.parse(JSON.stringify(manifests.filter((each) => !isTest(each)))) as readonly Manifest[];
  return Object.fromEntries(
    plain.map((each) => {
      const labels = Object.fromEntries(Object.entries(each.metadata.labels ?? {}).filter(([name]) => !HELMS.includes(name)));
      return [nameOf(each), { ...each, metadata: { ...each.metadata, labels } }];
    }),
  );
}

const manifestsOf = (release: Release): readonly Manifest[] => renderChart(CHART, release).manifests;

t.test('it makes the objects of deploy/kubernetes', async (t) => {
  t.strictSame(objects(manifestsOf(joined(KUMAS_NAMES))), objects(JOINED));
  // The namespace is that of the release, which Helm makes.
  const inRelease = (manifests: readonly Manifest[]): readonly Manifest[] => manifests.filter(({ kind }) => kind !== 'Namespace');
  const folder = inRelease(STANDALONE);
  t.strictSame(objects(manifestsOf(standalone())), objects(folder));
  t.strictSame(objects(manifestsOf(meshScoped())), objects(inRelease(MESH_SCOPED)));
  const state = { egress: { state: { enabled: true } } };
  t.strictSame(objects(manifestsOf(joined({ ...KUMAS_NAMES, ...state }))), objects(JOINED_STATE));
  t.strictSame(objects(manifestsOf(meshScoped(state))), objects(inRelease(MESH_SCOPED_STATE)));
  t.strictSame(
    objects(manifestsOf(standalone({ serviceMonitor: { enabled: true } }))),
    objects([...folder, ...STANDALONE_METRICS]),
  );
  t.strictSame(
    objects(manifestsOf(standalone({ prometheusRule: { enabled: true } }))),
    objects([...folder, ...STANDALONE_RULES]),
  );
  const labelled = manifestsOf(RELEASES['standalone with rules for one Prometheus']!).find(
    ({ kind }) => kind === 'PrometheusRule',
  );
  t.match(labelled?.metadata.labels, { app: 'zone-egress', release: 'prometheus' });
});

t.test('the API takes what it makes of each kind of values', async (t) => {
  for (const [name, release] of Object.entries(RELEASES)) {
    const manifests = manifestsOf(release);
    t.equal(manifests.length === 0, name === 'nothing', name);
    for (const manifest of manifests) t.strictSame(problemsOf(manifest), [], `${name}: ${nameOf(manifest)}`);
    t.equal(new Set(manifests.map(nameOf)).size, manifests.length, `${name}: no name twice`);
    t.ok(manifests.every(({ metadata }) => metadata.namespace === release.namespace));
  }
});

function deploymentOf(release: Release) {
  const found = manifestsOf(release).find(({ kind }) => kind === 'Deployment') as Manifest & {
    readonly spec: {
      readonly replicas?: number;
      readonly template: {
        readonly spec: { readonly terminationGracePeriodSeconds: number; readonly containers: readonly [Container] };
      };
    };
  };
  return found.spec;
}

t.test('values reach their place', async (t) => {
  const { replicas, template } = deploymentOf(RELEASES['all else set']!);
  t.equal(replicas, 3);
  t.equal(template.spec.terminationGracePeriodSeconds, 3600 + 120 + 3 + 15);
  const [container] = template.spec.containers;
  t.equal(container.image, 'registry.example:5000/mesh/zone-egress:1.2.3');
  t.match(container.env.slice(-4), [
    { name: 'ZONE_EGRESS_STATE_DIR', value: '/var/lib/zone-egress/kept' },
    { name: 'ZONE_EGRESS_GRACE_PERIOD', value: '3738s' },
    { name: 'ZONE_EGRESS_HTTP', value: 'off' },
    { name: 'ZONE_EGRESS_MAX_SESSIONS', value: '1000' },
  ]);
  t.strictSame(container.args, ['run', '--log-level=debug']);
  const without = deploymentOf(RELEASES['without autoscaler, budget and Service']!);
  t.equal(without.replicas, 2);
  t.equal(without.template.spec.terminationGracePeriodSeconds, 60);
  t.match(without.template.spec.containers[0].env.at(-1), { name: 'ZONE_EGRESS_GRACE_PERIOD', value: '60s' });
  const { notes } = renderChart(CHART, RELEASES['standalone']!);
  t.match(notes, /kubectl -n zone-egress rollout status deployment\/zone-egress\n/);
  t.match(notes, /the ConfigMap zone-egress-resources and the Secret zone-egress-secrets/);
  t.match(renderChart(CHART, joined()).notes, /https:\/\/kuma-control-plane\.kuma-system:5678/);
});

t.test('values that do not fit together are refused, with what is allowed', async (t) => {
  for (const [release, message] of [
    [{ ...joined(), namespace: 'default' }, 'the release is in the namespace "default": a control plane of Kuma takes'],
    [meshScoped({ meshes: [{ name: 'a' }] }), 'no entry of meshes has egress.enabled'],
    [standalone({ configuration: {} }), 'mode standalone serves a folder: set configuration.files'],
    [standalone({ configuration: { files: RESOURCES, existingConfigMap: 'x' } }), 'allowed is one of them'],
    [joined({ serviceMonitor: { enabled: true } }), 'serviceMonitor.enabled with mode joined'],
    [meshScoped({ prometheusRule: { enabled: true } }), 'prometheusRule.enabled with mode meshScoped'],
    [
      joined({ egress: { drainTime: '1m', terminationGracePeriodSeconds: 74 } }),
      'terminationGracePeriodSeconds 74: allowed is 75 or more',
    ],
    [joined({ egress: { autoscaling: { maxReplicas: 1 } } }), 'maxReplicas 1: allowed is minReplicas (2) or more'],
    [standalone({ egress: { state: { enabled: true } } }), 'egress.state.enabled with mode standalone: what is kept is'],
  ] as const)
    t.throws(() => renderChart(CHART, release), { message: new RegExp(message.replaceAll(/[()]/g, '\\$&')) }, message);
});

const SCHEMA = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8')) as Schema;

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly additionalProperties?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
}

/** What the schema says of values, as Helm does before it renders: their place and the reason. */
function refused(values: Values): readonly string[] {
  const check = new Ajv({ allErrors: true }).compile(SCHEMA);
  if (check(valuesOf(CHART, values)) === true) return [];
  return (check.errors ?? []).map(({ dataPath, message, params }) => `${dataPath} ${message ?? ''} ${JSON.stringify(params)}`);
}

t.test('the schema takes the values of each release, and refuses wrong ones by their place', async (t) => {
  for (const [name, { values }] of Object.entries(RELEASES)) t.strictSame(refused(values), [], name);
  for (const [values, place] of [
    [{ mode: 'both' }, '.mode '],
    [{ egres: {} }, '"egres"'],
    [{ egress: { replica: 2 } }, '"replica"'],
    [{ egress: { replicas: '2' } }, '.egress.replicas should be integer'],
    [{ egress: { drainTime: '30' } }, '.egress.drainTime should match'],
    [{ egress: { drainTime: 30 } }, '.egress.drainTime should be string'],
    [{ egress: { logLevel: 'trace' } }, '.egress.logLevel '],
    [{ egress: { state: { medium: 'disk' } } }, '.egress.state.medium '],
    [{ egress: { state: { sizeLimit: '0' } } }, '.egress.state.sizeLimit should match'],
    [{ egress: { service: { port: 70_000 } } }, '.egress.service.port should be <= 65535'],
    [{ egress: { envVars: { ZONE_EGRESS_MAX_SESSIONS: 1000 } } }, '.egress.envVars'],
    [{ egress: { restartPolicy: 'Never' } }, '.egress.restartPolicy '],
    [{ controlPlane: { url: 'cp:5678' } }, '.controlPlane.url should match'],
    [{ configuration: { files: { 'zone.txt': '' } } }, '.configuration.files'],
    [{ configuration: { files: { 'zone.yaml': { type: 'Mesh' } } } }, '.configuration.files'],
    [{ meshes: [{ egress: { enabled: true } }] }, '.meshes[0] should have required property'],
    [{ meshes: [{ name: 'a', egress: { enabled: true, replicas: 2 } }] }, '"replicas"'],
    [{ prometheusRule: { labels: { a: 1 } } }, '.prometheusRule.labels'],
    [{ serviceMonitor: { interval: 'often' } }, '.serviceMonitor.interval should match'],
  ] as const)
    t.match(refused(values).join('\n'), place, JSON.stringify(values));
});

t.test('the schema describes each value, and the egress has the values of Kuma’s', async (t) => {
  const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as Values;
  const compare = (schema: Schema, value: unknown, path: string): void => {
    t.ok((schema.description ?? '').endsWith('.') || path === '', `${path} has a description`);
    if (schema.properties === undefined || /Probe$|^\.global$/.test(path)) return;
    t.equal(schema.additionalProperties, false, path);
    t.strictSame(Object.keys(value as object).sort(), Object.keys(schema.properties).sort(), `values.yaml has all of ${path}`);
    for (const [name, each] of Object.entries(schema.properties)) compare(each, (value as Values)[name], `${path}.${name}`);
  };
  compare(SCHEMA, values, '');
  // The names below `egress` in the values of Kuma 2.14.3.
  const kumas =
    'enabled extraLabels drainTime replicas logLevel restartPolicy autoscaling resources livenessProbe readinessProbe startupProbe service annotations podAnnotations deploymentAnnotations nodeSelector tolerations podDisruptionBudget affinity topologySpreadConstraints priorityClassName podSecurityContext containerSecurityContext serviceAccountAnnotations automountServiceAccountToken dns';
  const ours = Object.keys(SCHEMA.properties?.['egress']?.properties ?? {});
  t.strictSame(
    kumas.split(' ').filter((name) => !ours.includes(name)),
    [],
  );
});

t.test('the test of the release passes at an egress, and fails at what is none', async (t) => {
  const pod = manifestsOf(joined()).find(isTest) as Manifest & { spec: { containers: [{ command: string[] }] } };
  const [node, ...args] = pod.spec.containers[0].command;
  t.equal(node, '/usr/local/bin/node');
  t.strictSame(args.slice(-2), ['kuma-zone-egress', '10002']);
  const ask = async (port: number): Promise<readonly [number | null, string]> => {
    const child = spawn(process.execPath, [...args.slice(0, -2), '127.0.0.1', String(port)], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += String(chunk)));
    const [code] = (await once(child, 'close')) as [number | null];
    return [code, output];
  };
  await using zone = await writeZone();
  const egress = spawn(process.execPath, [MAIN, 'run', '--resources', zone.folder], {
    env: { ...env, KUMA_READINESS_PORT: String(zone.readinessPort) },
    stdio: 'ignore',
  });
  t.teardown(() => egress.kill('SIGKILL'));
  await until('it is ready', async () => (await page(zone.readinessPort, '/ready').catch(() => '')).startsWith('200'));
  t.match(await ask(zone.port), [0, /unrecognized name/]);
  t.match(await ask(zone.adminPort), [1, /./], 'HTTP is no zone egress');
  const silent = createServer((socket) => socket.end());
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  t.match(await ask((silent.address() as AddressInfo).port), [1, /./], 'nor is what ends each connection');
  silent.close();
});

t.test('the renderer refuses what it does not know', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-chart-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  execFileSync('cp', ['-r', `${CHART}/.`, dir]);
  for (const [template, message] of [
    ['a: {{ .Values.mode | upper }}', 'upper: this renderer has no such function'],
    ['{{ template "zone-egress.labels" . }}', 'unknown to this renderer'],
    ['{{ if .Values.mode }}a: b', 'is missing'],
    ['a: {{ end }}', 'without a beginning'],
    ['a: {{ .Values.no.such }}', '.such of undefined'],
    ['a: {{ $no }}', '$no is not defined'],
    ['a: {{ 1000000 }}', 'below a million'],
    ['a: {{ include "no" . }}', 'no template "no"'],
    ['a: {{ .Files.Get "files/no.yaml" }}', 'no file "files/no.yaml"'],
    ['a: {{ printf "%v" 1 }}', 'printf: %v'],
    ['a: [', 'extra.yaml'],
    ['a: {{ .Values.mode', 'cannot be read'],
  ] as const) {
    writeFileSync(join(dir, 'templates/extra.yaml'), template);
    let said = '';
    try {
      renderChart(dir, joined());
    } catch (error) {
      said = String(error);
    }
    t.ok(said.includes(message), `${template}: ${said}`);
  }
});

t.test('Helm makes the same of each release, and finds nothing to lint', withHelm, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-helm-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, 'values.json');
  const options = ({ namespace, values }: Release): readonly string[] => {
    writeFileSync(file, JSON.stringify(values));
    // What is built from the sources of Helm takes Kubernetes for an old one.
    return ['--namespace', namespace, '--values', file, '--kube-version', '1.33.0'];
  };
  const sorted = (manifests: readonly Manifest[]): readonly Manifest[] =>
    [...manifests].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  for (const [name, release] of Object.entries(RELEASES)) {
    const made = execFileSync('helm', ['template', release.name, CHART, ...options(release)], { encoding: 'utf8' });
    const documents = parseAllDocuments(made);
    const manifests = (Array.isArray(documents) ? documents : [])
      .map((each) => each.toJS() as Manifest | null)
      .filter((each) => each !== null);
    const { manifests: ours } = renderChart(CHART, release);
    t.strictSame(sorted(manifests), sorted(JSON.parse(JSON.stringify(ours)) as Manifest[]), name);
    const lint = spawnSync('helm', ['lint', '--strict', CHART, ...options(release)], { encoding: 'utf8' });
    t.match(lint, { status: 0, stdout: /0 chart\(s\) failed/ }, `${name}: ${lint.stdout}`);
  }
  for (const [values, message] of [
    [{ egress: { replica: 2 } }, /egress.*replica/s],
    [{ egress: { drainTime: 30 } }, /drainTime/],
    [{ egress: { autoscaling: { maxReplicas: 1 } } }, /maxReplicas 1: allowed is minReplicas \(2\) or more/],
  ] as const) {
    const { status, stderr } = spawnSync('helm', ['template', 'kuma', CHART, ...options(joined(values))], { encoding: 'utf8' });
    t.equal(status, 1);
    t.match(stderr, message);
  }
});
