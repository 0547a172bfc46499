// The clients of a soak: each kind opens one connection, does what its name says, and ends.
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, createSecureContext } from 'node:tls';
import type { SecureContext, SecureVersion, TLSSocket } from 'node:tls';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { resetBelow } from '../../src/traffic/reset.ts';
import { ASK } from './far-end.ts';

/**
 * Longer than the egress waits for a hello (15 s), so that the egress ends the connection and not
 * the client.
 */
const PATIENCE_MS = 30_000;
/** The time until the kernel of the other side notices a client that vanished. */
const VANISHED_MS = 10_000;
const PAYLOAD = 2_000;
const BULK = 300_000;

export interface Churn {
  /** Opens `rate` connections a second, of every kind by its weight. */
  start(rate: number): void;
  /** Opens no more; resolves when all are closed. */
  stop(): Promise<void>;
  readonly opened: number;
  readonly open: number;
  /** Open connections by kind. */
  readonly openOf: ReadonlyMap<string, number>;
  /** Clients that behave, and those of them that were not served. */
  readonly honest: number;
  readonly failed: ReadonlyMap<string, number>;
}

export interface ChurnOptions {
  readonly port: number;
  readonly mesh: TestMesh;
  /** Restricts the run to these kinds; absent runs all. */
  readonly only: readonly string[];
}

export async function createChurn({ port, mesh, only }: ChurnOptions): Promise<Churn> {
  const clients = await Clients.of(port, mesh);
  const kinds = Object.entries(KINDS).filter(([name]) => only.length === 0 || only.includes(name));
  const turns = kinds.flatMap(([name, { weight }]) => Array.from({ length: weight }, () => name));
  const failed = new Map<string, number>();
  const openOf = new Map<string, number>();
  let opened = 0;
  let open = 0;
  let honest = 0;
  let timer: NodeJS.Timeout | null = null;
  let stopped: (() => void) | null = null;

  function openOne(): void {
    const name = turns[Math.floor(Math.random() * turns.length)];
    const kind = name === undefined ? undefined : KINDS[name];
    if (name === undefined || kind === undefined) return;
    opened++;
    open++;
    openOf.set(name, (openOf.get(name) ?? 0) + 1);
    if (kind.honest) honest++;
    kind
      .act(clients)
      .catch((error: Error & { code?: string }) => {
        if (!kind.honest) return;
        const why = `${name}: ${error.code ?? error.message}`;
        failed.set(why, (failed.get(why) ?? 0) + 1);
      })
      .finally(() => {
        open--;
        const left = (openOf.get(name) ?? 0) - 1;
        if (left > 0) openOf.set(name, left);
        else openOf.delete(name);
        if (open === 0) stopped?.();
      });
  }

  return {
    failed,
    openOf,
    get opened() {
      return opened;
    },
    get open() {
      return open;
    },
    get honest() {
      return honest;
    },
    start(rate) {
      const startedAt = performance.now();
      let due = 0;
      timer = setInterval(() => {
        const wanted = ((performance.now() - startedAt) / 1_000) * rate;
        // A stall of this process is not followed by a burst.
        due = Math.max(due, wanted - rate / 2);
        for (; due < wanted; due++) openOne();
      }, 10);
    },
    stop() {
      if (timer !== null) clearInterval(timer);
      return new Promise((resolve) => {
        stopped = resolve;
        if (open === 0) resolve();
      });
    },
  };
}

interface Kind {
  readonly weight: number;
  /** True when it has to be served: it rejects otherwise. */
  readonly honest: boolean;
  act(clients: Clients): Promise<void>;
}

