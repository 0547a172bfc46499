// The tables of docs/reference are made from the lists in the code. `UPDATE_README=1 npm test --
// test/readme.test.ts` writes them. The README stays short and links to all of them.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { WINDOWS, alerts } from '../deploy/monitoring/rules.ts';
import { createAdminServer } from '../src/admin/server.ts';
import { REFUSALS } from '../src/base/refusal.ts';
import { CONTROL_PLANE_OPTIONS } from '../src/cli/control-plane-flags.ts';
import { optionUsage } from '../src/cli/help.ts';
import { IGNORED_OPTIONS } from '../src/cli/ignored-options.ts';
import type { OptionTable } from '../src/cli/options.ts';
import { ADMIN_TLS_OPTIONS } from '../src/cli/find-options.ts';
import { CONFIG_OPTION, RUN_OPTIONS } from '../src/cli/run-options.ts';
import { ALARMS } from '../src/model/alarm.ts';
import { BALANCING_DEFAULTS, BREAKER_DEFAULTS, OUTLIER_DEFAULTS } from '../src/model/cluster.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../src/model/settings.ts';
import { METRICS } from '../src/observe/metrics.ts';
import { CONNECT_TIMEOUT_MS } from '../src/resources/context.ts';
import { MAX_TTL_MS, MIN_TTL_MS, REFRESH_MS } from '../src/endpoints/dns.ts';
import { MAX_ATTEMPTS } from '../src/traffic/connect.ts';

const README = new URL('../README.md', import.meta.url);
const REFERENCE = new URL('../docs/reference/', import.meta.url);
const MOST_WORDS = 900;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const { consecutiveTotalFailures, successRate, ...outlier } = OUTLIER_DEFAULTS;
const seconds = (ms: number): string => `${ms / 1_000} s`;

/** Values that hold without a policy. */
const DEFAULTS: readonly (readonly [string, string])[] = [
  ['balancer', `${BALANCING_DEFAULTS.balancer.kind}, by weight`],
  [
    'priorities',
    `overprovisioning ${BALANCING_DEFAULTS.overprovisioningFactor}, panic below ${BALANCING_DEFAULTS.panicThresholdPercent} % healthy`,
  ],
  ['least request', `${BALANCING_DEFAULTS.choiceCount} choices, bias ${BALANCING_DEFAULTS.activeRequestBias}`],
  ['ring hash', `${BALANCING_DEFAULTS.minimumRingSize} to ${BALANCING_DEFAULTS.maximumRingSize} entries`],
  ['maglev', `${BALANCING_DEFAULTS.tableSize} entries`],
  ['connect timeout', seconds(CONNECT_TIMEOUT_MS)],
  ['endpoints tried per session', `${MAX_ATTEMPTS}, within ${seconds(DEFAULT_TRAFFIC_SETTINGS.setupTimeoutMs)}`],
  [
    'names in use are looked up again',
    `after their TTL, between ${seconds(MIN_TTL_MS)} and ${seconds(MAX_TTL_MS)}, every ${seconds(REFRESH_MS)} where they have none; the last good answer stays`,
  ],
  ['connections per cluster', String(BREAKER_DEFAULTS.maxConnections)],
  ['connections being made per cluster', String(BREAKER_DEFAULTS.maxPendingRequests)],
  ['health checks', 'none'],
  ['outlier detection', 'none'],
  [
    'outlier detection, what a policy leaves out',
    `${consecutiveTotalFailures.threshold} failures in a row, or a success rate ${successRate.threshold / 1_000} deviations below the mean (from ${successRate.minimumHosts} endpoints with ${successRate.requestVolume} attempts each); looked at every ${seconds(outlier.intervalMs)}, ejected for ${seconds(outlier.baseEjectionMs)} and longer each time, at most ${outlier.maxEjectionPercent} % of the endpoints`,
  ],
  ['rate of new connections', 'no limit'],
];

function optionRows(options: OptionTable): readonly (readonly string[])[] {
  return Object.entries(options).map(([name, option]) => [
    option.variableOnly ? '' : `\`${optionUsage(name, option)}\``,
    (option.env ?? []).map((variable) => `\`${variable}\``).join(', '),
    option.fallback ?? '',
    option.help,
  ]);
}

/** As the admin listener lists its own pages. */
async function adminPages(): Promise<readonly (readonly string[])[]> {
  const notAsked = (): never => {
    throw new Error('the list of pages asks for no state');
  };
  const server = await createAdminServer({
    address: '127.0.0.1',
    port: 0,
    allowedHosts: [],
    state: {
      ready: notAsked,
      metrics: notAsked,
      decisions: notAsked,
      requests: notAsked,
      snapshot: notAsked,
      problems: notAsked,
      explain: notAsked,
      probe: notAsked,
      follow: notAsked,
      sessions: notAsked,
      alarms: notAsked,
      wall: notAsked,
    },
  });
  try {
    const text = await (await fetch(`http://127.0.0.1:${server.port}/`)).text();
    return [...text.matchAll(/^(\/\S*) +(.*)$/gm)].map(([, path = '', what = '']) => [`\`${path}\``, what]);
  } finally {
    await server.close();
  }
}

const OPTION_HEAD = ['option', 'variable', 'default', 'meaning'] as const;

