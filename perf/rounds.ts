// Asks one question: contenders take turns within each round, so that other load of the machine
// affects all of them.
import type { Bed } from './bed.ts';
import { WORKS } from './bed.ts';
import type { Contender, Running } from './contenders.ts';
import { checkIntact } from './question.ts';
import type { Case, ClientFiles, Question, Settings, Values } from './question.ts';

export interface Result {
  readonly name: string;
  readonly headline: boolean;
  readonly contender: string;
  /** One entry for each round. */
  readonly values: readonly Values[];
}

export interface Failure {
  readonly question: string;
  readonly name: string;
  readonly contender: string;
  readonly kind: Contender['kind'];
  readonly message: string;
}

export interface Answer {
  readonly question: Question;
  readonly results: readonly Result[];
  readonly failures: readonly Failure[];
}

export interface Asked {
  readonly bed: Bed;
  readonly running: ReadonlyMap<Contender, Running>;
  readonly client: ClientFiles;
  readonly settings: Settings;
  readonly rounds: number;
  /** A part of the names of the wanted cases. */
  readonly only: string;
}

/**
 * Starts each contender into `running`, and sends bytes there and back through each kind of its
 * work; one that changes them is not measured. Returns the excluded peers with the reason; throws
 * where it is this egress, or a floor.
 */
export async function startAll(
  { bed, running, client }: { readonly bed: Bed; readonly running: Map<Contender, Running>; readonly client: ClientFiles },
  contenders: readonly Contender[],
): Promise<readonly Failure[]> {
  const out: Failure[] = [];
  for (const contender of contenders) {
    try {
      const one = await contender.start(bed, { workers: 1 });
      running.set(contender, one);
      for (const work of WORKS) {
        const target = one.at(work);
        if (target === null) continue;
        progress(`bytes arrive intact: ${contender.name}, ${work}`);
        await checkIntact({ target, work }, client);
      }
    } catch (error) {
      if (contender.kind !== 'peer') throw new Error(`start ${contender.name} and send bytes through it`, { cause: error });
      await running.get(contender)?.stop();
      running.delete(contender);
      out.push(failureOf({ question: 'all', name: 'start and intact bytes', contender }, error));
    }
  }
  return out;
}

function failureOf(at: { question: string; name: string; contender: Contender }, error: unknown): Failure {
  const { question, name, contender } = at;
  const message = error instanceof Error ? error.message : String(error);
  return { question, name, contender: contender.name, kind: contender.kind, message };
}

export async function ask(question: Question, asked: Asked): Promise<Answer> {
  const { bed, running, client, settings, only } = asked;
  const rounds = Math.min(asked.rounds, question.roundsMost ?? asked.rounds);
  const contenders = [...running.keys()];
  const cases = question.cases(settings).filter(({ name }) => name.includes(only));
  // A contender that was idle during the turns of others has cold caches, and the kernel may have
  // taken its pages: a tenth of the work runs first, uncounted.
  const tenths = question.fresh || settings.smoke ? [] : question.cases({ ...settings, seconds: settings.seconds / 10 });
  const warmUp = new Map(tenths.map((one) => [one.name, one]));
  const values = new Map<Case, Map<Contender, Values[]>>();
  const failures: Failure[] = [];
  const steps = rounds * cases.length * contenders.length;
  const startedAt = performance.now();
  let step = 0;
  for (let round = 0; round < rounds; round++) {
    for (const one of cases) {
      for (const contender of contenders) {
        const left =
          step === 0 ? '' : `, ${Math.ceil((((performance.now() - startedAt) / step) * (steps - step)) / 60_000)} min left`;
        progress(`${question.name} ${++step}/${steps}${left}: round ${round + 1}, ${one.name}, ${contender.name}`);
        if (contender.variant && one.headline === false) continue;
        if (failures.some((failure) => failure.name === one.name && failure.contender === contender.name)) continue;
        try {
          const subject = { bed, contender, running: running.get(contender) ?? null, client };
          await warmUp.get(one.name)?.measure(subject);
          const value = await one.measure(subject);
          if (value === null) continue;
          const of = values.get(one) ?? new Map<Contender, Values[]>();
          values.set(one, of.set(contender, [...(of.get(contender) ?? []), value]));
        } catch (error) {
          failures.push(failureOf({ question: question.name, name: one.name, contender }, error));
        }
      }
    }
  }
  progress('');
  const results = [...values].flatMap(([one, of]) =>
    [...of].map(([contender, all]) => ({
      name: one.name,
      headline: one.headline !== false,
      contender: contender.name,
      values: all,
    })),
  );
  return { question, results, failures };
}

/** Writes over one line of a terminal; writes nothing elsewhere. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text.slice(0, process.stderr.columns - 1)}`);
}