/** The kinds that `--only` accepts. */
export const KINDS: Readonly<Record<string, Kind>> = {
  passthrough: { weight: 6, honest: true, act: async (clients) => askAndEnd(clients.passthrough(), clients.hello) },
  terminated: { weight: 6, honest: true, act: async (clients) => askAndEnd(await clients.member('term')) },
  'terminated 1.2': { weight: 2, honest: true, act: async (clients) => askAndEnd(await clients.member('term', 'TLSv1.2')) },
  're-encrypted': { weight: 6, honest: true, act: async (clients) => askAndEnd(await clients.member('re')) },
  bulk: { weight: 1, honest: true, act: async (clients) => askAndEnd(await clients.member('re'), null, BULK) },
  'half close': {
    weight: 3,
    honest: true,
    async act(clients) {
      const socket = await clients.member('term');
      const answered = received(socket);
      socket.end(ASK.answerAfterEnd);
      await closed(socket);
      if (answered() === 0) throw new Error('no answer after the half close');
    },
  },
  'reset by the client': {
    weight: 3,
    honest: false,
    act: async (clients) => resetAfterAnswer(clients, await clients.member('term')),
  },
  'reset, re-encrypted': {
    weight: 2,
    honest: false,
    act: async (clients) => resetAfterAnswer(clients, await clients.member('re')),
  },
  'reset, passthrough': {
    weight: 2,
    honest: false,
    act: (clients) => resetAfterAnswer(clients, clients.passthrough(), clients.hello),
  },
  'reset amid the handshake': {
    weight: 2,
    honest: false,
    async act(clients) {
      const socket = connectTcp(clients.at);
      socket.write(clients.memberHello);
      socket.once('data', () => socket.resetAndDestroy());
      await closed(socket);
    },
  },
  'reset by the service': {
    weight: 1,
    honest: false,
    act: async (clients) => askForReset(await clients.member('term')),
  },
  'cut by the service': { weight: 1, honest: false, act: async (clients) => askForReset(await clients.member('re')) },
  'no certificate': { weight: 1, honest: false, act: (clients) => clients.refused(undefined) },
  'expired certificate': { weight: 1, honest: false, act: (clients) => clients.refused(clients.expired) },
  'certificate of another CA': { weight: 1, honest: false, act: (clients) => clients.refused(clients.foreign) },
  'stalled hello': {
    weight: 1,
    honest: false,
    async act(clients) {
      const socket = connectTcp(clients.at);
      socket.write(clients.hello.subarray(0, 100));
      socket.setTimeout(PATIENCE_MS, () => socket.destroy());
      await closed(socket);
    },
  },
  'stalled handshake': {
    weight: 1,
    honest: false,
    async act(clients) {
      const socket = connectTcp(clients.at);
      socket.write(clients.memberHello);
      socket.resume();
      socket.setTimeout(PATIENCE_MS, () => socket.destroy());
      await closed(socket);
    },
  },
  'damaged record': {
    weight: 2,
    honest: false,
    async act(clients) {
      const socket = await clients.member('term');
      socket.write(ASK.echo.repeat(PAYLOAD));
      await new Promise((resolve) => socket.once('data', resolve));
      clients.below(socket).write(Buffer.concat([Buffer.from([23, 3, 3, 0, 64]), Buffer.alloc(64, 7)]));
      socket.setTimeout(PATIENCE_MS, () => clients.below(socket).destroy());
      await closed(socket);
    },
  },
  vanished: {
    weight: 1,
    honest: false,
    async act(clients) {
      const socket = await clients.member('term');
      socket.write(ASK.echo.repeat(100_000));
      // From here on the client reads and sends nothing: the service's answer stays on the way.
      clients.below(socket).pause();
      setTimeout(() => resetBelow(socket, clients.below(socket)), VANISHED_MS);
      await closed(socket);
    },
  },
  'vanished after its end': {
    weight: 1,
    honest: false,
    async act(clients) {
      const socket = await clients.member('term');
      socket.end(ASK.silence);
      setTimeout(() => resetBelow(socket, clients.below(socket)), VANISHED_MS);
      await closed(socket);
    },
  },
  'not TLS': {
    weight: 1,
    honest: false,
    async act(clients) {
      const socket = connectTcp(clients.at);
      socket.end('GET / HTTP/1.1\r\n\r\n');
      await closed(socket);
    },
  },
};

