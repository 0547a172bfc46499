// What the egress holds of bodies that are much larger than its memory, and of many streams that are
// not read. Both ends count and hash the large bodies.
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { startHashedBed } from './bed.ts';
import type { HashedBed } from './bed.ts';
import { digestOf } from './body.ts';
import { connect, http1Client, http2Client } from './clients.ts';
import { residentBytes } from '../processes.ts';

const MB = 1e6;
const SAMPLE_MS = 100;
/** The memory has settled when it has not grown for this many samples. */
const SETTLED_SAMPLES = 30;

const LARGE_BYTES = 1_000 * MB;
const STREAMS = 1_000;

export async function showLargeBodies(): Promise<void> {
  console.log('body                                    seconds  MB/s  MB resident before, at most, more');
  for (const [service, make] of [
    ['one', http1Client],
    ['one', http2Client],
    ['two', http1Client],
    ['two', http2Client],
  ] as const) {
    for (const direction of ['up', 'down'] as const) await withBed((bed) => carryLarge(bed, { service, make, direction }));
  }
  console.log(`\n${STREAMS} streams of HTTP/2, 1 MB each                  MB resident before, at most, more`);
  for (const service of ['one', 'two'] as const) {
    for (const direction of ['up', 'down'] as const) await withBed((bed) => leaveUnread(bed, service, direction));
  }
}

interface Large {
  readonly service: 'one' | 'two';
  readonly make: typeof http1Client;
  readonly direction: 'up' | 'down';
}

async function carryLarge(bed: HashedBed, { service, make, direction }: Large): Promise<void> {
  const client = make(bed.door(service));
  const ask = (id: number, size: number) => {
    const sizes = { up: direction === 'up' ? size : 0, down: direction === 'down' ? size : 0 };
    return client.ask({ id, ...sizes, early: false, serviceFault: 'none', clientFault: 'none' });
  };
  await ask(1, 50 * MB);
  const memory = watch(bed);
  const startedAt = performance.now();
  const here = (await ask(2, LARGE_BYTES))[direction];
  const seconds = (performance.now() - startedAt) / 1_000;
  const there = (await bed.report()).arrivals.find(({ id }) => id === 2)?.[direction];
  const { sha256 } = digestOf(2, LARGE_BYTES);
  if (here?.sha256 !== sha256 || there?.sha256 !== sha256)
    throw new Error(`the hashes of a large body differ: ${here?.bytes} and ${there?.bytes} bytes`);
  const versions = `HTTP/${make === http1Client ? '1.1' : '2'} to HTTP/${service === 'one' ? '1.1' : '2'}`;
  const name = `${versions}, ${LARGE_BYTES / MB} MB ${direction}`;
  console.log(
    `${name.padEnd(40)}${seconds.toFixed(1).padEnd(9)}${(LARGE_BYTES / MB / seconds).toFixed(0).padEnd(6)}${memory.stop()}`,
  );
  client.close();
}

async function leaveUnread(bed: HashedBed, service: 'one' | 'two', direction: 'up' | 'down'): Promise<void> {
  const session = connectHttp2('https://service', { createConnection: () => connect(bed.door(service)) });
  session.on('error', () => {});
  await open(session, '/?id=1&down=1000', true);
  const memory = watch(bed);
  const query = direction === 'up' ? 'hold=1' : `down=${MB}`;
  for (let i = 0; i < STREAMS; i++) void open(session, `/?id=${i + 2}&${query}`, false, direction === 'up');
  await memory.settled();
  const name = `${direction}, which no ${direction === 'up' ? 'service' : 'client'} reads, HTTP/${service === 'one' ? '1.1' : '2'} behind`;
  console.log(`${name.padEnd(56)}${memory.stop()}`);
  session.destroy();
}

/** Begins a stream, and reads its answer to the end where that is asked for. */
async function open(session: ClientHttp2Session, path: string, reads: boolean, uploads = false): Promise<void> {
  const stream = session.request({ ':path': path, ':method': uploads ? 'POST' : 'GET' }, { endStream: !uploads });
  stream.on('error', () => {});
  if (uploads) stream.end(Buffer.alloc(MB));
  if (!reads) return void stream.pause();
  for await (const _ of stream);
}

async function withBed(use: (bed: HashedBed) => Promise<void>): Promise<void> {
  const bed = await startHashedBed('1');
  try {
    await use(bed);
  } finally {
    await bed.stop();
  }
}

interface Memory {
  settled(): Promise<void>;
  stop(): string;
}

function watch({ pid }: HashedBed): Memory {
  const before = residentBytes(pid);
  let most = before;
  let quiet = 0;
  let settled: (() => void) | null = null;
  const timer = setInterval(() => {
    const now = residentBytes(pid);
    quiet = now > most + MB ? 0 : quiet + 1;
    most = Math.max(most, now);
    if (quiet >= SETTLED_SAMPLES) settled?.();
  }, SAMPLE_MS);
  return {
    settled: () => new Promise((resolve) => (settled = resolve)),
    stop() {
      clearInterval(timer);
      return `${inMb(before)}, ${inMb(most)}, ${inMb(most - before)}`;
    },
  };
}

function inMb(size: number): string {
  return (size / MB).toFixed(0);
}
