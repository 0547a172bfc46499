// Compares two runs: which figures of this egress became slower, or faster, by more than their
// rounds differ among themselves? Two files are enough: `node perf/compare.ts OLD.json NEW.json`.
// `npm run perf -- --compare OLD.json` measures and compares.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { median } from './processes.ts';

/** Medians that differ by less are the same, whatever their rounds say. */
const NOISE = 1.1;
/** A figure of one round has no range; it has to differ by this much. */
const NOISE_OF_ONE_ROUND = 1.25;
/** A peer whose own rounds differ by more than this says nothing about the machine. */
const STEADY = 2;
const OWN = 'zone-egress';

export interface Machine {
  readonly node: string;
  readonly kernel: string;
  readonly cpu: string;
  readonly memoryGb: number;
  readonly generator: string;
  readonly load: readonly string[];
}

interface ComparedMetric {
  readonly key: string;
  readonly label: string;
  readonly digits: number;
  readonly charted?: boolean;
  readonly compared?: boolean;
}

/** What a file of results holds, as far as it is compared. */
export interface KeptRun {
  readonly seconds: number;
  readonly machine: Machine;
  readonly figures: readonly {
    readonly question: string;
    readonly metrics: readonly ComparedMetric[];
    readonly results: readonly {
      readonly name: string;
      readonly contender: string;
      readonly values: readonly Readonly<Record<string, number | null>>[];
    }[];
  }[];
}

interface Change {
  /** Question, case and metric. */
  readonly what: string;
  readonly old: string;
  readonly now: string;
  /** By which factor the median grew, beyond that of the peers. */
  readonly factor: number;
}

export interface Comparison {
  /** Each difference of the two machines, or of the amount of work. */
  readonly differences: readonly string[];
  readonly slower: readonly Change[];
  readonly faster: readonly Change[];
  /** The number of figures that are the same within their noise. */
  readonly same: number;
  readonly onlyOld: readonly string[];
  readonly onlyNow: readonly string[];
  /** Figures of different machines without a peer that both have measured. */
  readonly incomparable: readonly string[];
}