async function askAndEnd(socket: Socket, first: Buffer | null = null, bytes = PAYLOAD): Promise<void> {
  const expected = bytes + (first?.length ?? 0);
  const came = received(socket);
  if (first !== null) socket.write(first);
  socket.write(ASK.echo.repeat(bytes));
  socket.on('data', () => {
    if (came() === expected) socket.end();
  });
  await closed(socket);
  if (came() !== expected) throw new Error(`${came()} bytes of ${expected} came back`);
}

async function resetAfterAnswer(clients: Clients, socket: Socket, first: Buffer | null = null): Promise<void> {
  if (first !== null) socket.write(first);
  socket.write(ASK.echo.repeat(PAYLOAD));
  socket.once('data', () => resetBelow(socket, clients.below(socket)));
  await closed(socket);
}

async function askForReset(socket: Socket): Promise<void> {
  socket.write(ASK.reset);
  socket.resume();
  await closed(socket);
}

function received(socket: Socket): () => number {
  let count = 0;
  socket.on('data', (chunk: Buffer) => (count += chunk.length));
  return () => count;
}

/** Rejects with the error of a connection. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => resolve());
    if (socket.closed) resolve();
  });
}

class Clients {
  readonly at: { readonly host: string; readonly port: number };
  readonly hello: Buffer;
  readonly memberHello: Buffer;
  readonly expired: SecureContext;
  readonly foreign: SecureContext;
  readonly #member: SecureContext;
  readonly #below = new WeakMap<Socket, Socket>();

  static async of(port: number, mesh: TestMesh): Promise<Clients> {
    return new Clients(port, mesh, { hello: await helloOf(sni('pass')), memberHello: await helloOf(sni('term')) });
  }

  private constructor(port: number, mesh: TestMesh, hellos: { readonly hello: Buffer; readonly memberHello: Buffer }) {
    this.at = { host: '127.0.0.1', port };
    this.hello = hellos.hello;
    this.memberHello = hellos.memberHello;
    this.#member = createSecureContext(mesh.client('frontend'));
    this.expired = createSecureContext(mesh.badClient('expired'));
    this.foreign = createSecureContext(mesh.badClient('wrong-ca'));
  }

  passthrough(): Socket {
    return connectTcp(this.at);
  }

  /** Connects a client of the mesh; resolves after its handshake. */
  async member(service: string, maxVersion: SecureVersion = 'TLSv1.3'): Promise<TLSSocket> {
    const socket = this.#connect(service, maxVersion, this.#member);
    await new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed during the handshake')));
    });
    return socket;
  }

  /** Connects a client that the egress refuses. */
  async refused(context: SecureContext | undefined): Promise<void> {
    const socket = this.#connect('term', 'TLSv1.3', context);
    socket.resume();
    await closed(socket);
  }

  below(socket: Socket): Socket {
    return this.#below.get(socket) ?? socket;
  }

  #connect(service: string, maxVersion: SecureVersion, secureContext: SecureContext | undefined): TLSSocket {
    const below = connectTcp({ ...this.at, noDelay: true });
    below.on('error', () => {});
    const socket = connectTls({
      socket: below,
      servername: sni(service),
      maxVersion,
      rejectUnauthorized: false,
      ...(secureContext === undefined ? {} : { secureContext }),
    });
    this.#below.set(socket, below);
    return socket;
  }
}

function sni(service: string): string {
  return `${service}{mesh=default}`;
}

/** Returns the first flight of Node's own client. */
async function helloOf(servername: string): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      resolve(chunk);
      done();
    },
  });
  const client = connectTls({ socket: wire, servername });
  client.on('error', () => {});
  const hello = await promise;
  client.destroy();
  return hello;
}
