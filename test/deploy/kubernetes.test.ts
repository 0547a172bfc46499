// Tests the manifests of deploy/kubernetes: the API accepts them, their parts fit together, and
// their containers run with their arguments and variables.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';
import { FILES, render } from '../../deploy/kubernetes/render.ts';
import { replaceEgress } from '../../deploy/kubernetes/kuma/post-render.ts';
import { JOINED } from '../../deploy/kubernetes/joined.ts';
import { MESH_SCOPED } from '../../deploy/kubernetes/mesh-scoped.ts';
import { STANDALONE, STANDALONE_METRICS, STANDALONE_RULES } from '../../deploy/kubernetes/standalone.ts';
import type { Container, Manifest, Volume } from '../../deploy/kubernetes/types.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { KUMA, withKuma } from '../data.ts';
import { MAIN, page } from '../egress/zone-process.ts';
import { until } from '../egress/until.ts';
import { freePort } from '../free-ports.ts';
import { env, root } from '../packed.ts';
import { problemsOf } from './api-schema.ts';

interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly containers: readonly Container[];
  readonly volumes: readonly Volume[];
}

interface DeploymentSpec {
  readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly template: { readonly metadata: { readonly labels: Readonly<Record<string, string>> }; readonly spec: PodSpec };
}

function only<Spec>(manifests: readonly Manifest[], kind: string): Manifest & { readonly spec: Spec } {
  const found = manifests.filter((each) => each.kind === kind);
  if (found.length !== 1) throw new Error(`${found.length} of ${kind}`);
  return found[0] as Manifest & { readonly spec: Spec };
}

const podOf = (manifests: readonly Manifest[]): PodSpec => only<DeploymentSpec>(manifests, 'Deployment').spec.template.spec;
const SETS = { standalone: STANDALONE, joined: JOINED, 'mesh-scoped': MESH_SCOPED } as const;

t.test('the YAML is what the TypeScript beside it makes', async (t) => {
  for (const [name, manifests] of Object.entries(FILES)) {
    const text = readFileSync(join(root, 'deploy/kubernetes', name), 'utf8');
    t.equal(text, render(manifests), `${name}: npm run manifests`);
    t.strictSame(
      parseAllDocuments(text).map((each) => each.toJS() as unknown),
      JSON.parse(JSON.stringify(manifests)),
    );
  }
});

t.test('the API takes every manifest, and would refuse what is wrong', async (t) => {
  for (const manifest of Object.values(FILES).flat())
    t.strictSame(problemsOf(JSON.parse(JSON.stringify(manifest)) as Manifest), [], `${manifest.kind} ${manifest.metadata.name}`);
  const deployment = only<DeploymentSpec>(JOINED, 'Deployment');
  const pod = deployment.spec.template.spec;
  const wrong = (spec: object): readonly string[] => problemsOf({ ...deployment, spec } as Manifest);
  t.strictSame(wrong({ ...deployment.spec, replica: 2 }), ['Deployment.spec.replica: unknown field']);
  t.strictSame(wrong({ ...deployment.spec, replicas: '2' }), ['Deployment.spec.replicas: string instead of integer']);
  t.strictSame(wrong({ ...deployment.spec, template: { spec: { ...pod, containers: undefined } } }), [
    'Deployment.spec.template.spec.containers: undefined instead of array',
  ]);
  t.strictSame(wrong({ selector: {} }), ['Deployment.spec.template: missing']);
  t.strictSame(problemsOf({ apiVersion: 'v2', kind: 'Service' }), ['no such kind: v2 Service']);
  const monitor = STANDALONE_METRICS[1] as Manifest & { readonly spec: { readonly endpoints: readonly [object] } };
  const wrongEndpoint = (endpoint: object): readonly string[] =>
    problemsOf({ ...monitor, spec: { ...monitor.spec, endpoints: [{ ...monitor.spec.endpoints[0], ...endpoint }] } } as Manifest);
  t.strictSame(wrongEndpoint({ paht: '/' }), ['ServiceMonitor.spec.endpoints[0].paht: unknown field']);
  t.match(wrongEndpoint({ interval: 'often' }), [/endpoints\[0\]\.interval: often does not match/]);
  t.match(wrongEndpoint({ scheme: 'ftp' }), [/endpoints\[0\]\.scheme: ftp instead of http/]);
  const [rules] = STANDALONE_RULES as [Manifest];
  const group = (more: object): readonly string[] =>
    problemsOf({ ...rules, spec: { groups: [{ name: 'a', rules: [{ expr: 'up', ...more }] }] } } as Manifest);
  t.strictSame(group({}), []);
  t.strictSame(group({ exp: 'up' }), ['PrometheusRule.spec.groups[0].rules[0].exp: unknown field']);
  t.match(group({ for: 'long' }), [/rules\[0\]\.for: long does not match/]);
  t.strictSame(problemsOf({ ...monitor, spec: { endpoints: [] } } as Manifest), ['ServiceMonitor.spec.selector: missing']);
});

