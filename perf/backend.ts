// The far end of a throughput run, in its own process: one port that swallows what it gets and answers with the count, one that sends as much as it is asked for.
// Prints its ports as one JSON line. `node perf/backend.ts`
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

const BLOCK = Buffer.alloc(1024 * 1024);
for (let i = 0; i < BLOCK.length; i++) BLOCK[i] = (i * 31) & 0xff;

/** Counts, and hashes when the first byte of the payload says so: intact bytes are checked before anything is measured. */
function sink(socket: Socket): void {
  let bytes = 0;
  const hash = createHash('sha256');
  let hashing: boolean | null = null;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    hashing ??= bytes < 100_000;
    if (hashing && bytes <= 64 * 1024 * 1024) hash.update(chunk);
  });
  socket.on('end', () => socket.end(JSON.stringify({ bytes, sha256: hash.digest('hex') })));
}

/** Sends as many MiB as the last 8 bytes of the first read say, then ends. */
function source(socket: Socket): void {
  socket.on('error', () => {});
  socket.once('data', (chunk: Buffer) => {
    let left = Number(chunk.readBigUInt64BE(chunk.length - 8));
    socket.resume();
    function send(): void {
      while (left > 0) {
        left--;
        if (!socket.write(BLOCK)) return void socket.once('drain', send);
      }
      socket.end();
    }
    send();
  });
}

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true, highWaterMark: 1024 * 1024 }, onConnection);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

console.log(JSON.stringify({ sink: await listen(sink), source: await listen(source) }));
process.stdin.on('end', () => process.exit()).resume();
