// Writes the results of a run: a table, every figure as JSON, a chart. perf/README.md shows the
// committed ones.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chart } from './chart.ts';
import type { KeptRun, Machine } from './compare.ts';
import { generatorName } from './generator.ts';
import { peerVersions } from './peers/peers.ts';
import type { Answer } from './rounds.ts';
import { summary } from './summary.ts';
import { table } from './table.ts';

export interface RunOfAll {
  readonly answers: readonly Answer[];
  readonly startedAt: Date;
  readonly rounds: number;
  readonly seconds: number;
  readonly command: string;
}

const FOLDER = fileURLToPath(new URL('results/', import.meta.url));
const README = fileURLToPath(new URL('README.md', import.meta.url));
const FROM = '<!-- kept run: written by --keep -->';
const TO = '<!-- end of kept run -->';

/** Returns the paths, relative to the root of the repository. */
export function write(run: RunOfAll): readonly string[] {
  return writeAs(run.startedAt.toISOString().slice(0, 19).replaceAll(':', ''), run);
}

/** Replaces the kept run of perf/README.md; a run of one question replaces that of this question. */
export function keep(run: RunOfAll): void {
  const about = `\`\`\`text\n${aboutOf(run)}\n`;
  const [only, ...others] = run.answers;
  if (only !== undefined && others.length === 0) {
    const { name } = only.question;
    const from = `<!-- kept run of ${name}: written by --question ${name} --keep -->`;
    return replaceBetween(from, `<!-- end of kept run of ${name} -->`, `${about}\n${table(only)}\`\`\``);
  }
  writeAs('kept', run);
  const more = 'Medians; minimum, maximum and the other columns are in [results/kept.txt](results/kept.txt).';
  replaceBetween(
    FROM,
    TO,
    `${about}\`\`\`\n\n${summary(run.answers)}\n${more}\n\n![the headline figures of this run](results/kept.svg)`,
  );
}

function replaceBetween(from: string, to: string, text: string): void {
  const readme = readFileSync(README, 'utf8');
  const start = readme.indexOf(from);
  const end = readme.indexOf(to);
  if (start < 0 || end < start) throw new Error(`perf/README.md: keep the run between ${from} and ${to}: they are not there`);
  writeFileSync(README, `${readme.slice(0, start)}${from}\n\n${text}\n\n${readme.slice(end)}`);
}

/** Returns a run as its file of figures has it. */
export function keptRun({ answers, ...about }: RunOfAll): KeptRun & Omit<RunOfAll, 'answers'> {
  const figures = answers.map(({ question, results, failures }) => ({
    question: question.name,
    asks: question.asks,
    metrics: question.metrics,
    results,
    failures,
  }));
  return { ...about, machine: machine(), figures };
}

function writeAs(name: string, run: RunOfAll): readonly string[] {
  mkdirSync(FOLDER, { recursive: true });
  const { answers } = run;
  const files = {
    txt: textOf(run),
    json: `${JSON.stringify(keptRun(run), null, 1)}\n`,
    svg: chart(answers, `zone-egress beside its peers, ${run.startedAt.toISOString().slice(0, 10)}: shorter is better`),
  };
  return Object.entries(files).map(([ending, text]) => {
    const path = join(FOLDER, `${name}.${ending}`);
    writeFileSync(path, text);
    return relative(fileURLToPath(new URL('..', import.meta.url)), path);
  });
}

function textOf(run: RunOfAll): string {
  return `${aboutOf(run)}\n\n${run.answers.map(table).join('\n')}`;
}

function aboutOf({ command, startedAt, rounds }: RunOfAll): string {
  const { node, kernel, cpu, memoryGb, load, generator, peers } = machine();
  const about = [
    `${command}   (${startedAt.toISOString().slice(0, 10)}, ${rounds} rounds, median [min-max])`,
    `${cpu}, ${memoryGb} GB, Linux ${kernel}, load at the end ${load.join(' ')}; Node ${node}, generator ${generator}`,
    Object.entries(peers)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  ];
  return about.join('\n');
}

function machine(): Machine & { readonly peers: Readonly<Record<string, string>> } {
  const [first] = cpus();
  return {
    node: process.version,
    kernel: release(),
    cpu: `${cpus().length} x ${first?.model ?? 'unknown'}`,
    memoryGb: Math.round(totalmem() / 1e9),
    load: loadavg().map((value) => value.toFixed(1)),
    generator: generatorName(),
    peers: peerVersions(),
  };
}
