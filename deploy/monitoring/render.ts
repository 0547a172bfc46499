// npm run monitoring: writes the rules, their test and the dashboard beside this file, and the rules
// into the chart and the manifests.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { dashboard } from './dashboard.ts';
import { WINDOWS, alerts, recordings } from './rules.ts';
import type { Alert, Windows } from './types.ts';

const MADE = '# Made by `npm run monitoring` from the TypeScript in deploy/monitoring.\n';
/** A name for each group: Prometheus evaluates the rules of one in their order. */
const GROUP = 'zone-egress';

function yaml(value: unknown): string {
  return MADE + stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 });
}

function alertRule({ name, severity, expr, forMinutes, summary, runbook, docs }: Alert, isQuick: boolean): object {
  return {
    alert: name,
    expr,
    ...(forMinutes === 0 || isQuick ? {} : { for: `${forMinutes}m` }),
    labels: { severity },
    annotations: { summary, runbook, docs },
  };
}

export interface RuleGroups {
  readonly groups: readonly { readonly name: string; readonly rules: readonly object[] }[];
}

/** `isQuick` leaves out the time that an alert waits, for the proof. */
export function ruleGroups(windows: Windows = WINDOWS, isQuick = false): RuleGroups {
  const rules = [...recordings(windows), ...alerts(windows).map((alert) => alertRule(alert, isQuick))];
  return { groups: [{ name: GROUP, rules }] };
}

function withLabels(text: string, labels: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\{\{ \$labels\.(\w+) }}/g, (_, name: string) => labels[name] ?? '');
}

/** Rates need this long before they are right; then an alert waits for its time. */
const SETTLED_MINUTES = 3;

/** What `promtool test rules` runs: each alert is silent before its time, and there after it. */
function ruleTests(): object {
  return {
    rule_files: ['zone-egress.rules.yaml'],
    evaluation_interval: '1m',
    tests: alerts(WINDOWS).map(({ name, severity, forMinutes, series, labels, summary, runbook, docs }) => {
      const fires = {
        eval_time: `${forMinutes + SETTLED_MINUTES}m`,
        alertname: name,
        exp_alerts: [
          {
            exp_labels: { severity, ...labels },
            exp_annotations: { summary: withLabels(summary, labels), runbook: withLabels(runbook, labels), docs },
          },
        ],
      };
      const silent = { eval_time: `${Math.max(0, forMinutes - 1)}m`, alertname: name, exp_alerts: [] };
      return {
        interval: '1m',
        input_series: series.map((each) => {
          const at = each.lastIndexOf('} ') + 1;
          return { series: each.slice(0, at), values: each.slice(at + 1) };
        }),
        alert_rule_test: forMinutes === 0 ? [fires] : [silent, fires],
      };
    }),
  };
}

/** The files, by their path below deploy. */
export function monitoringFiles(): Readonly<Record<string, string>> {
  const rules = yaml(ruleGroups());
  return {
    'monitoring/zone-egress.rules.yaml': rules,
    'monitoring/zone-egress.rules.test.yaml': yaml(ruleTests()),
    'monitoring/zone-egress.dashboard.json': `${JSON.stringify(dashboard(), null, 2)}\n`,
    'helm/zone-egress/files/rules.yaml': rules,
  };
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(monitoringFiles())) {
    const path = join(import.meta.dirname, '..', name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}
