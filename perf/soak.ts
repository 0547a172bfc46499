// `npm run soak -- [--minutes 30] [--rate 250]`: sends mixed churn through an egress of its own,
// prints what it holds each minute, and a verdict; exit code 1 when it failed.
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import { freePort } from '../test/free-ports.ts';
import { createChurn, KINDS } from './soak/churn.ts';
import type { FarEndPorts } from './soak/far-end.ts';
import { residentBytes, start } from './processes.ts';

const MB = 1e6;
const SAMPLE_MS = 10_000;
/** The fewest minutes for a slope: below, the second half is too short for one. */
const SLOPE_FROM_MINUTES = 10;
/** The largest slope that counts as flat, in MB an hour; the noise of a sample is some MB. */
const FLAT_MB_PER_HOUR = 40;
/** The most failures among a thousand clients that behave. */
const MOST_FAILED = 1;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    rate: { type: 'string', default: '250' },
    workers: { type: 'string', default: '2' },
    limit: { type: 'string', default: '350' },
    egress: { type: 'string', default: 'src/main.ts' },
    only: { type: 'string', default: '' },
    node: { type: 'string', multiple: true, default: [] },
    env: { type: 'string', multiple: true, default: [] },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write(`npm run soak -- [options]
  --minutes N      30
  --rate N         250 connections a second
  --workers N      2
  --limit MB       350: the resident memory that the egress may not exceed
  --egress FILE    src/main.ts; dist/src/main.js is what \`npm run build\` made of it
  --only KINDS     only these clients, separated by commas: ${Object.keys(KINDS).join(', ')}
  --node FLAG      a flag of Node for the egress; may be given again
  --env NAME=VALUE a variable of its environment; may be given again
`);
  process.exit();
}
const minutes = positive('minutes', values.minutes);
const rate = positive('rate', values.rate);
const limit = positive('limit', values.limit);
const given: Readonly<Record<string, string>> = Object.fromEntries(
  values.env.map((pair) => [pair.split('=', 1)[0] ?? '', pair.slice(pair.indexOf('=') + 1)]),
);
const only = values.only.split(',').filter((name) => name !== '');
const unknown = only.find((name) => KINDS[name] === undefined);
if (unknown !== undefined) throw new Error(`--only ${unknown}: allowed is ${Object.keys(KINDS).join(', ')}`);

interface Sample {
  /** Seconds since the start. */
  readonly at: number;
  readonly resident: number;
}

