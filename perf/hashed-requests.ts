// `npm run hashed -- [--count 10000]`: requests with bodies that both ends hash, over HTTP/1.1 and
// HTTP/2 on either side, while the routes are reloaded and clients, services and connections fail.
// Every request that ends well has the same hashes at both ends, and every other one has a fault
// that was injected; exit code 1 when one has not.
import { parseArgs } from 'node:util';
import { startHashedBed } from './hashed/bed.ts';
import { digestOf } from './hashed/body.ts';
import { http1Client, http2Client } from './hashed/clients.ts';
import type { Client, ClientFault, Outcome, Plan } from './hashed/clients.ts';
import { showLargeBodies } from './hashed/large-bodies.ts';
import { SERVICE_FAULTS } from './hashed/service.ts';
import type { Arrival, Report, ServiceFault } from './hashed/service.ts';
import { residentBytes } from './processes.ts';

const MB = 1e6;
const MOST_BODY = 2 * MB;

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '10000' },
    workers: { type: 'string', default: '2' },
    'reload-every': { type: 'string', default: '500' },
    seed: { type: 'string', default: '1' },
    large: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(`npm run hashed -- [options]
  --count N         10000 requests
  --workers N       2
  --reload-every MS 500: the routes change this often
  --seed N          1: decides sizes and faults
  --large           in place of these: bodies of 1 GB, and 1,000 streams that are not read
`);
  process.exit();
}
if (values.large) {
  await showLargeBodies();
  process.exit();
}
const count = positive('count', values.count);
const reloadEveryMs = positive('reload-every', values['reload-every']);

const bed = await startHashedBed(values.workers);
let isGood = false;
try {
  isGood = await play();
} finally {
  await bed.stop();
}
process.exit(isGood ? 0 : 1);

async function play(): Promise<boolean> {
  const clients = ['one', 'two'].flatMap((sni) => [
    ...Array.from({ length: 12 }, () => ({ client: http1Client(bed.door(sni)), at: 1 })),
    ...Array.from({ length: 2 }, () => ({ client: http2Client(bed.door(sni)), at: 10 })),
  ]);
  const plans = plansOf(count, Number(values.seed));
  const outcomes: Outcome[] = [];
  let most = residentBytes(bed.pid);
  const atRest = most;
  const startedAt = performance.now();
  const timer = setInterval(() => {
    bed.reload();
    most = Math.max(most, residentBytes(bed.pid));
  }, reloadEveryMs);
  const work = async (client: Client): Promise<void> => {
    for (let plan = plans.pop(); plan !== undefined; plan = plans.pop()) outcomes.push(await client.ask(plan));
  };
  await Promise.all(clients.flatMap(({ client, at }) => Array.from({ length: at }, () => work(client))));
  clearInterval(timer);
  const seconds = (performance.now() - startedAt) / 1_000;
  const seen = await bed.metric(/^zone_egress_config_loads_total\{result="applied"\} (\d+)/m);
  const left = await sessionsLeft(clients.map(({ client }) => client));
  const report = await bed.report();
  const cut = new Set(clients.flatMap(({ client }) => [...client.cut]));
  const malformed = await bed.malformed().catch((error: unknown) => String(error));
  return judge(outcomes, report, cut, { seconds, seen, left, atRest, most, malformed });
}

interface Figures {
  readonly seconds: number;
  /** Changes of its configuration that the egress took. */
  readonly seen: number;
  /** Sessions when all clients have gone. */
  readonly left: number;
  readonly atRest: number;
  readonly most: number;
  readonly malformed: string;
}

