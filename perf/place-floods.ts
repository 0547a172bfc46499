// Question: what do honest clients notice of others that take places and do nothing with them?
// `node perf/place-floods.ts [--seconds 8] [--rounds 1] [--rate 1000] [--honest 10] [--workers 2]`.
// Two floods, both from the address of the honest clients: a whole hello and then nothing, and
// connections without any byte. Each runs until it has taken all places before the honest clients
// begin. An honest session is new each time: TCP, mutual TLS, a byte to the service and back; one
// without an answer within 10 s counts as 10 s. All contenders run in one run, in turns.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { realHello } from '../test/egress/real-hello.ts';
import { makeBed } from './bed.ts';
import type { Bed } from './bed.ts';
import { allContenders } from './contenders.ts';
import type { Contender, Target } from './contenders.ts';
import { honest } from './honest.ts';
import type { Figures } from './honest.ts';
import { missingPeers } from './peers/peers.ts';
import { median } from './processes.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '1' },
    /** Connections of the flood a second. */
    rate: { type: 'string', default: '1000' },
    /** Honest sessions a second. */
    honest: { type: 'string', default: '10' },
    workers: { type: 'string', default: '2' },
    attack: { type: 'string' },
    kind: { type: 'string', default: '' },
  },
});
const SECONDS = Number(values.seconds);
const RATE = Number(values.rate);
const HONEST = Number(values.honest);
/** The time that each needs to take the places: handshakes are fewer than sessions. */
const FLOODS: Readonly<Record<string, { readonly leadMs: number }>> = {
  'stalled hellos': { leadMs: 2_500 },
  'silent connections': { leadMs: 14_000 },
};
/** The time after which a connection of the flood closes. */
const HELD_MS = 15_000;

if (values.attack !== undefined) await attack(JSON.parse(values.attack) as Target, values.kind);
else await measure();

async function measure(): Promise<void> {
  for (const name of missingPeers()) console.error(`perf: ${name} is not installed (perf/peers/install.sh): left out`);
  const echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const made = await makeBed();
  const bed: Bed = { ...made, plain: (echo.address() as AddressInfo).port };
  const contenders = allContenders().filter(({ kind, variant }) => (kind === 'egress' || kind === 'peer') && !variant);
  console.log(
    `node perf/place-floods.ts --seconds ${SECONDS} --rounds ${values.rounds} --rate ${RATE} --honest ${HONEST} --workers ${values.workers}   (Node ${process.version})`,
  );
  console.log('an honest session, ms                        p50       p99   got in');
  try {
    for (const [kind, { leadMs }] of Object.entries(FLOODS)) {
      const figures = new Map<string, Figures[]>(contenders.map(({ name }) => [name, []]));
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const contender of contenders) figures.get(contender.name)?.push(await one(contender, bed, { kind, leadMs }));
      }
      for (const [name, of] of figures) {
        const ms = (key: 'p50' | 'p99'): string =>
          median(of.map((each) => each[key]))
            .toFixed(1)
            .padStart(10);
        const sum = (key: 'of' | 'lost'): number => of.reduce((total, each) => total + each[key], 0);
        console.log(`${`${kind}: ${name}`.padEnd(38)}${ms('p50')}${ms('p99')}   ${sum('of') - sum('lost')} of ${sum('of')}`);
      }
    }
  } finally {
    await made.close();
    echo.close();
  }
}

async function one(
  contender: Contender,
  bed: Bed,
  { kind, leadMs }: { readonly kind: string; readonly leadMs: number },
): Promise<Figures> {
  const running = await contender.start(bed, { workers: Number(values.workers) });
  try {
    const target = running.at('terminated');
    if (target === null) throw new Error(`${contender.name} does not end TLS`);
    // Warms up every contender before it is measured.
    await honest(target, bed, { seconds: 2, rate: HONEST });
    const flood = ['--attack', JSON.stringify(target), '--kind', kind, '--rate', String(RATE)];
    const attacker = spawn(process.execPath, [fileURLToPath(import.meta.url), ...flood], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const over = once(attacker, 'exit');
    try {
      await pause(leadMs);
      return await honest(target, bed, { seconds: SECONDS, rate: HONEST });
    } finally {
      attacker.kill();
      await over;
    }
  } finally {
    await running.stop();
  }
}

/** Runs until it is killed. */
async function attack({ host, port, sni }: Target, kind: string): Promise<void> {
  const hello = kind === 'stalled hellos' ? await realHello(sni) : null;
  const startedAt = performance.now();
  let made = 0;
  setInterval(() => {
    // At most a tenth of a second's worth at once, where this process is too slow for the rate.
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * RATE);
    made = Math.max(made, due - RATE / 10);
    for (; made < due; made++) {
      const socket = connect(port, host);
      socket.on('error', () => {});
      if (hello !== null) socket.write(hello);
      socket.resume();
      setTimeout(() => socket.destroy(), HELD_MS);
    }
  }, 5);
}
