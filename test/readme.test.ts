// The README's tables are made from the lists in the code. `UPDATE_README=1 npm test --
// test/readme.test.ts` writes them.
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { REFUSALS } from '../src/base/refusal.ts';
import { CONTROL_PLANE_OPTIONS } from '../src/cli/control-plane-flags.ts';
import { helpText, optionUsage } from '../src/cli/help.ts';
import { BALANCING_DEFAULTS, BREAKER_DEFAULTS, OUTLIER_DEFAULTS } from '../src/model/cluster.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../src/model/settings.ts';
import { METRICS } from '../src/observe/metrics.ts';
import { CONNECT_TIMEOUT_MS } from '../src/resources/context.ts';
import { MAX_TTL_MS, MIN_TTL_MS, REFRESH_MS } from '../src/endpoints/dns.ts';
import { MAX_ATTEMPTS } from '../src/traffic/connect.ts';

const README = new URL('../README.md', import.meta.url);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const { consecutiveTotalFailures, successRate, ...outlier } = OUTLIER_DEFAULTS;
const seconds = (ms: number): string => `${ms / 1_000} s`;

/** What holds where no policy says otherwise. */
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

const TABLES: Readonly<Record<string, string>> = {
  refusals: table(
    ['code', 'meaning', 'what to do'],
    Object.entries(REFUSALS).map(([code, { meaning, remedy }]) => [`\`${code}\``, meaning, remedy]),
  ),
  'control-plane-options': table(
    ['option', 'variable', 'default', 'meaning'],
    Object.entries(CONTROL_PLANE_OPTIONS).map(([name, option]) => [
      option.variableOnly ? '' : `\`${optionUsage(name, option)}\``,
      (option.env ?? []).map((variable) => `\`${variable}\``).join(', '),
      option.fallback ?? '',
      option.help,
    ]),
  ),
  endpoints: table(['what', 'default'], DEFAULTS),
  metrics: table(
    ['metric', 'type', 'labels', 'meaning'],
    Object.entries(METRICS).map(([name, { type, labels, help }]) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(' '),
      help,
    ]),
  ),
};

function inReadme(text: string, name: string): string {
  const found = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)\\n?<!-- /${name} -->`).exec(text);
  return found?.[1]?.trim() ?? '(no such table)';
}

if (process.env.UPDATE_README === '1') {
  let text = readFileSync(README, 'utf8');
  for (const [name, made] of Object.entries(TABLES)) {
    text = text.replace(new RegExp(`(<!-- ${name} -->)[\\s\\S]*?(<!-- /${name} -->)`), `$1\n${made}\n$2`);
  }
  writeFileSync(README, text);
}

for (const [name, made] of Object.entries(TABLES)) {
  t.test(`the README’s table of ${name} is the list in the code`, async (t) => {
    t.equal(inReadme(readFileSync(README, 'utf8'), name), made);
  });
}

t.test('every option that the README names is one, with the default that the code has', async (t) => {
  const help = helpText('run');
  const rows = [...readFileSync(README, 'utf8').matchAll(/^\| `(--[a-z-]+)[^`]*` \| ([^|]*) \| ([^|]*) \|/gm)];
  t.ok(rows.length > 10, `${rows.length} options in the README`);
  for (const [, option = '', variables = '', fallback = ''] of rows) {
    const line = help.split('\n').find((each) => each.trim().startsWith(`${option} `)) ?? '';
    t.ok(line !== '', `${option} is an option`);
    for (const variable of variables.matchAll(/`([A-Z_]+)`/g))
      t.ok(line.includes(variable[1]!), `${option} is ${variable[1]} in the environment`);
    if (/^`?[0-9][\w.]*`?$/.test(fallback.trim()))
      t.ok(line.includes(`default ${fallback.trim().replaceAll('`', '')}`), `${option} has the default ${fallback.trim()}`);
  }
});