for (const [name, manifests] of Object.entries(SETS)) {
  const deployment = only<DeploymentSpec>(manifests, 'Deployment');
  const pod = podOf(manifests);
  const container = pod.containers[0]!;

  t.test(`${name}: what refers to something finds it`, async (t) => {
    const labels = deployment.spec.template.metadata.labels;
    const selects = (selector: Readonly<Record<string, string>>): boolean =>
      Object.entries(selector).every(([key, value]) => labels[key] === value);
    t.ok(selects(deployment.spec.selector.matchLabels));
    const ports = new Set(container.ports.map((port) => port.name));
    const service = only<{ selector: Record<string, string>; ports: { targetPort: string }[] }>(manifests, 'Service').spec;
    t.ok(selects(service.selector));
    for (const { targetPort } of service.ports) t.ok(ports.has(targetPort), targetPort);
    for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe])
      t.ok(ports.has(String(probe.httpGet.port)));
    t.ok(
      selects(
        only<{ selector: { matchLabels: Record<string, string> } }>(manifests, 'PodDisruptionBudget').spec.selector.matchLabels,
      ),
    );
    const scaled = only<{ scaleTargetRef: { name: string }; minReplicas: number }>(manifests, 'HorizontalPodAutoscaler').spec;
    t.equal(scaled.scaleTargetRef.name, deployment.metadata.name);
    t.ok(scaled.minReplicas >= 2);
    t.notOk('replicas' in deployment.spec, 'the autoscaler alone says how many');
    const policy = only<{
      podSelector: { matchLabels: Record<string, string> };
      ingress: { ports: { port: string | number }[] }[];
    }>(manifests, 'NetworkPolicy').spec;
    t.ok(selects(policy.podSelector.matchLabels));
    // A range of numbers is for the Dataplanes of many meshes.
    const reached = policy.ingress
      .flatMap((rule) => rule.ports.map(({ port }) => port))
      .filter((port) => typeof port === 'string');
    t.strictSame(new Set(reached), ports, 'each port is reached');
    t.equal(only(manifests, 'ServiceAccount').metadata.name, pod.serviceAccountName);
    t.strictSame(
      container.volumeMounts.map((mount) => mount.name),
      pod.volumes.map((volume) => volume.name),
    );
    const spaces = new Set(manifests.filter(({ kind }) => kind !== 'Namespace').map(({ metadata }) => metadata.namespace));
    t.equal(spaces.size, 1);
  });

  t.test(`${name}: the Pod is one of the restricted profile, and nothing of it is written`, async (t) => {
    t.match(pod.securityContext, { runAsNonRoot: true, runAsUser: 5678, seccompProfile: { type: 'RuntimeDefault' } });
    t.strictSame(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    t.ok(container.volumeMounts.every(({ readOnly }) => readOnly === true));
    t.notOk(pod.volumes.some((volume) => 'hostPath' in volume));
    t.equal(pod.automountServiceAccountToken, false);
  });

  t.test(`${name}: the kubelet waits for longer than the drain takes`, async (t) => {
    const flag = container.args[container.args.indexOf('--drain-time') + 1];
    const variable = container.env.find((each) => each.name === 'KUMA_DATAPLANE_DRAIN_TIME')?.value;
    const drain = Number(/^(\d+)s$/.exec(variable ?? flag ?? '')?.[1]);
    t.ok(drain > 0, String(drain));
    t.ok((pod.terminationGracePeriodSeconds ?? 30) >= drain + 10);
    const grace = container.env.find((each) => each.name === 'ZONE_EGRESS_GRACE_PERIOD')?.value;
    t.equal(grace, `${pod.terminationGracePeriodSeconds}s`, 'the egress knows it');
  });
}

