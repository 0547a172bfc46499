// What does a request cost? Over mesh TLS in front and a plain service behind, one worker: small ones
// over HTTP/1.1, HTTP/2 and gRPC, bodies of 1 MB, a connection for each; and what an idle connection
// of HTTP holds.
import type { HttpWork } from './bed.ts';
import type { Options } from './generator.ts';
import { go, startGenerator } from './generator.ts';
import { cpuSeconds, residentBytes } from './processes.ts';
import { drive, warmUp } from './question.ts';
import type { Case, ClientFiles, Question, Subject, Values } from './question.ts';
import type { Running, Target } from './contenders.ts';

const MB = 1_000_000;
const KB = 1_000;

/** One kind of request. */
interface Kind {
  readonly name: string;
  readonly work: HttpWork;
  readonly connections: number;
  /** At once on each connection. */
  readonly streams?: number;
  readonly up: number;
  readonly down: number;
  readonly grpc?: boolean;
  /** A connection for each. */
  readonly each?: boolean;
  /** In a run of a second. */
  readonly count: number;
  /** The time of one at half of the rate that was reached. */
  readonly paced?: boolean;
}

const KINDS: readonly Kind[] = [
  { name: 'HTTP/1.1, 1 KB, 64 connections', work: 'http1', connections: 64, up: 0, down: 1_024, count: 8_000, paced: true },
  {
    name: 'HTTP/2, 1 KB, 100 streams',
    work: 'http2',
    connections: 1,
    streams: 100,
    up: 0,
    down: 1_024,
    count: 8_000,
    paced: true,
  },
  {
    name: 'gRPC unary, 128 B up, 1 KB down, 100 streams',
    work: 'http2',
    connections: 1,
    streams: 100,
    up: 128,
    down: 1_024,
    grpc: true,
    count: 8_000,
    paced: true,
  },
  { name: 'HTTP/1.1, 1 MB down, 4 connections', work: 'http1', connections: 4, up: 0, down: MB, count: 250 },
  { name: 'HTTP/1.1, 1 MB up, 4 connections', work: 'http1', connections: 4, up: MB, down: 16, count: 250 },
  { name: 'HTTP/2, 1 MB down, 4 streams', work: 'http2', connections: 1, streams: 4, up: 0, down: MB, count: 250 },
  { name: 'HTTP/2, 1 MB up, 4 streams', work: 'http2', connections: 1, streams: 4, up: MB, down: 16, count: 250 },
  { name: 'HTTP/1.1, 1 KB, a connection for each', work: 'http1', connections: 8, up: 0, down: 1_024, each: true, count: 500 },
];

export const http: Question = {
  name: 'http',
  asks: 'what does a request cost?',
  // Its own warm-up: a tenth of the work would be done for connections that are idle too.
  fresh: true,
  metrics: [
    { key: 'cpu', label: 'CPU µs', digits: 0, charted: true },
    { key: 'rate', label: 'requests/s', digits: 0 },
    { key: 'p50', label: 'p50 µs at half', digits: 0 },
    { key: 'p99', label: 'p99 µs at half', digits: 0, compared: true },
    { key: 'busy', label: 'busy %', digits: 0 },
    { key: 'ends', label: 'CPU µs of both ends', digits: 0 },
    { key: 'held', label: 'KB/connection', digits: 1, compared: true },
  ],
  cases: ({ seconds, smoke }) => {
    const idle = (['http1', 'http2'] as const).map((work) => held(work, smoke ? 50 : 1_000));
    return smoke
      ? [...KINDS.slice(0, 3).map((kind) => requested(kind, seconds)), ...idle.slice(0, 1)]
      : [...KINDS.map((kind) => requested(kind, seconds)), ...idle];
  },
};

function requested(kind: Kind, seconds: number): Case {
  const { work, connections, streams = 1, up, down, each = false, grpc = false } = kind;
  const total = Math.max(connections * streams, Math.round(kind.count * seconds));
  return {
    name: kind.name,
    async measure({ running, client, bed: { http: service } }) {
      const target = running?.at(work) ?? null;
      if (running === null || target === null || service === null) return null;
      const through = { ...to(target, running, client), protocol: work, connections, up, down, streams };
      const options = { ...through, each: Number(each), grpc: Number(grpc) };
      await service.answer(down, grpc);
      const run = async (count: number, more: Options = {}) => {
        const load = await drive('http', { ...options, total: count, ...more }, running);
        // Each connection has carried one before, so that all were open.
        const { requests, up: arrived, errors } = await service.answer(down, grpc);
        const expected = count + (each ? 0 : connections);
        if (requests !== expected || arrived !== expected * up || errors > 0)
          throw new Error(
            `${requests} requests with ${arrived} bytes reached the service, ${errors} were wrong; ${expected} with ${up} were sent`,
          );
        return load;
      };
      await warmUp(running, kind.name, { amount: total * 3, work: run });
      const before = cpuSeconds(service.pid);
      const { cpu, seconds: took, endSeconds } = await run(total);
      const ends = cpuSeconds(service.pid) - before + endSeconds;
      const rate = total / took;
      const paced = kind.paced === true ? await run(Math.ceil(total / 2), { rate: Math.round(rate / 2) }) : null;
      return {
        ...(running.pid === null ? {} : { cpu: (cpu * 1e6) / total, busy: (cpu / took) * 100 }),
        rate,
        ends: (ends * 1e6) / total,
        ...(paced === null ? {} : { p50: paced.p50, p99: paced.p99 }),
      } satisfies Values;
    },
  };
}

/** `direct` has no TLS: what both ends do by themselves. */
function to({ host, port, sni }: Target, running: Running, client: ClientFiles): Options {
  return running.pid === null ? { host, port } : { host, port, tls: 1, sni, ...client('default') };
}

/** Connections that have carried one request each and stay. In a fresh process, as in `memory`. */
function held(work: HttpWork, count: number): Case {
  return {
    name: `${work === 'http1' ? 'HTTP/1.1' : 'HTTP/2'}, ${count} idle connections`,
    async measure({ bed, contender, client }: Subject) {
      const running = await contender.start(bed, { workers: 1 });
      try {
        const target = running.at(work);
        if (running.pid === null || target === null || bed.http === null) return null;
        await bed.http.answer(1_024, false);
        const options = { ...to(target, running, client), protocol: work, down: 1_024, hold: 1 };
        // What the first connections load for all is not that of one.
        await hold({ ...options, connections: 10 });
        const before = residentBytes(running.pid);
        return await hold({ ...options, connections: count }, () => ({
          held: (residentBytes(running.pid ?? 0) - before) / count / KB,
        }));
      } finally {
        await running.stop();
      }
    },
  };
}

async function hold(options: Options, look: () => Values = () => ({})): Promise<Values> {
  const generator = await startGenerator('http', options);
  try {
    const seen = look();
    const { errors, firstError } = await go(generator);
    if (errors > 0) throw new Error(`hold connections of HTTP: ${errors}: ${firstError}`);
    return seen;
  } finally {
    await generator.stop();
  }
}
