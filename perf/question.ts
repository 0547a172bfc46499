// Defines a question, and asks one: contenders take turns within each round, on the same work, in
// one run.
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { realHello } from '../test/egress/real-hello.ts';
import type { Bed, MeshName, Work } from './bed.ts';
import type { Contender, Running, Target } from './contenders.ts';
import { go, startGenerator } from './generator.ts';
import type { Load, Mode, Options } from './generator.ts';
import { cpuSeconds, machineSeconds } from './processes.ts';

export interface Question {
  readonly name: string;
  /** One line. */
  readonly asks: string;
  readonly metrics: readonly Metric[];
  /** True when each case starts its own processes, because earlier work would show. */
  readonly fresh: boolean;
  /** Fewer rounds for a question whose rounds take long; absent means as many as requested. */
  readonly roundsMost?: number;
  readonly cases: (settings: Settings) => readonly Case[];
}

export interface Metric {
  readonly key: string;
  /** Head of the table's column, with the unit. */
  readonly label: string;
  readonly digits: number;
  /** True for a value in the chart. */
  readonly charted?: boolean;
  /** True for another value of which less is better, and which `--compare` looks at too. */
  readonly compared?: boolean;
}

export type Values = Readonly<Record<string, number>>;

export interface Case {
  readonly name: string;
  /**
   * True (default) for a case in the chart, which is also measured with large buffers of the peers.
   */
  readonly headline?: boolean;
  /**
   * Returns null for a contender that cannot do this. Throws when the work was not done completely.
   */
  measure(subject: Subject): Promise<Values | null>;
}

export interface Subject {
  readonly bed: Bed;
  readonly contender: Contender;
  /** Null for a question with fresh processes. */
  readonly running: Running | null;
  readonly client: ClientFiles;
}

export interface Settings {
  /**
   * Scales the work of a case: 1 takes about a second on two cores. Every contender gets the same
   * work.
   */
  readonly seconds: number;
  readonly smoke: boolean;
}

/** Returns certificate and key of a client in a mesh, as paths. */
export type ClientFiles = (mesh: MeshName) => { readonly cert: string; readonly key: string };

export interface Drive {
  readonly target: Target;
  readonly work: Work;
  readonly mesh?: MeshName;
}

const warm = new WeakMap<Running, Map<string, number>>();

/**
 * Does this much uncounted work of a kind before the first measured one: a virtual machine compiles
 * code after some thousand runs.
 */
export async function warmUp(
  running: Running,
  kind: string,
  to: { amount: number; work: (amount: number) => Promise<unknown> },
): Promise<void> {
  const done = warm.get(running) ?? new Map<string, number>();
  warm.set(running, done);
  const missing = to.amount - (done.get(kind) ?? 0);
  if (missing <= 0) return;
  done.set(kind, to.amount);
  await to.work(missing);
}

const hellos = new Map<string, string>();

/**
 * Returns what the generator needs to reach a target: TLS with a client certificate, or a real
 * ClientHello followed by plain bytes.
 */
export async function driving({ target, work, mesh = 'default' }: Drive, client: ClientFiles): Promise<Options> {
  const { host, port, sni } = target;
  if (work !== 'passthrough') return { host, port, tls: 1, sni, ...client(mesh) };
  let hello = hellos.get(sni);
  if (hello === undefined) {
    hello = (await realHello(sni)).toString('hex');
    hellos.set(sni, hello);
  }
  return { host, port, hello };
}

export interface Measured extends Load {
  /** CPU seconds of the contender's processes during the run. */
  readonly cpu: number;
  /** CPU seconds of the whole machine. */
  readonly machine: number;
  /** The same of the generator. */
  readonly endSeconds: number;
}

/**
 * Runs the generator once against one contender. Throws when a connection did not get what it asked
 * for, unless `errors` counts them.
 */
export async function drive(
  mode: Mode,
  options: Options,
  { pid, errors = 'throw' }: { readonly pid: number | null; readonly errors?: 'throw' | 'count' },
): Promise<Measured> {
  const generator = await startGenerator(mode, options);
  try {
    const cpuBefore = pid === null ? 0 : cpuSeconds(pid);
    const machineBefore = machineSeconds();
    const load = await go(generator);
    const machine = machineSeconds() - machineBefore;
    const cpu = pid === null ? 0 : cpuSeconds(pid) - cpuBefore;
    if (load.errors > 0 && errors === 'throw')
      throw new Error(`${mode}: ${load.errors} of ${load.connections} connections: ${load.firstError}`);
    return { ...load, cpu, machine, endSeconds: load.ownCpu ?? 0 };
  } finally {
    await generator.stop();
  }
}

const INTACT_BYTES = 4 * 1024 * 1024 + 13;

/**
 * Sends random bytes that the far end returns, and compares them. Nothing is measured before this
 * passes.
 */
export async function checkIntact(driven: Drive, client: ClientFiles): Promise<void> {
  const { target, work, mesh = 'default' } = driven;
  const { host, port, sni } = target;
  const header = Buffer.alloc(32);
  header.write('ZPRFE', 'latin1');
  const sent = randomBytes(INTACT_BYTES);
  const socket: Duplex =
    work === 'passthrough'
      ? connectTcp({ host, port, allowHalfOpen: true })
      : connectTls({
          host,
          port,
          servername: sni,
          rejectUnauthorized: false,
          allowHalfOpen: true,
          cert: readFileSync(client(mesh).cert),
          key: readFileSync(client(mesh).key),
        } as ConnectionOptions);
  const chunks: Buffer[] = [];
  let received = 0;
  const all = new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      if (received >= sent.length) resolve();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`${received} of ${sent.length} bytes came back`)));
  });
  if (work === 'passthrough') socket.write(await realHello(sni));
  socket.write(header);
  socket.write(sent);
  await all;
  socket.destroy();
  if (!Buffer.concat(chunks).equals(sent)) throw new Error('the bytes that came back are others');
}