interface IngressRule {
  readonly from?: readonly object[];
  readonly ports: readonly { readonly port: string | number; readonly endPort?: number }[];
}

const rulesOf = (manifests: readonly Manifest[]): readonly IngressRule[] =>
  only<{ ingress: readonly IngressRule[] }>(manifests, 'NetworkPolicy').spec.ingress;

t.test('a control plane reaches the listeners by which it inspects the egress, each at a port of its own', async (t) => {
  const rule = rulesOf(JOINED).find(({ ports }) => ports[0]?.port === 'inspect');
  t.strictSame(rule?.from, [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kuma-system' } } }]);
  t.match(
    podOf(JOINED).containers[0]!.ports.find(({ name }) => name === 'inspect'),
    { containerPort: 9901 },
  );
  const range = rulesOf(MESH_SCOPED)
    .flatMap(({ ports }) => ports)
    .find(({ endPort }) => endPort !== undefined)!;
  const { data } = only(MESH_SCOPED, 'ConfigMap') as Manifest as Manifest & { data: Readonly<Record<string, string>> };
  const admins = Object.values(data).map((text) => Number(/^ {2}admin:\n {4}port: (\d+)$/m.exec(text)?.[1]));
  t.equal(new Set(admins).size, admins.length);
  t.ok(
    admins.every((port) => port >= Number(range.port) && port <= range.endPort!),
    admins.join(' '),
  );
});

t.test('Prometheus finds the port of the admin pages', async (t) => {
  const [service, monitor] = STANDALONE_METRICS as [Manifest, Manifest];
  const labels = (monitor.spec as { selector: { matchLabels: Record<string, string> } }).selector.matchLabels;
  for (const [key, value] of Object.entries(labels)) t.equal(service.metadata.labels?.[key], value);
  const { ports } = service.spec as { ports: { name: string; targetPort: string }[] };
  const { endpoints } = monitor.spec as { endpoints: { port: string; path: string }[] };
  t.strictSame(
    endpoints.map(({ port }) => port),
    ports.map((port) => port.name),
  );
  t.ok(podOf(STANDALONE).containers[0]!.ports.some((port) => port.name === ports[0]!.targetPort));
});

/** Starts what a container would, with the file system of its volumes below `dir`. */
function runContainer(container: Container, dir: string, changes: Readonly<Record<string, string>>) {
  const here = (text: string): string =>
    container.volumeMounts.some(({ mountPath }) => text.startsWith(mountPath)) ? join(dir, text) : text;
  const variables = Object.fromEntries(
    container.env.map(({ name, value, valueFrom }) => [
      name,
      value === undefined ? String(valueFrom?.fieldRef.fieldPath) : here(value),
    ]),
  );
  const child = spawn(process.execPath, [MAIN, ...container.args.map(here)], {
    env: { ...env, ...variables, ...changes },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += String(chunk)));
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  return { child, exit, output: () => output };
}

function write(dir: string, name: string, text: string): void {
  mkdirSync(dirname(join(dir, name)), { recursive: true });
  writeFileSync(join(dir, name), text);
}

t.test('standalone: its container serves its ConfigMap, with the keys of the Secret that the page makes', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-standalone-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  execFileSync(process.execPath, [MAIN, 'generate', 'zone', join(dir, 'my-zone')], { env });
  const container = podOf(STANDALONE).containers[0]!;
  const { mountPath } = container.volumeMounts[0]!;
  const [port, adminPort, readinessPort] = [await freePort(), await freePort(), await freePort()];
  const { data } = only(STANDALONE, 'ConfigMap') as Manifest as Manifest & { data: Readonly<Record<string, string>> };
  for (const [name, text] of Object.entries(data))
    write(
      dir,
      join(mountPath, name),
      text
        .replace('example.com:443', '127.0.0.1:9')
        .replace('port: 10002', `port: ${port}`)
        .replace('port: 9901', `port: ${adminPort}`),
    );
  write(dir, join(mountPath, '50-secrets.yaml'), readFileSync(join(dir, 'my-zone/resources/50-secrets.yaml'), 'utf8'));
  const egress = runContainer(container, dir, { KUMA_READINESS_PORT: String(readinessPort) });
  t.teardown(() => egress.child.kill('SIGKILL'));
  await until('it is ready', async () => {
    if (egress.child.exitCode !== null) throw new Error(egress.output());
    return (await page(readinessPort, '/ready').catch(() => '')).startsWith('200');
  });
  t.match(await page(adminPort, '/routes?output=json'), /"example/);
  t.match(await page(adminPort, STANDALONE_METRICS[1] === undefined ? '' : '/stats/prometheus'), /^200 [^]*zone_egress_/);
  // The sample has keys of a second mesh, which this folder lacks.
  t.notMatch(egress.output().replaceAll(/.*no Mesh \\"payments\\".*\n/g, ''), /"level":"(warn|error)"/);
  egress.child.kill('SIGTERM');
  t.strictSame(await egress.exit, [0, null]);
});

t.test('joined: its container finds its control plane by the variables of the manifest, and says who it is', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-joined-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  // It answers that it has no such Pod: a bootstrap would lead to the fixed port of the admin
  // pages.
  await using cp = await createFakeControlPlane();
  const readinessPort = await freePort();
  const container = podOf(JOINED).containers[0]!;
  const token = cp.tokens.issue();
  write(dir, '/var/run/secrets/kuma.io/cp-ca/ca.crt', cp.caCert);
  write(dir, '/var/run/secrets/kubernetes.io/serviceaccount/token', token);
  const egress = runContainer(container, dir, {
    KUMA_CONTROL_PLANE_URL: cp.url,
    KUMA_READINESS_PORT: String(readinessPort),
    POD_NAME: 'kuma-egress-1',
    POD_NAMESPACE: 'kuma-system',
    HOST_IP: '10.0.0.1',
    // Longer than the Pod has: the egress knows by the manifest.
    KUMA_DATAPLANE_DRAIN_TIME: '60s',
  });
  t.teardown(() => egress.child.kill('SIGKILL'));
  await until('it has asked', () => {
    if (egress.child.exitCode !== null) throw new Error(egress.output());
    return cp.bootstraps.length > 0 && egress.output().includes('no bootstrap from the control plane yet');
  });
  t.match(JSON.parse(cp.bootstraps[0]!.request.body), {
    name: 'kuma-egress-1.kuma-system',
    proxyType: 'egress',
    dataplaneToken: token,
    dynamicMetadata: { HOST_IP: '10.0.0.1' },
  });
  t.match(egress.output(), /the control plane has no ZoneEgress \\"kuma-egress-1\.kuma-system\\" yet/);
  t.match(
    egress.output(),
    /the drain time of 60 s does not fit: the supervisor \(--grace-period\) kills the process 45 s after SIGTERM/,
  );
  egress.child.kill('SIGTERM');
  t.strictSame(await egress.exit, [0, null]);
});

t.test('mesh-scoped: its container joins as a Dataplane of each mesh, with the token of each', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-meshes-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  await using cp = await createFakeControlPlane({ authentication: 'none' });
  const container = podOf(MESH_SCOPED).containers[0]!;
  const { data } = only(MESH_SCOPED, 'ConfigMap') as Manifest as Manifest & { data: Readonly<Record<string, string>> };
  const [sources = []] = podOf(MESH_SCOPED).volumes.flatMap(({ projected }) =>
    projected === undefined ? [] : [projected.sources],
  );
  const folder = container.volumeMounts.find(({ name }) => name === 'dataplanes')!.mountPath;
  write(dir, '/var/run/secrets/kuma.io/cp-ca/ca.crt', cp.caCert);
  for (const [name, text] of Object.entries(data)) write(dir, join(folder, name), text);
  const paths = sources.flatMap(({ secret }) => secret?.items ?? []).map(({ path }) => path);
  const tokens = new Map<string, string>();
  for (const path of paths) {
    const mesh = path.replace(/\.token$/, '');
    tokens.set(mesh, cp.tokens.issue({ zone: mesh }));
    write(dir, join(folder, path), tokens.get(mesh)!);
  }
  t.strictSame(
    paths,
    Object.keys(data).map((name) => name.replace(/yaml$/, 'token')),
  );
  const egress = runContainer(
    {
      ...container,
      args: container.args.map((arg) =>
        arg
          .replace('$(POD_NAME)', 'pod-1')
          .replace('$(POD_IP)', '127.0.0.1')
          .replace(`=${folder}`, `=${join(dir, folder)}`),
      ),
    },
    dir,
    { KUMA_CONTROL_PLANE_URL: cp.url, KUMA_READINESS_PORT: String(await freePort()) },
  );
  t.teardown(() => egress.child.kill('SIGKILL'));
  const asked = (): readonly Record<string, unknown>[] =>
    cp.bootstraps.map(({ request }) => JSON.parse(request.body) as Record<string, unknown>);
  await until('it has asked for both', () => {
    if (egress.child.exitCode !== null) throw new Error(egress.output());
    return ['mesh-a', 'mesh-b'].every((mesh) => asked().some((each) => each['mesh'] === mesh));
  });
  for (const mesh of ['mesh-a', 'mesh-b']) {
    const request = asked().find((each) => each['mesh'] === mesh);
    t.match(request, { name: 'pod-1', proxyType: 'dataplane', dataplaneToken: tokens.get(mesh) });
    t.match(JSON.parse(String(request?.['dataplaneResource'])), {
      labels: { 'kuma.io/workload': 'zone-egress' },
      networking: { address: '127.0.0.1', listeners: [{ type: 'ZoneEgress', address: '127.0.0.1', port: 10_002 }] },
    });
  }
  egress.child.kill('SIGTERM');
  t.strictSame(await egress.exit, [0, null]);
});

