// Does the work of the native generator where there is no C compiler or no OpenSSL headers: `node
// perf/generator/fallback.ts serve|bulk|rate|hold|ping key=value …`. It takes more CPU, so it
// becomes the limit sooner; measured is the CPU of the program in between.
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';

const HEADER = 32;
const ANSWER = 8;
const BLOCK = Buffer.alloc(1024 * 1024, 0x5a);
const OPENING_MOST = 32;

const [mode = '', ...words] = process.argv.slice(2);
const given = new Map(words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));
const text = (name: string, fallback = ''): string => given.get(name) ?? fallback;
const number = (name: string, fallback = 0): number => Number(given.get(name) ?? fallback);

const host = text('host', '127.0.0.1');
const hello = Buffer.from(text('hello'), 'hex');
const message = number('message', BLOCK.length);
const count = number('connections', 1);
const lines = createInterface({ input: process.stdin });
// Keeps a line that comes before it is awaited.
const input = lines[Symbol.asyncIterator]();

let ticket: Buffer | undefined;
const tls = number('tls') === 1;
const certificate =
  tls && given.has('cert') ? { cert: readFileSync(text('cert')), key: readFileSync(text('key', text('cert'))) } : {};

if (mode === 'serve') {
  lines.on('close', () => process.exit());
  await serve();
} else {
  const load = mode === 'ping' ? await ping() : mode === 'bulk' ? await bulk() : mode === 'rate' ? await rate() : await hold();
  console.log(JSON.stringify(load));
  process.exit();
}

async function ready(): Promise<number> {
  console.log(JSON.stringify({ ready: true }));
  if ((await input.next()).done === true) process.exit();
  return performance.now();
}

async function serve(): Promise<void> {
  const listen = (server: Server, port: number): Promise<number> =>
    new Promise((resolve) => server.listen({ port, host, backlog: 4096 }, () => resolve((server.address() as AddressInfo).port)));
  const plain = createServer({ allowHalfOpen: true, highWaterMark: 256 * 1024, noDelay: true }, answer);
  const tls = createTlsServer({ cert: readFileSync(text('cert')), key: readFileSync(text('key')), allowHalfOpen: true }, answer);
  console.log(
    JSON.stringify({ ready: true, plain: await listen(plain, number('port')), tls: await listen(tls, number('tls-port')) }),
  );
}

/** Skips a ClientHello, reads the header, and does what it asks for. */
function answer(socket: Socket): void {
  let head = Buffer.alloc(0);
  let up = 0;
  let received = 0;
  let echoes = false;
  let running = false;
  socket.on('error', () => {});
  socket.on('end', () => socket.end());
  socket.on('data', (chunk: Buffer) => {
    if (running) return take(chunk);
    head = Buffer.concat([head, chunk]);
    const skip = head[0] === 0x16 ? (head.length < 5 ? Infinity : 5 + head.readUInt16BE(3)) : 0;
    if (head.length < skip + HEADER) return;
    const header = head.subarray(skip, skip + HEADER);
    if (header.toString('latin1', 0, 4) !== 'ZPRF') return void socket.destroy();
    running = true;
    echoes = header[4] === 'E'.charCodeAt(0);
    up = Number(header.readBigUInt64BE(8));
    if (!echoes) send(Number(header.readBigUInt64BE(16)), header.readUInt32BE(24));
    take(head.subarray(skip + HEADER));
  });

  let sent = false;
  function take(chunk: Buffer): void {
    received += chunk.length;
    if (!echoes) return finish();
    if (chunk.length > 0 && !socket.write(chunk)) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  }
  function send(left: number, size: number): void {
    while (left > 0) {
      const part = Math.min(left, size === 0 ? BLOCK.length : size);
      left -= part;
      if (!socket.write(BLOCK.subarray(0, part))) return void socket.once('drain', () => send(left, size));
    }
    sent = true;
    finish();
  }
  function finish(): void {
    if (!sent || received < up) return;
    // The next header may come on the same connection.
    running = sent = false;
    head = Buffer.alloc(0);
    received = 0;
    const received8 = Buffer.alloc(ANSWER);
    received8.writeBigUInt64BE(BigInt(up));
    socket.write(received8);
  }
}

/** Resolves when it is connected, with its handshake done or its hello sent. */
async function open(): Promise<Socket & { isSessionReused?: () => boolean }> {
  const to = { host, port: number('port'), allowHalfOpen: true, noDelay: true };
  const version = text('max', '1.3') === '1.2' ? 'TLSv1.2' : 'TLSv1.3';
  const socket = tls
    ? connectTls({
        ...to,
        ...certificate,
        servername: text('sni'),
        rejectUnauthorized: false,
        minVersion: version,
        maxVersion: version,
        ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256',
        ...(number('resume') === 1 && ticket !== undefined ? { session: ticket } : {}),
      } as ConnectionOptions).on('session', (session: Buffer) => {
        ticket = session;
      })
    : connect(to);
  await new Promise((resolve, reject) => socket.once(tls ? 'secureConnect' : 'connect', resolve).once('error', reject));
  socket.on('error', () => {});
  if (hello.length > 0) socket.write(hello);
  return socket;
}

function headerOf(op: 'T' | 'E', up = 0, down = 0): Buffer {
  const header = Buffer.alloc(HEADER);
  header.write(`ZPRF${op}`, 'latin1');
  header.writeBigUInt64BE(BigInt(up), 8);
  header.writeBigUInt64BE(BigInt(down), 16);
  header.writeUInt32BE(message, 24);
  return header;
}

