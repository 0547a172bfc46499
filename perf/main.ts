// `npm run perf -- [options]`: asks the questions of this folder of this egress, the installed
// peers and the floors, and writes the answers to perf/results/.
import { parseArgs } from 'node:util';
import { makeBed } from './bed.ts';
import { allContenders } from './contenders.ts';
import type { Contender, Running } from './contenders.ts';
import { compare, comparisonText, partOf, readRun } from './compare.ts';
import { connections } from './connections.ts';
import { handshakes } from './handshakes.ts';
import { http } from './http.ts';
import { latency } from './latency.ts';
import { memory } from './memory.ts';
import { missingPeers } from './peers/peers.ts';
import type { ClientFiles, Question } from './question.ts';
import { reload } from './reload.ts';
import { keep, keptRun, write } from './results.ts';
import { routes } from './routes.ts';
import { ask, startAll } from './rounds.ts';
import type { Answer } from './rounds.ts';
import { table } from './table.ts';
import { targetOf, TARGET_OPTIONS } from './target.ts';
import { throughput } from './throughput.ts';
import { workers } from './workers.ts';

const QUESTIONS: readonly Question[] = [throughput, connections, handshakes, http, latency, memory, reload, routes, workers];

const { values } = parseArgs({
  options: {
    question: { type: 'string', multiple: true, default: [] },
    contender: { type: 'string', multiple: true, default: [] },
    case: { type: 'string' },
    egress: { type: 'string', default: 'src/main.ts' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    smoke: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    compare: { type: 'string' },
    help: { type: 'boolean', default: false },
    ...TARGET_OPTIONS,
  },
});

const HELP = `npm run perf -- [options]
  --question NAME     ${QUESTIONS.map(({ name }) => name).join(', ')}; repeat or separate by commas; all by default
  --contender NAME    ${allContenders()
    .map(({ name }) => name)
    .join(', ')}; all by default
  --case TEXT         only cases whose name has this
  --egress FILE       src/main.ts; dist/src/main.js is what \`npm run build\` made of it, which starts sooner
  --rounds N          5: contenders take turns within a round; the table has medians
  --seconds S         1: scales the work of a run
  --keep              puts the table and the chart into perf/README.md; of one question only its table
  --compare OLD.json  says what became slower than in that run, such as perf/results/kept.json; ends with 1 where something did
  --smoke             a moment of each question, without peers: does it all work?
  --target HOST:PORT  an egress that runs, in place of all these: see perf/README.md
    --pid N --sni NAME --work passthrough|terminated|re-encrypted --cert FILE --key FILE --far-end-port N --far-end-tls-port N
`;

if (values.help) {
  process.stdout.write(HELP);
  process.exit();
}
const rounds = Number(values.rounds ?? (values.smoke ? 1 : 5));
const seconds = Number(values.seconds ?? (values.smoke ? 0.02 : 1));
if (!(rounds >= 1) || !(seconds > 0))
  throw new Error(`--rounds ${rounds} --seconds ${seconds}: at least 1 round, more than 0 seconds`);
// Read before anything is measured, and before --keep replaces it.
const old = values.compare === undefined ? null : readRun(values.compare);
const questions = chosen('question', QUESTIONS, values.question);
const target = targetOf(values);
const contenders = target === null ? chosen('contender', allContenders(values.egress), values.contender) : [target.contender];
const measured = values.smoke && values.contender.length === 0 ? contenders.filter(({ kind }) => kind !== 'peer') : contenders;
if (target === null && !values.smoke && missingPeers().length > 0)
  console.error(`perf: ${missingPeers().join(', ')} not installed and not measured: perf/peers/install.sh fetches them`);

const bed = await makeBed({ port: target?.farEndPort, tlsPort: target?.farEndTlsPort });
const client: ClientFiles =
  target?.client ?? ((mesh) => ({ cert: `${bed.folder}/${mesh}-client.pem`, key: `${bed.folder}/${mesh}-client.key` }));
const startedAt = new Date();
const answers: Answer[] = [];
const running = new Map<Contender, Running>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void endAll().finally(() => process.exit(130)));
try {
  const out = await startAll({ bed, running, client }, measured);
  for (const { contender, message } of out) console.error(`perf: ${contender} is not measured: ${message}`);
  for (const question of questions) {
    // A question that needs fresh processes cannot be asked of a running one.
    if (question.fresh && target !== null && question !== memory) continue;
    const settings = { seconds, smoke: values.smoke };
    const answer = await ask(question, { bed, running, client, settings, rounds, only: values.case ?? '' });
    answers.push(answer);
    console.log(values.smoke ? `${question.name}: ${answer.results.length} figures` : table(answer));
  }
} finally {
  await endAll();
}
const failures = answers.flatMap((answer) => answer.failures);
for (const { question, name, contender, message } of failures)
  console.error(`perf: ${question}, ${name}, ${contender}: ${message}`);
let becameSlower = false;
if (!values.smoke) {
  const run = { answers, startedAt, rounds, seconds, command: `npm run perf -- ${process.argv.slice(2).join(' ')}`.trimEnd() };
  console.log(`written: ${write(run).join(' ')}`);
  if (old !== null) {
    const asked = { questions: questions.map(({ name }) => name), only: values.case ?? '' };
    const comparison = compare(partOf(old, asked), keptRun(run));
    becameSlower = comparison.slower.length > 0;
    console.log(comparisonText(comparison, values.compare ?? ''));
  }
  if (values.keep) keep(run);
} else console.log(`check perf: ${failures.length === 0 ? 'ok' : 'failed'}`);
process.exit(becameSlower || failures.some(({ kind }) => kind !== 'peer') ? 1 : 0);

async function endAll(): Promise<void> {
  for (const one of running.values()) await one.stop();
  await bed.close();
}

function chosen<T extends Question | Contender>(what: string, all: readonly T[], names: readonly string[]): readonly T[] {
  const wanted = names.flatMap((name) => name.split(','));
  const unknown = wanted.find((name) => !all.some((one) => one.name === name));
  if (unknown !== undefined) throw new Error(`--${what} ${unknown}: there is ${all.map(({ name }) => name).join(', ')}`);
  return wanted.length === 0 ? all : all.filter(({ name }) => wanted.includes(name));
}