/** An extract of what Kuma's chart renders: another Deployment, and the egress. */
const CHART = `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: kuma-control-plane }   # stays as it is
spec:
  template: { spec: { containers: [ { name: control-plane, image: "kuma-cp:1" } ] } }
---
# Source: kuma/templates/egress-deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-egress
spec:
  selector: { matchLabels: { app: my-egress } }
  template:
    metadata: { labels: { app: my-egress } }
    spec:
      securityContext:
        runAsUser: 5678
      containers:
        - name: egress
          image: "docker.io/kumahq/kuma-dp:2.14.3"
          args: [ run, --log-level=info ]
          env:
            - { name: KUMA_DATAPLANE_DRAIN_TIME, value: 1m30s }
            - { name: KUMA_DATAPLANE_PROXY_TYPE, value: "egress" }
`;

interface Rendered extends Manifest {
  readonly spec: DeploymentSpec;
}

t.test('the post-renderer puts this egress in place of that of a chart, whatever its name is', async (t) => {
  const script = join(root, 'deploy/kubernetes/kuma/post-renderer');
  const out = execFileSync(script, ['registry.example/zone-egress:1'], { input: CHART, encoding: 'utf8', env });
  const [before] = CHART.split('---\n# Source');
  t.ok(out.startsWith(before!), 'what is no egress keeps its text');
  const egress = parseAllDocuments(out)[1]!.toJS() as Rendered;
  const pod = egress.spec.template.spec;
  t.equal(pod.containers[0]!.image, 'registry.example/zone-egress:1');
  t.equal(pod.terminationGracePeriodSeconds, 105, 'the drain of 1m30s, and 15 s');
  t.match(
    pod.containers[0]!.env.find(({ name }) => name === 'ZONE_EGRESS_GRACE_PERIOD'),
    { value: '105s' },
  );
  t.match(pod.securityContext, { runAsUser: 5678, seccompProfile: { type: 'RuntimeDefault' } });
  t.strictSame(pod.containers[0]!.args, ['run', '--log-level=info']);
  t.strictSame(problemsOf(egress), []);
  t.equal(replaceEgress(out, { image: 'registry.example/zone-egress:1' }), out, 'twice is once');
  for (const [input, message] of [
    [before!, 'no Deployment runs a container with KUMA_DATAPLANE_PROXY_TYPE=egress'],
    ['', 'no Deployment runs'],
    ['a: [', 'standard input is not YAML'],
    [CHART.replace('1m30s', 'soon'), 'KUMA_DATAPLANE_DRAIN_TIME "soon": allowed is a duration'],
  ] as const) {
    const { status, stdout, stderr } = spawnSync(script, [], { input, encoding: 'utf8', env });
    t.match({ status, stdout, stderr }, { status: 1, stdout: '', stderr: message }, message);
  }
});

