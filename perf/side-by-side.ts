// Question: is a connection cheaper here than in another checkout? `node perf/side-by-side.ts --than
// OTHER/src/main.ts [--rounds 20] [--connections 3000] [--close rst,fin]`. Both run at the same time
// and take turns in short runs, so that whatever else the machine does meets both.
import { parseArgs } from 'node:util';
import { makeBed } from './bed.ts';
import { allContenders } from './contenders.ts';
import type { Running } from './contenders.ts';
import { drive, driving } from './question.ts';

const { values } = parseArgs({
  options: {
    egress: { type: 'string', default: 'src/main.ts' },
    than: { type: 'string' },
    rounds: { type: 'string', default: '20' },
    connections: { type: 'string', default: '3000' },
    close: { type: 'string', default: 'rst,fin' },
  },
});
const { egress, than, connections } = values;
const mains = than === undefined ? [egress] : [egress, than];
const total = Number(connections);

const bed = await makeBed();
const client = (mesh: string) => ({ cert: `${bed.folder}/${mesh}-client.pem`, key: `${bed.folder}/${mesh}-client.key` });
const running: Running[] = [];
for (const main of mains) {
  const [ours] = allContenders(main);
  if (ours !== undefined) running.push(await ours.start(bed, { workers: 1 }));
}

console.log(`node perf/side-by-side.ts ${process.argv.slice(2).join(' ')}   (Node ${process.version})`);
console.log('CPU µs of a passthrough connection        median  quarter - three quarters');
for (const close of values.close.split(',')) {
  const results = await rounds(close);
  for (const [i, main] of mains.entries()) console.log(`${close}  ${main.padEnd(36)}  ${summary(results[i] ?? [])}`);
  if (mains.length === 2) {
    const ratios = (results[0] ?? []).map((value, i) => value / (results[1]?.[i] ?? NaN));
    console.log(`${close}  ${'of the other, round by round'.padEnd(36)}  ${summary(ratios, 3)}`);
  }
}
for (const one of running) await one.stop();
await bed.close();

/** Returns µs of each round, for each program. */
async function rounds(close: string): Promise<number[][]> {
  const results = mains.map((): number[] => []);
  for (const one of running) await run(one, close, total * 4);
  for (let round = 0; round < Number(values.rounds); round++) {
    const order = running.map((_, i) => (round % 2 === 0 ? i : running.length - 1 - i));
    for (const i of order) {
      const one = running[i];
      if (one !== undefined) results[i]?.push(await run(one, close, total));
    }
  }
  return results;
}

async function run(one: Running, close: string, count: number): Promise<number> {
  const target = one.at('passthrough');
  if (target === null) throw new Error('there is no passthrough route');
  const options = { ...(await driving({ target, work: 'passthrough' }, client)), connections: 8, total: count, close };
  const { cpu } = await drive('rate', options, one);
  return (cpu * 1e6) / count;
}

function summary(all: readonly number[], digits = 0): string {
  const sorted = [...all].sort((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? NaN).toFixed(digits);
  return `${at(0.5).padStart(6)}  ${at(0.25)} - ${at(0.75)}`;
}
