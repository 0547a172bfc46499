// A body that waits for a slow reader takes about as much memory as it has bytes, however small its
// pieces are.
import { once } from 'node:events';
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, ServerHttp2Stream } from 'node:http2';
import { Readable } from 'node:stream';
import type { Writable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { requestBody } from '../../src/traffic/http/request-body.ts';
import { SHOP, startHttpZone } from './http-zone.ts';
import { until } from './until.ts';
import { listen } from './virtual-host.ts';
import type { Zone } from './zone.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const PIECES = 1_500;
const LARGE = Buffer.alloc(60_000);
const MOST_HELD_BYTES = 45_000_000;

async function openSession(zone: Zone): Promise<ClientHttp2Session> {
  const socket = await zone.connect(SHOP, zone.mesh.client('frontend'));
  const session = connectHttp2('https://a', { createConnection: () => socket });
  session.on('error', () => {});
  return session;
}

/** Sends each small piece together with a large one of another stream of the connection. */
async function interleave(held: Writable, flowing: Writable): Promise<void> {
  held.write(Buffer.alloc(200_000));
  for (let i = 0; i < PIECES; i++) {
    held.write('x');
    if (!flowing.write(LARGE)) await once(flowing, 'drain');
  }
}

function heldBytes(): number {
  collect();
  return process.memoryUsage().arrayBuffers;
}

t.test('an answer that its client does not read', async (t) => {
  const streams: ServerHttp2Stream[] = [];
  const server = createHttp2();
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    streams.push(stream);
  });
  await using service = await listen(server);
  await using zone = await startHttpZone(t, service.port, { protocol: 'http2' });
  const session = await openSession(zone);
  const open = async (): Promise<readonly [ServerHttp2Stream, ClientHttp2Stream]> => {
    const stream = session.request({ ':path': '/x' });
    stream.pause();
    await once(stream, 'response');
    return [streams.at(-1)!, stream];
  };
  const [held, unread] = await open();
  const [flowing, read] = await open();
  let bytes = 0;
  read.on('data', (chunk: Buffer) => (bytes += chunk.length));
  read.resume();
  const before = heldBytes();
  await interleave(held, flowing);
  await until('all of the other stream has come', () => bytes === PIECES * LARGE.length);
  await until('little is held', () => heldBytes() - before < MOST_HELD_BYTES);
  t.notOk(unread.destroyed);
  session.destroy();
});

t.test('a body of a request that is not read', async (t) => {
  const source = new Readable({ read() {} });
  const body = requestBody(source);
  for (let i = 0; i < 100; i++) source.push(Buffer.alloc(65_536, i).subarray(100, 101 + i));
  source.push(null);
  const pieces: Buffer[] = [];
  body.on('data', (piece: Buffer) => pieces.push(piece));
  await once(body, 'end');
  t.strictSame(
    pieces,
    Array.from({ length: 100 }, (_, i) => Buffer.alloc(i + 1, i)),
  );
  t.strictSame(
    pieces.map(({ buffer }) => buffer.byteLength),
    pieces.map(({ length }) => length),
    'each has memory of its own',
  );
});