t.test('Kuma’s own manifests differ by the egress alone, and the kustomize patch makes the same of them', withKuma, async (t) => {
  const recorded = readFileSync(new URL('kubernetes/install-control-plane.with-egress.yaml', KUMA), 'utf8');
  const all = (text: string): readonly Manifest[] =>
    parseAllDocuments(text)
      .map((each) => each.toJS() as Manifest | null)
      .filter((each) => each !== null);
  const [before, after] = [all(recorded), all(replaceEgress(recorded, { image: 'zone-egress:0.1.0' }))];
  const isEgress = ({ kind, metadata }: Manifest): boolean => kind === 'Deployment' && metadata.name === 'kuma-egress';
  t.ok(before.length > 10, `${before.length} manifests`);
  t.strictSame(
    after.filter((each) => !isEgress(each)),
    before.filter((each) => !isEgress(each)),
  );
  const [was, is] = [before.find(isEgress) as Rendered, after.find(isEgress) as Rendered];
  t.strictSame(problemsOf(is), []);
  // A strategic merge: maps are merged, containers are matched by name.
  const { patches } = parse(readFileSync(join(root, 'deploy/kubernetes/kuma/kustomization.yaml'), 'utf8')) as {
    patches: { target: { kind: string; name: string }; patch: string }[];
  };
  const { target, patch } = patches[0]!;
  t.strictSame(
    before.filter(({ kind, metadata }) => kind === target.kind && new RegExp(`^${target.name}$`).test(metadata.name)),
    [was],
  );
  const patched = parse(patch) as Rendered;
  t.strictSame({ ...merge(was, patched), metadata: was.metadata }, is);
});

function merge(to: unknown, from: unknown): object {
  if (Array.isArray(to) && Array.isArray(from)) {
    const [was, more] = [to as { name: string }[], from as { name: string }[]];
    const merged = was.map((each) => {
      const other = more.find(({ name }) => name === each.name);
      return other === undefined ? each : merge(each, other);
    });
    return [...merged, ...more.filter(({ name }) => was.every((each) => each.name !== name))];
  }
  const both = { ...(to as Record<string, unknown>) };
  for (const [key, value] of Object.entries(from as Record<string, unknown>))
    both[key] =
      typeof value === 'object' && value !== null && both[key] !== undefined && key !== 'drop' ? merge(both[key], value) : value;
  return both;
}