function judge(outcomes: readonly Outcome[], report: Report, cut: ReadonlySet<number>, figures: Figures): boolean {
  const arrivals = new Map<number, Arrival[]>();
  for (const each of report.arrivals) arrivals.set(each.id, [...(arrivals.get(each.id) ?? []), each]);
  const onCut = new Set(report.cuts.flatMap(({ ids }) => ids));
  const wrong: string[] = [];
  const lost = new Map<string, number>();
  let good = 0;
  let bytes = 0;
  for (const outcome of outcomes) {
    const { plan, status, down, up, error } = outcome;
    const came = arrivals.get(plan.id) ?? [];
    bytes += (up?.bytes ?? 0) + (down?.bytes ?? 0);
    if (plan.up > 0 && came.length > 1) wrong.push(`request ${plan.id} with a body arrived ${came.length} times`);
    if (status === 200 && down !== null && !cut.has(plan.id)) {
      const problem = mismatch(outcome, came);
      if (problem === null) good++;
      else wrong.push(`request ${JSON.stringify(plan)}: ${problem}`);
      continue;
    }
    const why =
      plan.serviceFault !== 'none'
        ? `the service failed it: ${plan.serviceFault}`
        : cut.has(plan.id)
          ? `its client gave up: ${plan.clientFault === 'none' ? 'another one cut the connection' : plan.clientFault}`
          : onCut.has(plan.id)
            ? 'the service cut the connection that it was on'
            : status === 503 &&
                came.length === 0 &&
                report.cuts.some(({ atMs }) => atMs >= outcome.startedMs - 50 && atMs <= outcome.endedMs)
              ? 'it was sent on a connection that the service had just cut'
              : null;
    if (why === null) wrong.push(`request ${plan.id} (${JSON.stringify(plan)}) was lost without a fault: ${status} ${error}`);
    else lost.set(why, (lost.get(why) ?? 0) + 1);
  }
  const { seconds, seen, left, atRest, most } = figures;
  console.log(
    `${outcomes.length} requests in ${seconds.toFixed(1)} s, ${(bytes / MB).toFixed(0)} MB of whole bodies, ${values.workers} workers`,
  );
  console.log(`${good} ended well, with the same hashes at both ends`);
  for (const [why, number] of [...lost].sort(([, a], [, b]) => b - a)) console.log(`${number} lost: ${why}`);
  console.log(`${bed.reloads()} times the routes were written, ${seen} changes were taken`);
  console.log(`resident MB: ${inMb(atRest)} at rest, at most ${inMb(most)}`);
  if (left > 0) wrong.push(`${left} sessions are left when all clients have gone`);
  if (seen === 0) wrong.push('no change of the routes was taken');
  for (const each of wrong.slice(0, 20)) console.log(`WRONG  ${each}`);
  if (wrong.length > 0) console.log(`refused as malformed:\n${figures.malformed}`);
  console.log(wrong.length === 0 ? 'ok' : `MISSED: ${wrong.length}`);
  return wrong.length === 0;
}

/** Returns what differs between the ends of a request that its client takes for whole. */
function mismatch({ plan, up, down }: Outcome, came: readonly Arrival[]): string | null {
  const there = came.at(-1);
  if (there === undefined) return 'it never came to the service';
  const sent = plan.up === 0 ? digestOf(plan.id, 0) : up;
  if (sent === null || there.up === null) return 'its body was not whole';
  if (sent.bytes !== plan.up || sent.sha256 !== there.up.sha256)
    return `its body differs: ${sent.bytes} sent, ${there.up.bytes} came`;
  if (down?.bytes !== plan.down || down.sha256 !== digestOf(plan.id, plan.down).sha256)
    return `its answer differs: ${plan.down} asked for, ${down?.bytes ?? 0} came`;
  return there.down === null || there.down.sha256 === down.sha256 ? null : 'its answer is not the one that was sent';
}

/** Sizes up to 2 MB, each order of magnitude as often as the others; 0 for a tenth. */
function plansOf(number: number, seed: number): Plan[] {
  let state = seed >>> 0;
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const size = (): number => (random() < 0.1 ? 0 : Math.round(MOST_BODY ** random()));
  return Array.from({ length: number }, (_, i) => {
    const drawn = random();
    const serviceFault: ServiceFault =
      drawn < 0.04 ? (SERVICE_FAULTS[1 + Math.floor(random() * 3)] ?? 'none') : drawn < 0.044 ? 'connection' : 'none';
    const clientFault: ClientFault =
      drawn >= 0.044 && drawn < 0.08 ? 'stream' : drawn >= 0.08 && drawn < 0.083 ? 'connection' : 'none';
    return { id: i + 1, up: size(), down: size(), early: random() < 0.3, serviceFault, clientFault };
  });
}

async function sessionsLeft(clients: readonly Client[]): Promise<number> {
  for (const client of clients) client.close();
  const end = performance.now() + 60_000;
  for (;;) {
    const left = await bed.metric(/^zone_egress_sessions_active (\d+)/m);
    if (left === 0 || performance.now() > end) return left;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function inMb(bytes: number): string {
  return (bytes / MB).toFixed(0);
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new Error(`--${name} ${text}: takes a number above 0`);
  return number;
}