const folder = mkdtempSync(join(tmpdir(), 'zone-egress-soak-'));
const probe = join(folder, 'probe');
const [mesh, partner] = await Promise.all([
  createTestMesh('default', { keyType: 'rsa' }),
  createTestMesh('partner', { keyType: 'ec' }),
]);
const farEnd = await startFarEnd();
const [port, adminPort] = [await freePort(), await freePort()];
writeFileSync(join(folder, 'zone.yaml'), zoneYaml());
writeFileSync(probe, '');
const egress = await startEgress();
// Ends the egress with this process in every case.
process.once('exit', () => {
  if (existsSync(`/proc/${egress.pid}`)) process.kill(egress.pid, 'SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
let missed = false;
try {
  missed = !(await soak());
} finally {
  await egress.stop();
  await farEnd.thread.terminate();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(missed ? 1 : 0);

async function soak(): Promise<boolean> {
  const churn = await createChurn({ port, mesh, only });
  const samples: Sample[] = [];
  const startedAt = performance.now();
  const before = { resident: residentBytes(egress.pid), descriptors: descriptors() };
  const arenas = { ...process.env, ...given }.MALLOC_ARENA_MAX ?? 'not set';
  console.log(
    `MALLOC_ARENA_MAX ${arenas}, limits of the container: ${process.constrainedMemory() > 1e15 ? 'none' : inMb(process.constrainedMemory())}`,
  );
  console.log(`rate ${rate}/s for ${minutes} min, ${values.workers} workers, at rest ${inMb(before.resident)} MB`);
  console.log('minute  rate/s  open  sessions  descriptors  RSS MB  of threads, MB: heap, used, external, of it array buffers');
  churn.start(rate);
  let opened = 0;
  let shownAt = startedAt;
  while (performance.now() - startedAt < minutes * 60_000) {
    await sleep(Math.min(SAMPLE_MS, minutes * 60_000 - (performance.now() - startedAt)));
    const now = performance.now();
    samples.push({ at: (now - startedAt) / 1_000, resident: residentBytes(egress.pid) });
    const isLast = now - startedAt >= minutes * 60_000 - 100;
    if (now - shownAt < 55_000 && !isLast) continue;
    const perSecond = ((churn.opened - opened) / (now - shownAt)) * 1_000;
    opened = churn.opened;
    shownAt = now;
    const cells = [
      ((now - startedAt) / 60_000).toFixed(1).padEnd(6),
      perSecond.toFixed(0).padEnd(6),
      String(churn.open).padEnd(4),
      String(await sessions()).padEnd(8),
      String(descriptors()).padEnd(11),
      inMb(samples.at(-1)?.resident ?? 0).padEnd(6),
      threads(),
    ];
    console.log(cells.join('  '));
  }
  const maxResident = Math.max(...samples.map(({ resident }) => resident));
  const slope = slopePerHour(samples.filter(({ at }) => at >= minutes * 30));
  await Promise.race([churn.stop(), sleep(60_000)]);
  const left = await until(sessions, 60_000);
  const failed = [...churn.failed.values()].reduce((sum, count) => sum + count, 0);
  const verdicts: readonly Verdict[] = [
    { good: maxResident <= limit * MB, text: `at most ${inMb(maxResident)} MB resident (limit ${limit})` },
    minutes < SLOPE_FROM_MINUTES
      ? { good: true, text: `no slope: a run of less than ${SLOPE_FROM_MINUTES} minutes has none that means something` }
      : {
          good: slope <= FLAT_MB_PER_HOUR * MB,
          text: `${(slope / MB).toFixed(1)} MB an hour in the second half (limit ${FLAT_MB_PER_HOUR})`,
        },
    {
      good: failed * 1_000 <= churn.honest * MOST_FAILED,
      text: `${churn.honest - failed} of ${churn.honest} clients that behave were served${because(churn.failed)}`,
    },
    { good: left === 0 && churn.open === 0, text: `${left} sessions and ${churn.open} clients are left when all are done` },
  ];
  console.log(`${churn.opened} connections; ${descriptors() - before.descriptors} descriptors more than at rest`);
  if (churn.open > 0) console.log(`clients that are still open: ${because(churn.openOf).slice(2)}`);
  console.log(`how they ended: ${await ends()}`);
  for (const { good, text } of verdicts) console.log(`${good ? 'ok    ' : 'MISSED'}  ${text}`);
  return verdicts.every(({ good }) => good);
}

interface Verdict {
  readonly good: boolean;
  readonly text: string;
}

function startEgress(): ReturnType<typeof start> {
  const args = [
    // The flags of the image.
    '--max-semi-space-size=4',
    ...values.node,
    values.egress,
    'run',
    '--resources',
    folder,
    '--concurrency',
    values.workers,
    '--readiness-port',
    '0',
  ];
  const env = { ...given, SOAK_PROBE: probe, NODE_OPTIONS: `--import=${new URL('soak-probe.ts', import.meta.url).href}` };
  return start(process.execPath, args, (line) => line.msg === 'zone egress is ready', env);
}

async function startFarEnd(): Promise<FarEndPorts & { readonly thread: Worker }> {
  const workerData = partner.issue({ uris: [], dns: ['far.test'], subject: [['CN', 'far.test']] });
  const thread = new Worker(new URL('soak/far-end.ts', import.meta.url), { workerData });
  const [ports] = (await once(thread, 'message')) as [FarEndPorts];
  return { ...ports, thread };
}

function zoneYaml(): string {
  const tls = `, tls: { enabled: true, serverName: far.test, caCert: { inlineString: ${JSON.stringify(partner.ca.cert)} } }`;
  const external = (name: string, port: number, more = ''): string =>
    `type: ExternalService\nmesh: default\nname: ${name}\ntags: { kuma.io/service: ${name}, kuma.io/protocol: tcp }\nnetworking: { address: '127.0.0.1:${port}'${more} }\n`;
  return [
    mesh.resources,
    `type: TrafficPermission
mesh: default
name: frontend
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`,
    `type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: ${port}, admin: { port: ${adminPort} } }\n`,
    `type: ZoneIngress
name: far
zone: west
networking: { address: 127.0.0.1, port: ${farEnd.plain}, advertisedAddress: 127.0.0.1, advertisedPort: ${farEnd.plain} }
availableServices: [{ mesh: default, instances: 1, tags: { kuma.io/service: pass, kuma.io/zone: west } }]
`,
    external('term', farEnd.plain),
    external('re', farEnd.tls, tls),
  ].join('---\n');
}

async function metrics(): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/stats/prometheus`);
  return response.text();
}

async function sessions(): Promise<number> {
  return Number(/^zone_egress_sessions_active (\d+)/m.exec(await metrics())?.[1] ?? NaN);
}

/** Returns the ends of sessions, the most frequent reason first. */
async function ends(): Promise<string> {
  const counts = new Map<string, number>();
  for (const [, reason = '', count] of (await metrics()).matchAll(/^zone_egress_sessions_total\{.*reason="([^"]*)".*\} (\d+)/gm))
    counts.set(reason, (counts.get(reason) ?? 0) + Number(count));
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
}

/** Asks until the answer is 0; returns the last answer. */
async function until(ask: () => Promise<number>, atMostMs: number): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer === 0 || performance.now() - startedAt > atMostMs) return answer;
    await sleep(500);
  }
}

function descriptors(): number {
  return readdirSync(`/proc/${egress.pid}/fd`).length;
}

/** Returns the last report of each thread. */
function threads(): string {
  const last = new Map<string, string>();
  for (const line of readFileSync(probe, 'utf8').trimEnd().split('\n')) {
    if (line === '') continue;
    const { thread, heapTotal, heapUsed, external, arrayBuffers } = JSON.parse(line) as Record<string, number>;
    const numbers = [heapTotal, heapUsed, external, arrayBuffers].map((bytes) => inMb(bytes ?? 0));
    last.set(String(thread), numbers.join(' '));
  }
  writeFileSync(probe, '');
  return [...last].map(([thread, numbers]) => `${thread}: ${numbers}`).join(' | ');
}

/** Returns the slope of a straight line through the samples, in bytes an hour. */
function slopePerHour(samples: readonly Sample[]): number {
  const mean = (pick: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
  const at = mean((sample) => sample.at);
  const resident = mean((sample) => sample.resident);
  const squares = samples.reduce((sum, sample) => sum + (sample.at - at) ** 2, 0);
  const products = samples.reduce((sum, sample) => sum + (sample.at - at) * (sample.resident - resident), 0);
  return squares === 0 ? 0 : (products / squares) * 3_600;
}

function because(failed: ReadonlyMap<string, number>): string {
  const reasons = [...failed].sort(([, a], [, b]) => b - a).slice(0, 5);
  return reasons.length === 0 ? '' : `; ${reasons.map(([why, count]) => `${count} ${why}`).join(', ')}`;
}

function inMb(bytes: number): string {
  return (bytes / MB).toFixed(0);
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new Error(`--${name} ${text}: takes a number above 0`);
  return number;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
