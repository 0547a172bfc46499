// Clients that take all places and do nothing with them: honest clients still get in, from other
// addresses and from the same one.
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import type { ZoneOptions, Zone } from './zone.ts';
import { realHello } from './real-hello.ts';
import { until } from './until.ts';
import { CONCURRENCIES, ask, startZone } from './zone.ts';

const HONEST = 25;
const FLOOD = 400;

interface Flood {
  readonly options: ZoneOptions;
  /** The places that it takes. */
  readonly sni?: string;
  readonly does: (socket: Socket, hello: Buffer, stop: AbortSignal) => void;
  readonly from?: (i: number) => string;
}

const sessions: ZoneOptions = { traffic: { maxSessions: 160 } };
const handshakes: ZoneOptions = { traffic: { maxHandshakes: 160 } };

const FLOODS: Readonly<Record<string, Flood>> = {
  'silent connections': { options: sessions, does: () => {} },
  'silent connections from many addresses': { options: sessions, does: () => {}, from: (i) => `127.0.1.${1 + (i % 100)}` },
  'a part of a hello': { options: sessions, does: (socket, hello) => void socket.write(hello.subarray(0, 40)) },
  'a hello one byte at a time': {
    options: sessions,
    does(socket, hello, stop) {
      let sent = 0;
      const timer = setInterval(() => {
        if (socket.destroyed || stop.aborted || sent === hello.length - 1) clearInterval(timer);
        else socket.write(hello.subarray(sent, ++sent));
      }, 20);
    },
  },
  'a whole hello, and a handshake that stalls': { options: handshakes, does: (socket, hello) => void socket.write(hello) },
  'a whole hello, and then a part of a record': {
    options: handshakes,
    does: (socket, hello) => void socket.write(Buffer.concat([hello, Buffer.of(23, 3, 3, 0, 200, 1)])),
  },
  'a whole hello that is passed through, and then nothing': {
    options: sessions,
    sni: 'backend{mesh=default}',
    does: (socket, hello) => void socket.write(hello),
  },
};

for (const concurrency of CONCURRENCIES) {
  t.test(`with ${concurrency} data side${concurrency === 1 ? '' : 's'}`, async (t) => {
    for (const [what, flood] of Object.entries(FLOODS)) {
      for (const from of ['another address', 'the same address']) {
        if (flood.from !== undefined && from === 'the same address') continue;
        await t.test(`${what}, from ${from}`, (t) =>
          holds(t, flood, { concurrency, source: from === 'the same address' ? '127.0.0.1' : '127.0.0.9' }),
        );
      }
    }
  });
}

async function holds(t: Test, flood: Flood, on: { readonly concurrency: number; readonly source: string }): Promise<void> {
  await using zone = await startZone(t, { ...flood.options, concurrency: on.concurrency });
  const hello = await realHello(flood.sni ?? 'legacy{mesh=default}');
  const over = new AbortController();
  const sockets = new Set<Socket>();
  const come = (number: number): void => {
    for (let i = 0; i < number; i++) {
      const socket = connectTcp({ port: zone.egress.port, host: '127.0.0.1', localAddress: flood.from?.(i) ?? on.source });
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('connect', () => flood.does(socket, hello, over.signal));
      socket.resume();
    }
  };
  come(FLOOD);
  await until('places run out', () => zone.records.some(({ reason }) => reason === 'over-limit'));
  await until('the flood was accepted', () => zone.records.length + zone.egress.sessions() >= FLOOD);
  let served = 0;
  for (let i = 0; i < HONEST; i++) {
    // Opens some more for each freed place.
    come(2);
    if (await isServed(zone)) served++;
  }
  over.abort();
  for (const socket of sockets) socket.destroy();
  t.ok(served >= HONEST - 1, `${served} of ${HONEST} honest clients got in`);
  const honest = zone.records.filter(({ spiffeIds }) => spiffeIds.length > 0);
  t.ok(
    honest.every(({ reason }) => reason === 'closed'),
    'and none of them was cut',
  );
}

/** Tells whether a client of the mesh gets its answer. */
async function isServed(zone: Zone): Promise<boolean> {
  try {
    const socket = await zone.connect('legacy{mesh=default}', zone.mesh.client('frontend'));
    const answer = await ask(socket, 'ping');
    socket.end();
    await once(socket, 'close');
    return answer === 'ping';
  } catch {
    return false;
  }
}