/**
 * Sends and receives what the header asks for; rejects when the answer does not confirm that all of
 * it arrived.
 */
async function transfer(socket: Socket, up: number, down: number): Promise<void> {
  let left = down + ANSWER;
  let tail = Buffer.alloc(0);
  const answered = new Promise<void>((resolve, reject) => {
    const early = (): void => reject(new Error('the connection ended early'));
    socket.once('end', early).once('close', early);
    socket.on('data', function take(chunk: Buffer): void {
      left -= chunk.length;
      tail = Buffer.concat([tail, chunk.subarray(-ANSWER)]).subarray(-ANSWER);
      if (left > 0) return;
      socket.off('data', take);
      if (left === 0 && Number(tail.readBigUInt64BE(0)) === up) resolve();
      else reject(new Error('the far end counts other bytes'));
    });
  });
  answered.catch(() => {});
  socket.write(headerOf('T', up, down));
  const pace = number('rate');
  const startedAt = performance.now();
  let goOn = (): void => {};
  socket.on('drain', () => goOn()).on('close', () => goOn());
  for (let sent = 0; sent < up && !socket.destroyed;) {
    const part = Math.min(message, up - sent);
    sent += part;
    const early = pace === 0 ? 0 : (sent / pace) * 1_000 - (performance.now() - startedAt);
    if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
    if (!socket.write(BLOCK.subarray(0, part)))
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
  }
  await answered;
}

async function end(socket: Socket): Promise<void> {
  const closed = new Promise((resolve) => socket.once('close', resolve));
  if (text('close', 'fin') === 'rst') {
    // The owner of a TLSSocket cannot reset it: it is cut.
    if (tls) socket.destroy();
    else socket.resetAndDestroy();
  } else {
    socket.resume();
    socket.end();
  }
  await closed;
}

/** Runs `most` at once until `total` are done. */
async function several(total: number, most: number, one: () => Promise<void>): Promise<void> {
  let started = 0;
  const next = async (): Promise<void> => {
    while (started++ < total) await one();
  };
  await Promise.all(Array.from({ length: Math.min(most, total) }, next));
}

interface Load {
  seconds: number;
  up: number;
  down: number;
  connections: number;
  resumed: number;
  errors: number;
  firstError: string;
  p50: number;
  p99: number;
  p999: number;
  max: number;
}

function loadOf(startedAt: number, connections: number, more: Partial<Load> = {}, times: readonly number[] = []): Load {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 1_000;
  const seconds = (performance.now() - startedAt) / 1_000;
  const percentiles = { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
  return { seconds, up: 0, down: 0, connections, resumed: 0, errors: 0, firstError: '', ...percentiles, ...more };
}

async function bulk(): Promise<Load> {
  const up = Math.floor(number('up') / count);
  const down = Math.floor(number('down') / count);
  const sockets: Socket[] = [];
  await several(count, OPENING_MOST, async () => {
    const socket = await open();
    // Sends through to the far end.
    await transfer(socket, 0, 0);
    sockets.push(socket);
  });
  const startedAt = await ready();
  const done = await Promise.allSettled(sockets.map((socket) => transfer(socket, up, down)));
  const failed = done.filter((one) => one.status === 'rejected');
  const load = loadOf(startedAt, count, {
    up: up * count,
    down: down * count,
    errors: failed.length,
    firstError: String(failed[0]?.reason ?? ''),
  });
  for (const socket of sockets) socket.destroy();
  return load;
}

async function rate(): Promise<Load> {
  const total = number('total', count);
  const times: number[] = [];
  const found = { resumed: 0, errors: 0, firstError: '' };
  const one = async (): Promise<void> => {
    const startedAt = performance.now();
    try {
      const socket = await open();
      await transfer(socket, 0, 0);
      if (socket.isSessionReused?.() === true) found.resumed++;
      await end(socket);
    } catch (error) {
      found.errors++;
      found.firstError ||= String(error);
    }
    times.push(performance.now() - startedAt);
  };
  if (number('resume') === 1) {
    await one();
    Object.assign(found, { resumed: 0, errors: 0, firstError: '' });
    times.length = 0;
  }
  const startedAt = await ready();
  const perSecond = number('per-second');
  let begun = 0;
  await several(total, count, async () => {
    const early = perSecond === 0 ? 0 : startedAt + (begun++ / perSecond) * 1_000 - performance.now();
    if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
    await one();
  });
  return loadOf(startedAt, total, found, times);
}

async function hold(): Promise<Load> {
  const sockets: Socket[] = [];
  await several(count, OPENING_MOST, async () => {
    const socket = await open();
    await transfer(socket, 0, 0);
    sockets.push(socket);
  });
  const startedAt = await ready();
  const errors = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length;
  for (const socket of sockets) socket.destroy();
  return loadOf(startedAt, count, { errors, firstError: errors > 0 ? 'a held connection was ended' : '' });
}

async function ping(): Promise<Load> {
  const socket = await open();
  socket.write(headerOf('E'));
  const size = number('size', 512);
  const total = number('total', 10_000);
  const sent = BLOCK.subarray(0, size);
  const times: number[] = [];
  let left = 0;
  let back = (): void => {};
  socket.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left === 0) back();
  });
  socket.once('close', () => process.exit(1));
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      left = size;
      back = resolve;
      socket.write(sent);
    });
  for (let i = 0; i < number('warm', 500); i++) await one();
  const startedAt = await ready();
  for (let i = 0; i < total; i++) {
    const from = performance.now();
    await one();
    times.push(performance.now() - from);
  }
  return loadOf(startedAt, 1, { up: total * size, down: total * size }, times);
}
