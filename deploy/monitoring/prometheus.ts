/** Runs a Prometheus of this machine for a test: its own folder, its own process, loopback only. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { RuleGroups } from './render.ts';

export interface Target {
  readonly port: number;
  /** Among them `job` and `instance`, or Prometheus sets its own. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface Prometheus extends AsyncDisposable {
  /** Evaluates an expression now; throws with the words of Prometheus where it cannot. */
  query(expression: string): Promise<readonly Sample[]>;
  /** Returns the alerts that fire, with their labels. */
  firing(): Promise<readonly Readonly<Record<string, string>>[]>;
  /** Returns the rules that Prometheus could not evaluate, with the reason. */
  brokenRules(): Promise<readonly string[]>;
  /** Sets what is read. */
  watch(targets: readonly Target[]): void;
}

export interface PrometheusOptions {
  readonly port: number;
  readonly targets: readonly Target[];
  readonly rules?: RuleGroups;
  readonly everyMs?: number;
}

interface Api<Data> {
  readonly status: string;
  readonly error?: string;
  readonly data: Data;
}

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly name: string; readonly lastError?: string }[] }[];
}

interface Alerts {
  readonly alerts: readonly { readonly labels: Readonly<Record<string, string>>; readonly state: string }[];
}

const READY_MS = 120_000;

export async function startPrometheus(options: PrometheusOptions): Promise<Prometheus> {
  const { port, targets, rules, everyMs = 1_000 } = options;
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-prometheus-'));
  const list = join(dir, 'targets.json');
  const watch = (all: readonly Target[]): void => {
    // A file that is renamed into its place is never read half.
    const groups = all.map((target) => ({ targets: [`127.0.0.1:${target.port}`], labels: target.labels }));
    writeFileSync(`${list}.new`, JSON.stringify(groups));
    renameSync(`${list}.new`, list);
  };
  watch(targets);
  if (rules !== undefined) writeFileSync(join(dir, 'rules.yaml'), stringify(rules, { lineWidth: 0 }));
  const every = `${everyMs}ms`;
  const config = {
    global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
    ...(rules === undefined ? {} : { rule_files: ['rules.yaml'] }),
    scrape_configs: [
      {
        job_name: 'egresses',
        metrics_path: '/stats/prometheus',
        file_sd_configs: [{ files: ['targets.json'], refresh_interval: '1s' }],
      },
    ],
  };
  writeFileSync(join(dir, 'prometheus.yaml'), stringify(config));
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(dir, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => (output += String(chunk)));
  const ended = once(child, 'exit');
  // A test that fails early must not leave it behind.
  const onExit = (): void => void child.kill('SIGKILL');
  process.once('exit', onExit);

  async function close(): Promise<void> {
    if (child.exitCode === null) child.kill('SIGKILL');
    await ended;
    process.removeListener('exit', onExit);
    rmSync(dir, { recursive: true, force: true });
  }

  async function ask<Data>(path: string): Promise<Data> {
    const answer = (await (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json()) as Api<Data>;
    if (answer.status !== 'success') throw new Error(answer.error ?? answer.status);
    return answer.data;
  }

  const end = performance.now() + READY_MS;
  while (!(await isReady(port))) {
    if (child.exitCode === null && performance.now() < end) continue;
    await close();
    throw new Error(`start prometheus: ${output}`);
  }
  return {
    query: async (expression) =>
      (await ask<{ result: readonly Sample[] }>(`query?query=${encodeURIComponent(expression)}`)).result,
    firing: async () =>
      (await ask<Alerts>('alerts')).alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels),
    brokenRules: async () =>
      (await ask<Rules>('rules')).groups.flatMap(({ rules: all }) =>
        all.flatMap(({ name, lastError = '' }) => (lastError === '' ? [] : [`${name}: ${lastError}`])),
      ),
    watch,
    [Symbol.asyncDispose]: close,
  };
}

const PAUSE_MS = 50;

async function isReady(port: number): Promise<boolean> {
  const ready = await fetch(`http://127.0.0.1:${port}/-/ready`).then(
    ({ status }) => status === 200,
    () => false,
  );
  if (!ready) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  return ready;
}