export function readRun(path: string): KeptRun {
  let run: unknown;
  try {
    run = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(
      `compare with ${path}: it cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  if (!isRun(run)) throw new Error(`compare with ${path}: it is no file of results, such as perf/results/kept.json`);
  return run;
}

function isRun(run: unknown): run is KeptRun {
  if (typeof run !== 'object' || run === null || !('machine' in run) || !('figures' in run) || !('seconds' in run)) return false;
  const { machine, figures } = run;
  return typeof machine === 'object' && machine !== null && Array.isArray(figures) && figures.every(isAnswer);
}

function isAnswer(answer: unknown): boolean {
  if (typeof answer !== 'object' || answer === null || !('metrics' in answer) || !('results' in answer)) return false;
  return Array.isArray(answer.metrics) && Array.isArray(answer.results);
}

/** Returns the part of a run that another one was asked for. */
export function partOf(run: KeptRun, asked: { readonly questions: readonly string[]; readonly only: string }): KeptRun {
  const figures = run.figures
    .filter(({ question }) => asked.questions.includes(question))
    .map((answer) => ({ ...answer, results: answer.results.filter(({ name }) => name.includes(asked.only)) }));
  return { ...run, figures };
}

/** A figure of each contender that measured it. */
interface Figure {
  readonly digits: number;
  readonly of: Map<string, readonly number[]>;
}

export function compare(old: KeptRun, now: KeptRun): Comparison {
  const differences = differencesOf(old, now);
  const [before, after] = [figuresOf(old, now), figuresOf(now, now)];
  const slower: Change[] = [];
  const faster: Change[] = [];
  const incomparable: string[] = [];
  let same = 0;
  for (const [what, figure] of after) {
    const was = before.get(what);
    const [olds, nows] = [was?.of.get(OWN), figure.of.get(OWN)];
    if (was === undefined || olds === undefined || nows === undefined) continue;
    const drift = driftOf(was, figure);
    if (drift === null && differences.length > 0) incomparable.push(what);
    else {
      const found = changeOf(olds, nows, drift ?? 1);
      const change = { what, old: shown(olds, figure.digits), now: shown(nows, figure.digits), factor: found.factor };
      if (found.kind === 'slower') slower.push(change);
      else if (found.kind === 'faster') faster.push(change);
      else same++;
    }
  }
  const missing = (here: ReadonlyMap<string, Figure>, there: ReadonlyMap<string, Figure>): string[] =>
    [...here].filter(([what, { of }]) => of.has(OWN) && there.get(what)?.of.has(OWN) !== true).map(([what]) => what);
  slower.sort((a, b) => b.factor - a.factor);
  faster.sort((a, b) => a.factor - b.factor);
  return { differences, slower, faster, same, onlyOld: missing(before, after), onlyNow: missing(after, before), incomparable };
}

/** What is compared is said by the newer run: files of before do not know it of each metric. */
function figuresOf(run: KeptRun, saying: KeptRun): Map<string, Figure> {
  const figures = new Map<string, Figure>();
  for (const { question, metrics, results } of run.figures) {
    const said = saying.figures.find((answer) => answer.question === question)?.metrics ?? metrics;
    for (const { key, label, digits } of said.filter(({ charted, compared }) => charted === true || compared === true)) {
      for (const { name, contender, values } of results) {
        const all = values.flatMap((value) =>
          typeof value[key] === 'number' && Number.isFinite(value[key]) ? [value[key]] : [],
        );
        if (all.length === 0) continue;
        const what = `${question}: ${name}, ${label}`;
        const figure = figures.get(what) ?? { digits, of: new Map<string, readonly number[]>() };
        figure.of.set(contender, all);
        figures.set(what, figure);
      }
    }
  }
  return figures;
}

/**
 * Returns by which factor this figure of the peers grew: the machine, not this egress, made it
 * grow. Null where no peer was measured in both, with rounds
 * that agree.
 */
function driftOf(was: Figure, is: Figure): number | null {
  const factors: number[] = [];
  for (const [contender, values] of is.of) {
    const before = was.of.get(contender);
    if (contender !== OWN && contender !== 'direct' && before !== undefined && isSteady(before) && isSteady(values))
      factors.push(median(values) / median(before));
  }
  return factors.length === 0 ? null : median(factors);
}

function isSteady(values: readonly number[]): boolean {
  const least = Math.min(...values);
  return least > 0 && Math.max(...values) <= least * STEADY;
}

function changeOf(
  olds: readonly number[],
  nows: readonly number[],
  drift: number,
): { readonly kind: 'slower' | 'faster' | 'same'; readonly factor: number } {
  const before = olds.map((value) => value * drift);
  const factor = median(nows) / median(before);
  const noise = olds.length === 1 || nows.length === 1 ? NOISE_OF_ONE_ROUND : NOISE;
  if (factor > noise && Math.min(...nows) > Math.max(...before)) return { kind: 'slower', factor };
  if (factor < 1 / noise && Math.max(...nows) < Math.min(...before)) return { kind: 'faster', factor };
  return { kind: 'same', factor };
}

function differencesOf(old: KeptRun, now: KeptRun): string[] {
  const differ = (name: string, was: unknown, is: unknown): string[] =>
    String(was) === String(is) ? [] : [`${name}: ${String(was)}, now ${String(is)}`];
  return [
    ...differ('CPU', old.machine.cpu, now.machine.cpu),
    ...differ('memory in GB', old.machine.memoryGb, now.machine.memoryGb),
    ...differ('kernel', old.machine.kernel, now.machine.kernel),
    ...differ('Node', old.machine.node, now.machine.node),
    ...differ('generator', old.machine.generator, now.machine.generator),
    ...differ('--seconds', old.seconds, now.seconds),
  ];
}

function shown(values: readonly number[], digits: number): string {
  const [least, middle, most] = [Math.min(...values), median(values), Math.max(...values)].map((value) => value.toFixed(digits));
  return values.length === 1 ? `${middle}` : `${middle} [${least}-${most}]`;
}

/** Writes a comparison for people. */
export function comparisonText(comparison: Comparison, path: string): string {
  const { differences, slower, faster, same, onlyOld, onlyNow, incomparable } = comparison;
  const lines = [`compared with ${path}: ${slower.length} slower, ${faster.length} faster, ${same} the same within their noise`];
  if (differences.length > 0) {
    lines.push('The two runs are of different machines or amounts of work: figures are compared by their ratio to the peers.');
    lines.push(...differences.map((difference) => `  ${difference}`));
  }
  const changes = (title: string, all: readonly Change[]): void => {
    if (all.length > 0) lines.push(title);
    lines.push(...all.map(({ what, old, now, factor }) => `  ${what}: ${old}, now ${now}: x ${factor.toFixed(2)}`));
  };
  changes('slower:', slower);
  changes('faster:', faster);
  const names = (title: string, all: readonly string[]): void => {
    if (all.length > 0) lines.push(title, ...all.map((what) => `  ${what}`));
  };
  names('not compared, because no peer was measured in both runs, or its rounds differ too much:', incomparable);
  names(`only in ${path}:`, onlyOld);
  names('only in this run:', onlyNow);
  return `${lines.join('\n')}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [old, now, ...more] = process.argv.slice(2);
  if (old === undefined || now === undefined || more.length > 0) throw new Error('usage: node perf/compare.ts OLD.json NEW.json');
  const comparison = compare(readRun(old), readRun(now));
  process.stdout.write(comparisonText(comparison, old));
  process.exitCode = comparison.slower.length > 0 ? 1 : 0;
}
