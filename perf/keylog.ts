// Question: what does the `keylog` event of a TLS server cost each handshake? The egress listens to
// it for the secret that encrypts an alert (docs/decisions/refusals-on-the-wire.md). `node
// perf/keylog.ts [--rounds 40] [--count 200]`: rounds with and without a listener alternate,
// handshakes of TLS 1.3 with client certificates, client and server in this process. The figure is
// CPU time, so other load on the machine has little effect.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import { parseArgs } from 'node:util';
import { createTestMesh } from '../src/testing/public.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '40' }, count: { type: 'string', default: '200' } },
});
const rounds = Number(values.rounds);
const count = Number(values.count);

const mesh = await createTestMesh('default');
const own = mesh.issue({ dns: ['localhost'] });
const client = mesh.client('web');
const secrets = new WeakMap<TLSSocket, Buffer>();

async function serve(listens: boolean): Promise<Server> {
  const server = createServer({ cert: own.cert, key: own.key, ca: mesh.ca.cert, requestCert: true, rejectUnauthorized: false });
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    secrets.get(socket)?.fill(0);
    socket.end();
  });
  // The same code as in src/traffic/terminate.ts.
  if (listens)
    server.on('keylog', (line: Buffer, socket: TLSSocket) => {
      if (line[0] === 0x53 && line[7] === 0x54) secrets.set(socket, line);
      else line.fill(0);
    });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Microseconds of CPU time for each handshake. */
async function round(server: Server): Promise<number> {
  const { port } = server.address() as AddressInfo;
  const before = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    const socket = connect({
      port,
      host: '127.0.0.1',
      cert: client.cert,
      key: client.key,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    });
    socket.on('error', () => {});
    socket.resume();
    await once(socket, 'close');
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

function quartiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  return [0.25, 0.5, 0.75].map((at) => (sorted[Math.floor(at * (sorted.length - 1))] ?? 0).toFixed(1)).join(' / ');
}

const servers = [await serve(false), await serve(true)] as const;
for (const server of servers) await round(server);
const without: number[] = [];
const withOne: number[] = [];
const differences: number[] = [];
for (let i = 0; i < rounds; i++) {
  // Each comes first equally often.
  const [silent, heard] =
    i % 2 === 0
      ? [await round(servers[0]), await round(servers[1])]
      : (([second, first]) => [first, second])([await round(servers[1]), await round(servers[0])]);
  without.push(silent ?? 0);
  withOne.push(heard ?? 0);
  differences.push((heard ?? 0) - (silent ?? 0));
}
for (const server of servers) server.close();
console.log(
  `Node ${process.version}, ${rounds} pairs of rounds of ${count} handshakes; quartiles and median, µs of the processor`,
);
console.log(`both sides of a handshake, without a listener  ${quartiles(without)}`);
console.log(`the event adds                                 ${quartiles(differences)}`);
// On a busy machine the minimum is the most reliable figure: it met the least other load.
const [least, leastHeard] = [Math.min(...without), Math.min(...withOne)];
console.log(`the least of all rounds                        ${least.toFixed(1)} and ${leastHeard.toFixed(1)}`);
