import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { resetTcp } from '../../src/traffic/reset.ts';
import { randomFrom } from '../wire/fixtures/hello-bytes.ts';
import { realHello } from './real-hello.ts';
import { until } from './until.ts';
import { ask, CONCURRENCIES, gone, startZone } from './zone.ts';
import type { Zone } from './zone.ts';

const SESSIONS = 600;
const WIDTH = 30;
/** Sessions of each kind with a certain end. */
const EACH_SURE = 10;
type Random = (below: number) => number;

const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 2 ** 31);
t.comment(`HOSTILE_SEED=${seed} repeats the choices`);

for (const concurrency of CONCURRENCIES) {
  const sides = `with ${concurrency} data side${concurrency === 1 ? '' : 's'}`;
  t.test(
    `${sides}: members of the mesh whose bytes go wrong at any moment leave nothing behind, and nobody else feels them`,
    async (t) => {
      await using zone = await startZone(t, { concurrency });
      const random = randomFrom(seed + concurrency);
      const done = new Map<string, number>();
      let left = SESSIONS;
      // The ends of hostile sessions depend on the moment; these sessions among them must end as
      // expected.
      const sure = { closed: honest, 'handshake-failed': garbled, 'client-reset': leaving };
      await Promise.all([
        ...Object.values(sure).map(async (play) => {
          for (let i = 0; i < EACH_SURE; i++) await play(zone);
        }),
        ...Array.from({ length: WIDTH }, async () => {
          while (left-- > 0) await hostile(zone, random, done);
        }),
      ]);
      const sessions = SESSIONS + Object.keys(sure).length * EACH_SURE;
      await until('no session', () => zone.egress.sessions() === 0);
      await until('every record', () => zone.records.length === sessions);
      const metrics = await zone.egress.metrics();
      t.match(metrics, 'zone_egress_handshakes_active 0\n');
      t.match(metrics, 'zone_egress_faults_total 0\n');
      t.same(
        zone.records.filter(({ reason }) => reason === 'internal-error'),
        [],
      );
      const reasons = new Map<string, number>();
      for (const { reason } of zone.records) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      for (const reason of Object.keys(sure)) t.ok((reasons.get(reason) ?? 0) >= EACH_SURE, `${reasons.get(reason)} ${reason}`);
      t.equal(done.size, WRONGS.length);
      t.comment([...reasons].map(([reason, count]) => `${count} ${reason}`).join(', '));

      const client = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
      client.end('ping');
      await gone(client);
      await until('its record', () => zone.records.length > sessions);
      t.equal(zone.records.at(-1)?.reason, 'closed', 'served as ever');
    },
  );
}

const WRONGS = ['nothing', 'changed', 'cut, then reset', 'cut, then ended', 'garbage', 'doubled', 'split', 'late'] as const;
type Wrong = (typeof WRONGS)[number];

/** Makes an ordinary session. */
async function honest(zone: Zone): Promise<void> {
  const client = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
  const answer = await ask(client, 'ping');
  if (answer !== 'ping') throw new Error(`amid hostile sessions an honest one got ${JSON.stringify(answer)}`);
  client.end();
  await gone(client);
}

/** Sends a whole hello, then bytes that are not TLS. */
async function garbled(zone: Zone): Promise<void> {
  const raw = zone.raw();
  raw.write(await realHello('legacy{mesh=default}'));
  await once(raw, 'data');
  raw.write(Buffer.alloc(500, 0xa5));
  await gone(raw);
}

/** Resets its connection during a session. */
async function leaving(zone: Zone): Promise<void> {
  const raw = zone.raw();
  await once(raw, 'connect');
  const client = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'), { socket: raw });
  await ask(client, 'ping');
  const over = gone(raw);
  resetTcp(raw);
  await over;
}

/**
 * Makes one mutual TLS session whose encrypted bytes are damaged at its `at`th write, and which
 * ends in one of several ways.
 */
function hostile(zone: Zone, random: Random, done: Map<string, number>): Promise<void> {
  const wrong = WRONGS[random(WRONGS.length)] ?? 'nothing';
  done.set(wrong, (done.get(wrong) ?? 0) + 1);
  return new Promise((resolve) => {
    const raw = connectTcp({ port: zone.egress.port, host: '127.0.0.1' });
    raw.on('error', () => {});
    const client = connectTls({
      socket: spoiled(raw, { wrong, at: random(10) }, random),
      servername: 'legacy{mesh=default}',
      ...zone.mesh.client('frontend'),
      rejectUnauthorized: false,
      maxVersion: random(2) === 0 ? 'TLSv1.2' : 'TLSv1.3',
    });
    client.on('error', () => {});
    const timer = setTimeout(() => raw.destroy(), 60 + random(120));
    raw.on('close', () => {
      clearTimeout(timer);
      client.destroy();
      resolve();
    });
    const act = random(5);
    client.on('secureConnect', () => {
      client.write(Buffer.alloc(1 + random(100_000), 1));
      if (act === 0) client.end();
      if (act === 1) setTimeout(() => resetTcp(raw), random(10));
      if (act === 2) client.pause();
      if (act === 3) for (let i = 0; i < 10; i++) client.write(Buffer.alloc(random(60_000), 2));
      if (act === 4) {
        client.end();
        raw.write(Buffer.alloc(1 + random(3_000), 3));
      }
    });
    if (act !== 2) client.resume();
  });
}

function spoiled(raw: Socket, how: { readonly wrong: Wrong; readonly at: number }, random: Random): Duplex {
  let writes = 0;
  let over = false;
  const duplex = new Duplex({
    read: () => {},
    write(chunk: Buffer, _encoding, told) {
      if (over) return told();
      if (writes++ !== how.at) return void raw.write(chunk, () => told());
      const cut = random(chunk.length);
      switch (how.wrong) {
        case 'changed':
          chunk[cut] = random(256);
          break;
        case 'cut, then reset':
          over = true;
          raw.write(chunk.subarray(0, cut));
          setTimeout(() => resetTcp(raw), random(4));
          return told();
        case 'cut, then ended':
          over = true;
          raw.end(chunk.subarray(0, cut));
          return told();
        case 'garbage':
          raw.write(Buffer.from(Array.from({ length: 1 + random(20_000) }, () => random(256))));
          break;
        case 'doubled':
          raw.write(chunk);
          break;
        case 'split':
          raw.write(chunk.subarray(0, cut));
          return void setTimeout(() => raw.write(chunk.subarray(cut), () => told()), random(5));
        case 'late':
          return void setTimeout(() => raw.write(chunk, () => told()), random(30));
        case 'nothing':
          break;
        default:
          how.wrong satisfies never;
      }
      raw.write(chunk, () => told());
    },
    final(told) {
      raw.end();
      told();
    },
    destroy(error, told) {
      raw.destroy();
      told(error);
    },
  });
  duplex.on('error', () => {});
  raw.on('data', (chunk: Buffer) => duplex.push(chunk));
  raw.on('end', () => duplex.push(null));
  return duplex;
}