interface Made {
  readonly name: string;
  /** The page that contains it, below docs/reference. */
  readonly page: string;
  readonly text: string;
}

const TABLES: readonly Made[] = [
  { name: 'run-options', page: 'options.md', text: table(OPTION_HEAD, optionRows({ ...CONFIG_OPTION, ...RUN_OPTIONS })) },
  { name: 'control-plane-options', page: 'options.md', text: table(OPTION_HEAD, optionRows(CONTROL_PLANE_OPTIONS)) },
  { name: 'endpoints', page: 'resources.md', text: table(['what', 'default'], DEFAULTS) },
  {
    name: 'refusals',
    page: 'refusals.md',
    text: table(
      ['code', 'meaning', 'what to do'],
      Object.entries(REFUSALS).map(([code, { meaning, remedy }]) => [`\`${code}\``, meaning, remedy]),
    ),
  },
  {
    name: 'alerts',
    page: 'alerts.md',
    text: table(
      ['alert', 'severity', 'after', 'what to do'],
      alerts(WINDOWS).map(({ name, severity, forMinutes, runbook, docs }) => [
        `\`${name}\``,
        severity,
        forMinutes === 0 ? 'at once' : `${forMinutes} min`,
        `${runbook.replaceAll(/\{\{ \$labels\.(\w+) }}/g, '`$1`')} [More](../${docs.slice('docs/'.length)})`,
      ]),
    ),
  },
  { name: 'admin', page: 'admin.md', text: table(['path', 'answer'], await adminPages()) },
  {
    name: 'alarms',
    page: '../guides/alarms.md',
    text: table(
      ['alarm', 'severity', 'about each', 'meaning', 'what to do'],
      Object.entries(ALARMS).map(([name, { severities, subject, meaning, remedy }]) => [
        `\`${name}\``,
        severities.join(', '),
        subject,
        meaning,
        remedy,
      ]),
    ),
  },
  {
    name: 'metrics',
    page: 'metrics.md',
    text: table(
      ['metric', 'type', 'labels', 'meaning'],
      Object.entries(METRICS).map(([name, { type, labels, help }]) => [
        `\`${name}\``,
        type,
        labels.map((label) => `\`${label}\``).join(' '),
        help,
      ]),
    ),
  },
];

function shown({ name, page }: Made): string {
  const found = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)\\n?<!-- /${name} -->`).exec(
    readFileSync(new URL(page, REFERENCE), 'utf8'),
  );
  return found?.[1]?.trim() ?? '(no such table)';
}

if (process.env.UPDATE_README === '1') {
  for (const { name, page, text } of TABLES) {
    const file = new URL(page, REFERENCE);
    const block = new RegExp(`(<!-- ${name} -->)[\\s\\S]*?(<!-- /${name} -->)`);
    const put = (_: string, begin: string, end: string): string => `${begin}\n${text}\n${end}`;
    writeFileSync(file, readFileSync(file, 'utf8').replace(block, put));
  }
}

for (const made of TABLES) {
  t.test(`the table ${made.name} of docs/reference/${made.page} is the list in the code`, async (t) => {
    t.ok(made.text.split('\n').length > 5, 'it has rows');
    t.equal(shown(made), made.text);
  });
}

t.test(`the README has at most ${MOST_WORDS} words, and leads to every page for users`, async (t) => {
  const text = readFileSync(README, 'utf8');
  const words = text.split(/\s+/).filter((word) => word !== '').length;
  t.ok(words <= MOST_WORDS, `${words} words`);
  const pages = readdirSync(REFERENCE);
  t.ok(pages.length > 4, `${pages.length} pages`);
  for (const page of pages) t.ok(text.includes(`](docs/reference/${page})`), page);
  const deploy = readdirSync(new URL('../docs/deploy/', import.meta.url));
  t.ok(deploy.length > 2, `${deploy.length} pages of docs/deploy`);
  for (const page of deploy) t.ok(text.includes(`](docs/deploy/${page})`), page);
  t.ok(text.includes('](docs/guides/README.md)'), 'the list of guides');
  // The maintainer's map; the README leads to it through CONTRIBUTING.
  const docs = readdirSync(new URL('../docs/', import.meta.url)).filter((page) => page.endsWith('.md') && page !== 'tour.md');
  t.ok(docs.length > 8, `${docs.length} pages of docs`);
  for (const page of docs) t.match(text, new RegExp(`\\]\\(docs/${page.replaceAll('.', '\\.')}[)#]`), page);
});

t.test('every option that the reference names is one', async (t) => {
  const tables = [CONFIG_OPTION, RUN_OPTIONS, CONTROL_PLANE_OPTIONS, ADMIN_TLS_OPTIONS];
  const known = new Set(tables.flatMap((table) => Object.keys(table)));
  const pages = readdirSync(REFERENCE).map((page) => new URL(page, REFERENCE));
  const named = pages.flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/`--([a-z-]+)[` ]/g)].map(([, option = '']) => option),
  );
  t.ok(named.length > 30, `${named.length} options`);
  const elsewhere = new Set(Object.keys(IGNORED_OPTIONS));
  t.same([...new Set(named.filter((option) => !known.has(option) && !elsewhere.has(option)))], []);
});
