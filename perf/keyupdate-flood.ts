// Question: what do honest clients notice of others that flood the egress with TLS 1.3 key updates
// right after their handshake, without a client certificate? `node perf/keyupdate-flood.ts
// [--seconds 10] [--rounds 3] [--rate 70] [--updates 500] [--honest 20]`. An honest session is new
// each time: TCP, mutual TLS, a byte to the service and back. Sessions start at fixed times,
// whether earlier ones have ended or not; one without an answer within 10 s counts as 10 s. All
// contenders run in one run, in turns.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CIPHER, Sealer, secretOf } from '../test/egress/sealed-records.ts';
import { makeBed } from './bed.ts';
import type { Bed } from './bed.ts';
import { allContenders } from './contenders.ts';
import type { Contender, Target } from './contenders.ts';
import { missingPeers } from './peers/peers.ts';
import { honest } from './honest.ts';
import type { Figures } from './honest.ts';
import { median } from './processes.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    /** Connections of the attacker a second, and the updates on each. */
    rate: { type: 'string', default: '70' },
    updates: { type: 'string', default: '500' },
    /** Honest sessions a second. */
    honest: { type: 'string', default: '20' },
    attack: { type: 'string' },
  },
});
const SECONDS = Number(values.seconds);
const RATE = Number(values.rate);
const UPDATES = Number(values.updates);
const HONEST = Number(values.honest);
/** The time after which an attacker closes. */
const HELD_MS = 8_000;

if (values.attack !== undefined) attack(JSON.parse(values.attack) as Target);
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
  const figures = new Map(contenders.map(({ name }) => [name, { quiet: [] as Figures[], flooded: [] as Figures[] }]));
  try {
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const contender of contenders) {
        const { quiet, flooded } = await one(contender, bed);
        figures.get(contender.name)?.quiet.push(quiet);
        figures.get(contender.name)?.flooded.push(flooded);
      }
    }
  } finally {
    await made.close();
    echo.close();
  }
  const ms = (of: readonly Figures[], key: keyof Figures): string => median(of.map((each) => each[key])).toFixed(1);
  console.log(
    `node perf/keyupdate-flood.ts --seconds ${SECONDS} --rounds ${values.rounds} --rate ${RATE} --updates ${UPDATES} --honest ${HONEST}   (Node ${process.version})`,
  );
  console.log('an honest session, ms      p50      p99   under the flood: p50      p99   lost (of each round)');
  for (const [name, { quiet, flooded }] of figures) {
    const cells = [ms(quiet, 'p50'), ms(quiet, 'p99'), ms(flooded, 'p50'), ms(flooded, 'p99'), ms(flooded, 'lost')];
    const widths = [9, 9, 23, 9, 8];
    console.log(name.padEnd(21) + cells.map((cell, i) => cell.padStart(widths[i] ?? 9)).join(''));
  }
}

async function one(contender: Contender, bed: Bed): Promise<{ readonly quiet: Figures; readonly flooded: Figures }> {
  const running = await contender.start(bed, { workers: 1 });
  try {
    const target = running.at('terminated');
    if (target === null) throw new Error(`${contender.name} does not end TLS`);
    // Warms up every contender before it is measured.
    await honest(target, bed, { seconds: Math.min(3, SECONDS), rate: HONEST });
    const quiet = await honest(target, bed, { seconds: SECONDS, rate: HONEST });
    const attacker = spawn(process.execPath, [
      fileURLToPath(import.meta.url),
      ...['--attack', JSON.stringify(target), '--rate', String(RATE), '--updates', String(UPDATES)],
    ]);
    attacker.stderr.pipe(process.stderr);
    const over = once(attacker, 'exit');
    try {
      await once(attacker.stdout, 'data');
      return { quiet, flooded: await honest(target, bed, { seconds: SECONDS, rate: HONEST }) };
    } finally {
      attacker.kill();
      await over;
    }
  } finally {
    await running.stop();
  }
}

/** Reports that it has begun when the first updates are sent, and continues until it is killed. */
function attack(target: Target): void {
  let begun = false;
  const startedAt = performance.now();
  let made = 0;
  setInterval(() => {
    // At most a second's worth at once, where this process is too slow for the rate.
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * RATE);
    made = Math.max(made, due - RATE);
    for (; made < due; made++) {
      flood(target, () => {
        if (!begun) console.log('begun');
        begun = true;
      });
    }
  }, 5);
}

/**
 * Makes one connection: the handshake without a certificate, and key updates that ask for an
 * answer, in one write with its Finished.
 */
function flood({ host, port, sni }: Target, sent: () => void): void {
  const raw = connectTcp({ host, port, noDelay: true });
  let secret: Buffer | null = null;
  let done = false;
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, written) {
      if (secret !== null && !done) {
        done = true;
        const sealer = new Sealer(secret, 0);
        raw.cork();
        // TLS writes its Finished in this tick, before the updates.
        setImmediate(() => {
          raw.write(Buffer.concat(Array.from({ length: UPDATES }, () => sealer.keyUpdate())));
          raw.uncork();
          sent();
        });
      }
      raw.write(chunk);
      written();
    },
  });
  raw.on('data', (chunk: Buffer) => wire.push(chunk));
  raw.on('error', () => {});
  raw.on('close', () => wire.destroy());
  wire.on('error', () => {});
  raw.setTimeout(HELD_MS, () => raw.destroy());
  const tls = connectTls({ socket: wire, servername: sni, rejectUnauthorized: false, minVersion: 'TLSv1.3', ciphers: CIPHER });
  tls.on('keylog', (line: Buffer) => (secret = secretOf(line, 'CLIENT_TRAFFIC_SECRET_0') ?? secret));
  tls.on('error', () => {});
  // Answers are read and dropped; the end of one side ends the other.
  tls.on('end', () => raw.destroy());
  tls.resume();
}
