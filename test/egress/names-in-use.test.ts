// A name that traffic uses is looked up every few seconds, also while no session ends. The clock is
// turned by hand.
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { nextTurn } from '../../src/base/clock.ts';
import { REFRESH_MS } from '../../src/endpoints/dns.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { encodeHashSni } from '../../src/wire/sni.ts';
import { startHttpZone } from './http-zone.ts';
import { until } from './until.ts';
import { ask, startZone } from './zone.ts';

const NAME = encodeHashSni({ kind: 'mes', name: 'named', mesh: 'default', port: 9_000 });
const NAMED = (port: number): string => `type: MeshExternalService
mesh: default
name: named
spec:
  match: { type: HostnameGenerator, port: 9000, protocol: tcp }
  endpoints: [{ address: named.test, port: ${port} }]
`;

/** Counts the look-ups. */
function counted(): { readonly lookup: () => Promise<string[]>; readonly asked: () => number } {
  let asked = 0;
  return {
    asked: () => asked,
    async lookup() {
      asked++;
      return ['127.0.0.1'];
    },
  };
}

t.test('by a session that is open', async (t) => {
  const clock = new FakeClock({ wall: Date.now() });
  const { lookup, asked } = counted();
  await using zone = await startZone(t, {
    clock,
    lookup,
    traffic: { allowedResolved: ['127.0.0.0/8'] },
    resources: ({ tcp }) => NAMED(tcp),
  });
  const socket = await zone.connect(NAME, zone.mesh.client('frontend'));
  t.equal(await ask(socket, 'ping'), 'ping');
  const before = asked();
  clock.advance(REFRESH_MS);
  await until('the next look-up', () => asked() > before);
  t.equal(await ask(socket, 'pong'), 'pong');
  t.equal(zone.records.length, 0, 'the session is open');
  socket.destroy();
});

/** In steps, so that each look-up has its answer before it would be late. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += REFRESH_MS) {
    clock.advance(REFRESH_MS);
    await nextTurn();
  }
}

async function answered(socket: TLSSocket, requests: number, text: () => string): Promise<void> {
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(`answer ${requests}`, () => text().split('HTTP/1.1 200 OK').length === requests + 1);
}

t.test('by each request of a session that stays open for longer than names are kept for', async (t) => {
  const server = createServer((_, response) => void response.end('served'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const clock = new FakeClock({ wall: Date.now() });
  const { lookup, asked } = counted();
  await using zone = await startHttpZone(t, (server.address() as AddressInfo).port, { clock, lookup });
  const socket = await zone.connect('shop{mesh=default}', zone.mesh.client('frontend'));
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  for (let request = 1; request <= 12; request++) {
    await answered(socket, request, () => text);
    await pass(clock, 60_000);
  }
  const before = asked();
  clock.advance(REFRESH_MS);
  await until('the next look-up', () => asked() > before);
  t.equal(zone.records.length, 0, 'the session is open');
  socket.destroy();
});
