// The rules and the dashboard of deploy/monitoring: what is checked in is what the TypeScript
// makes, each metric and label of a query is on the page of a running egress, each alert leads to a
// page of the docs, and a real Prometheus evaluates all of it where the machine has one.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { ROWS, VARIABLES } from '../../deploy/monitoring/dashboard.ts';
import { startPrometheus } from '../../deploy/monitoring/prometheus.ts';
import { monitoringFiles, ruleGroups } from '../../deploy/monitoring/render.ts';
import { WINDOWS, alerts, recordings } from '../../deploy/monitoring/rules.ts';
import { METRICS } from '../../src/observe/metrics.ts';
import { withPrometheus } from '../data.ts';
import { answerOf, readUntilGone, shopService, SHOP, startRawService } from '../egress/http-zone.ts';
import { until } from '../egress/until.ts';
import { ask, gone, startZone } from '../egress/zone.ts';
import type { Zone } from '../egress/zone.ts';
import { freePort } from '../free-ports.ts';
import { root } from '../packed.ts';

t.test('the files are what the TypeScript makes', async (t) => {
  for (const [name, text] of Object.entries(monitoringFiles()))
    t.equal(readFileSync(join(root, 'deploy', name), 'utf8'), text, `${name}: npm run monitoring`);
});

t.test('each alert says in sentences what is wrong and what to do, and leads to a heading of the docs', async (t) => {
  const all = alerts(WINDOWS);
  t.equal(new Set(all.map(({ name }) => name)).size, all.length);
  const anchor = (heading: string): string =>
    heading
      .toLowerCase()
      .replaceAll(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-');
  for (const { name, summary, runbook, docs, labels } of all) {
    t.match(name, /^ZoneEgress[A-Z]\w+$/);
    for (const text of [summary, runbook]) {
      t.match(text, /^[A-Z].{30,}\.$/, name);
      for (const [, label = ''] of text.matchAll(/\$labels\.(\w+)/g)) t.ok(label in labels, `${name}: ${label}`);
    }
    const [path = '', heading = ''] = docs.split('#');
    const headings = [...readFileSync(join(root, path), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, line = '']) => anchor(line));
    t.ok(headings.includes(heading), `${name}: ${docs}`);
  }
});

const FIXED = ['job', 'instance', 'le'];

interface Family {
  readonly name: string;
  readonly labels: readonly string[];
}

/** The families that an expression reads, with the labels that it asks them for. */
function familiesIn(expression: string): readonly Family[] {
  const grouped = [...expression.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(',').map((label) => label.trim()),
  );
  const plain = expression.replaceAll(/\b(?:by|on) \([^)]*\)/g, '');
  return [...plain.matchAll(/\b(zone_egress:\w+:\w+|(?:zone_egress|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name = '', matchers = '']) => ({
      name,
      labels: [...grouped, ...[...matchers.matchAll(/(\w+)(?:=~|!~|!=|=)/g)].map(([, label = '']) => label)],
    }),
  );
}

const EXPRESSIONS: readonly string[] = [
  ...recordings(WINDOWS).map(({ expr }) => expr),
  ...alerts(WINDOWS).map(({ expr }) => expr),
  ...ROWS.flatMap(({ panels }) => panels.flatMap(({ queries }) => queries.map(({ expr }) => expr))),
  ...VARIABLES.map(({ query }) => query),
];

/** Sessions that are served, refused and failed, and requests, of an egress that looks names up. */
async function startBusy(t: Test): Promise<Zone> {
  const bad = 'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n';
  const shop = await startRawService(t, ({ head }) => (head.startsWith('GET /bad') ? bad : answerOf('ok')));
  const dead = await freePort();
  const service = (name: string, port: number): string =>
    `type: ExternalService
mesh: default
name: ${name}
tags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }
networking: { address: '${name}.partner.test:${port}' }
---
type: MeshTrafficPermission
mesh: default
name: frontend-to-${name}
spec:
  targetRef: { kind: MeshService, name: ${name} }
  from: [{ targetRef: { kind: MeshService, name: frontend }, default: { action: Allow } }]
`;
  const zone = await startZone(t, {
    lookup: () => Promise.resolve(['127.0.0.1']),
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: ({ tcp }) =>
      [
        service('legacy', tcp),
        service('dead', dead),
        shopService(`shop.partner.test:${shop.port}`, { clients: ['frontend'] }),
      ].join('\n---\n'),
  });
  await traffic(zone);
  return zone;
}

async function traffic(zone: Zone): Promise<void> {
  const before = zone.records.length;
  const client = zone.mesh.client('frontend');
  const served = await zone.connect('legacy{mesh=default}', client);
  await ask(served, 'x');
  served.end();
  await gone(served);
  await gone(await zone.connect('legacy{mesh=default}', zone.mesh.client('stranger')));
  await gone(await zone.connect('dead{mesh=default}', client));
  for (const path of ['/', '/bad'])
    await readUntilGone(await zone.connect(SHOP, client), `GET ${path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n`);
  await until('all sessions are recorded', () => zone.records.length >= before + 5);
}

