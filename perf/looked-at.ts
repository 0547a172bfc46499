// Question: what does it cost to look at an egress with many sessions open, while new ones come and
// go? `node perf/looked-at.ts [--sessions 9000] [--new 2000] [--seconds 5]`. All are passthrough
// sessions with a real ClientHello, made by the native generator (perf/generator), to a far end of
// its own; the egress is a process with one thread of sessions. Its CPU is that of all its threads.
// The generator keeps the rate as long as the machine can; the column says what was reached.
import { mkdirSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../test/free-ports.ts';
import { makeBed } from './bed.ts';
import type { Bed } from './bed.ts';
import { sniOf, zoneYaml } from './contenders.ts';
import { generatorName, go, startGenerator } from './generator.ts';
import type { Options } from './generator.ts';
import { cpuSeconds, machineSeconds, startNode } from './processes.ts';
import type { Started } from './processes.ts';
import { driving } from './question.ts';

/** The most of the new sessions that are open at once: more wait for the egress. */
const MOST_NEW = 400;
/** Open sessions of one destination. */
const EACH = 1_000;

/** Looks at the admin pages until it is stopped. */
type Look = (admin: string) => () => void;

const TOP = ['/sessions?sort=rate&limit=500', '/decisions?limit=500', '/stats/prometheus', '/alarms', '/config_errors', '/ready'];

const LOOKS: Readonly<Record<string, Look>> = {
  'nobody looks': () => () => {},
  '/sessions?sort=rate, each second': (admin) => again(admin, ['/sessions?sort=rate'], 1_000),
  '/decisions?follow=true': follow,
  'the pages of top, every 2 s': (admin) => again(admin, TOP, 2_000),
  'all three': (admin) => {
    const all = [again(admin, ['/sessions?sort=rate'], 1_000), follow(admin), again(admin, TOP, 2_000)];
    return () => {
      for (const stop of all) stop();
    };
  },
};

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '9000' },
    new: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '5' },
  },
});
const [sessions, perSecond, seconds] = [Number(values.sessions), Number(values.new), Number(values.seconds)];

const routes = Math.ceil(sessions / EACH);
let followed = 0;
const bed = await makeBed();
const { egress, port, admin } = await startEgress(bed);
const toRoute = (sni: string): Promise<Options> =>
  driving({ target: { host: '127.0.0.1', port, sni }, work: 'passthrough' }, () => ({ cert: '', key: '' }));
const through = await toRoute(sniOf('passthrough'));
// A destination takes 1,024 connections, as in Envoy.
const held: Started[] = [];
for (let i = 0; i < routes; i++)
  held.push(
    await startGenerator('hold', {
      ...(await toRoute(`route-${i}{mesh=default}`)),
      connections: Math.min(EACH, sessions - i * EACH),
    }),
  );
const command = `node perf/looked-at.ts --sessions ${sessions} --new ${perSecond} --seconds ${seconds}`;
console.log(
  `${command}   (Node ${process.version}, generator: ${generatorName()}, load of the machine ${loadavg()[0]?.toFixed(1)})`,
);
await fresh(through, perSecond * 2);
console.log('look                                 new a second   CPU ms a second   machine ms   p50 ms   p99 ms   lines read');
for (const [name, look] of Object.entries(LOOKS)) {
  const generator = await startGenerator('rate', paced(through, perSecond * seconds));
  followed = 0;
  const stop = look(admin);
  const [before, machineBefore] = [cpuSeconds(egress.pid), machineSeconds()];
  const load = await go(generator);
  const [cpu, machine] = [cpuSeconds(egress.pid) - before, machineSeconds() - machineBefore];
  stop();
  await generator.stop();
  if (load.errors > 0) console.log(`${load.errors} errors, the first: ${load.firstError}`);
  const columns = [
    name.padEnd(34),
    (load.connections / load.seconds).toFixed(0).padStart(15),
    ((cpu / load.seconds) * 1_000).toFixed(0).padStart(17),
    ((machine / load.seconds) * 1_000).toFixed(0).padStart(12),
    (load.p50 / 1_000).toFixed(1).padStart(8),
    (load.p99 / 1_000).toFixed(1).padStart(8),
    String(followed).padStart(12),
  ];
  console.log(columns.join(' '));
}
for (const each of held) await each.stop();
await egress.stop();
await bed.close();
process.exit();

function paced(options: Options, total: number): Options {
  return { ...options, connections: MOST_NEW, total, 'per-second': perSecond };
}

/** Lets V8 compile what a session needs. */
async function fresh(options: Options, total: number): Promise<void> {
  const generator = await startGenerator('rate', paced(options, total));
  await go(generator);
  await generator.stop();
}

async function startEgress({
  folder,
  ...rest
}: Bed): Promise<{ readonly egress: Started; readonly port: number; readonly admin: string }> {
  const resources = join(folder, 'looked-at');
  mkdirSync(resources);
  const adminPort = await freePort();
  const yaml = zoneYaml({ folder, ...rest }, { routes, port: await freePort(), adminPort });
  writeFileSync(join(resources, 'zone.yaml'), yaml);
  const egress = await startNode(
    // As the image starts it.
    // prettier-ignore
    ['--max-semi-space-size=4', 'src/main.ts', 'run', '--resources', resources, '--concurrency', '1', '--readiness-port', '0', '--allow-resolved', '127.0.0.0/8'],
    (line) => line['msg'] === 'zone egress is ready',
  );
  return { egress, port: Number(egress.ready['port']), admin: `http://127.0.0.1:${adminPort}` };
}

/** Reads the pages one after another, each time after a pause. */
function again(admin: string, pages: readonly string[], everyMs: number): () => void {
  const read = (): void => {
    void pages.reduce((before, page) => before.then(() => readPage(`${admin}${page}`)), Promise.resolve());
  };
  read();
  const timer = setInterval(read, everyMs);
  return () => clearInterval(timer);
}

function readPage(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (answer) => {
      answer.resume();
      answer.on('end', resolve);
    }).on('error', reject);
  });
}

function follow(admin: string): () => void {
  const request = get(`${admin}/decisions?follow=true`, { agent: false }, (answer) => {
    answer.on('data', (bytes: Buffer) => {
      for (const byte of bytes) if (byte === 10) followed++;
    });
  });
  request.on('error', () => {});
  return () => request.destroy();
}