t.test('each metric and label of a query is on the page of a running egress', async (t) => {
  await using zone = await startBusy(t);
  const page = await zone.egress.metrics();
  const types = new Map([...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]));
  const labels = new Map<string, Set<string>>();
  for (const [, name = '', list = ''] of page.matchAll(/^([a-z]\w*)(?:\{(.*)\})? \S+$/gm)) {
    const of = labels.get(name) ?? new Set();
    labels.set(name, of);
    for (const [, label = ''] of list.matchAll(/(\w+)="/g)) of.add(label);
  }
  const recorded = new Map(
    recordings(WINDOWS).map(({ record, expr }) => [record, familiesIn(expr).flatMap((family) => family.labels)]),
  );
  for (const expression of EXPRESSIONS) {
    const found = familiesIn(expression);
    if (!expression.startsWith('up{')) t.ok(found.length > 0, expression);
    for (const { name, labels: asked } of found) {
      const [, base = name] = /^(.*_seconds)_(?:bucket|count|sum)$/.exec(name) ?? [];
      const known = METRICS[base as keyof typeof METRICS] as { readonly labels: readonly string[] } | undefined;
      if (!recorded.has(name)) t.ok(types.has(base), `${name} of ${expression}`);
      // A control plane has series of its own; the page without one has their names.
      const has = [...FIXED, ...(recorded.get(name) ?? labels.get(name) ?? known?.labels ?? []), ...(known?.labels ?? [])];
      t.same(
        asked.filter((label) => !has.includes(label)),
        [],
        `${name} of ${expression}`,
      );
    }
  }
});

/** Families that only other egresses have, by their reason. */
const NOT_HERE: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/zone_egress_control_plane_/, 'it has not joined a control plane'],
  [
    /zone_egress_(limit_refusals|log_suppressed|recorded|access_log_lines|health_checks|ejections)_total|zone_egress_endpoints/,
    'it has none of these events',
  ],
  [/zone_egress_shadow_denied_total/, 'it has no shadow rule'],
];

/** What Grafana puts into a query. */
function filledIn(expression: string): string {
  return expression.replaceAll('$__rate_interval', '1m').replaceAll(/\$(?:job|instance|mesh|destination)\b/g, '.*');
}

/** Long enough for some reads on a machine that is busy. */
const QUICK = { rate: '1m', before: '2m', event: '1m' };

t.test('Prometheus takes the rules, evaluates each query over a busy egress, and times the alerts', withPrometheus, async (t) => {
  const dir = join(root, 'deploy/monitoring');
  execFileSync('promtool', ['check', 'rules', join(dir, 'zone-egress.rules.yaml')]);
  t.match(execFileSync('promtool', ['test', 'rules', 'zone-egress.rules.test.yaml'], { cwd: dir, encoding: 'utf8' }), 'SUCCESS');

  await using zone = await startBusy(t);
  await using prometheus = await startPrometheus({
    port: await freePort(),
    targets: [{ port: zone.egress.adminPort, labels: { job: 'zone-egress', instance: 'a' } }],
    rules: ruleGroups(QUICK, true),
  });
  await until('it is read', async () => (await prometheus.query('up == 1')).length === 1);
  const queries = ROWS.flatMap(({ panels }) => panels.flatMap((panel) => panel.queries.map(({ expr }) => filledIn(expr))));
  let open = queries.filter((query) => !NOT_HERE.some(([pattern]) => pattern.test(query)));
  await until(`each query has an answer: ${open.join('\n')}`, async () => {
    await traffic(zone);
    const answers = await Promise.all(open.map((query) => prometheus.query(query)));
    open = open.filter((_, i) => answers[i]?.length === 0);
    return open.length === 0;
  });
  for (const query of queries.filter((each) => !open.includes(each))) await t.resolves(prometheus.query(query), query);
  await until('the alert for a dead service fires', async () => {
    await traffic(zone);
    const firing = await prometheus.firing();
    return firing.some(({ alertname, destination }) => alertname === 'ZoneEgressDestinationFails' && destination === 'dead');
  });
  t.same(await prometheus.brokenRules(), []);
});

t.test('a rule that is wrong is found: by promtool, and by its timing', withPrometheus, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-rules-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const { 'monitoring/zone-egress.rules.yaml': rules = '', 'monitoring/zone-egress.rules.test.yaml': tests = '' } =
    monitoringFiles();
  writeFileSync(join(dir, 'zone-egress.rules.test.yaml'), tests);
  const outcome = (text: string): number | null => {
    writeFileSync(join(dir, 'zone-egress.rules.yaml'), text);
    return spawnSync('promtool', ['test', 'rules', 'zone-egress.rules.test.yaml'], { cwd: dir }).status;
  };
  t.equal(outcome(rules), 0);
  for (const [from, to] of [
    ['for: 5m', 'for: 50m'],
    ['up{job=~', 'up{jobs=~'],
    ['health!="healthy"', 'health="healthi"'],
  ] as const)
    t.not(outcome(rules.replaceAll(from, to)), 0, from);
});
