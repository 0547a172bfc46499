/**
 * Two data sides in one thread with one control side, each on a port of its own: a test chooses
 * which of them a client meets. Keys of tickets, credentials and configuration come as from the
 * pool of workers, and the wall clock moves when the test says so.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { systemClock } from '../../src/base/clock.ts';
import { TicketRing } from '../../src/identity/ticket-ring.ts';
import { diffSnapshots } from '../../src/model/changes.ts';
import type { MeshCredentials } from '../../src/model/credentials.ts';
import type { FromData, ToData } from '../../src/model/messages.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';
import { DEFAULT_TRAFFIC_SETTINGS } from '../../src/model/settings.ts';
import type { TrafficSettings } from '../../src/model/settings.ts';
import { EMPTY_SNAPSHOT } from '../../src/model/snapshot.ts';
import { compile } from '../../src/resources/compile.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import type { MeshTls } from '../../src/traffic/mesh-server.ts';
import { breakerMemory } from '../../src/traffic/breakers.ts';
import { limitsMemory } from '../../src/traffic/limits.ts';
import { createDataSide } from '../../src/worker.ts';
import { BOUND_MS } from './until.ts';

export interface Met {
  /** What the client says. */
  readonly reused: boolean;
  /** The last session that the client got in this connection. */
  readonly session: Buffer | null;
  readonly record: SessionRecord;
}

export interface TwoSides extends AsyncDisposable {
  /** Turns the keys of tickets: `ringClock.advance`. */
  readonly ringClock: FakeClock;
  readonly ports: readonly number[];
  /** Moves the wall clock of the data sides; OpenSSL has its own. */
  setWall(aheadMs: number): void;
  /** Hands out credentials as the pool of workers does. */
  trust(credentials: MeshCredentials): void;
  distrust(credentials: MeshCredentials): void;
  configure(resources: (servicePort: number) => string): Promise<void>;
  post(message: ToData): void;
  meet(side: number, options: ConnectionOptions): Promise<Met>;
  /** The keys of tickets that the data sides have got, the latest last. */
  readonly sentKeys: readonly Extract<ToData, { kind: 'ticket-keys' }>['keys'][];
  /** Faults that the data sides have reported. */
  readonly faults: readonly string[];
}

/** The port of a service that reads to the end, and ends. */
export async function startTwoSides(
  resources: (servicePort: number) => string,
  options: {
    readonly traffic?: Partial<TrafficSettings>;
    readonly changeTls?: ((tls: MeshTls) => MeshTls) | undefined;
  } = {},
): Promise<TwoSides> {
  const { traffic = {}, changeTls = (tls) => tls } = options;
  const service = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.resume();
    socket.end('hello');
  });
  await once(service.listen(0, '127.0.0.1'), 'listening');
  const { port: servicePort } = service.address() as AddressInfo;
  let aheadMs = 0;
  const system = systemClock({ keepAlive: false });
  const clock = { ...system, wall: () => Date.now() + aheadMs };
  const ringClock = new FakeClock();
  const settings = { ...DEFAULT_TRAFFIC_SETTINGS, setupTimeoutMs: BOUND_MS, ...traffic };
  const memory = { limitsMemory: limitsMemory(), breakerMemory: breakerMemory(2) };
  const waiting = new Set<(message: FromData, side: number) => void>();
  const faults: string[] = [];
  const sentKeys: Extract<ToData, { kind: 'ticket-keys' }>['keys'][] = [];
  const sides = [0, 1].map((worker) =>
    createDataSide(
      { worker, settings, largeBufferBytes: 2 ** 20, ...memory },
      {
        clock,
        send(message) {
          if (message.kind === 'fault') faults.push(message.message);
          for (const look of [...waiting]) look(message, worker);
        },
      },
      changeTls,
    ),
  );
  const post = (message: ToData): void => {
    for (const side of sides) side.receive(message);
  };
  /** Resolves with what `fits` makes of a message. */
  function next<Value>(fits: (message: FromData, side: number) => Value | undefined): Promise<Value> {
    return new Promise((resolve) => {
      function look(message: FromData, side: number): void {
        const value = fits(message, side);
        if (value === undefined) return;
        waiting.delete(look);
        resolve(value);
      }
      waiting.add(look);
    });
  }
  const all = <Value>(fits: (message: FromData) => Value | undefined): Promise<Value[]> =>
    Promise.all(sides.map((_, of) => next((message, side) => (side === of ? fits(message) : undefined))));
  const ring = settings.resumption
    ? new TicketRing(ringClock, (keys) => {
        sentKeys.push(keys);
        post({ kind: 'ticket-keys', keys });
      })
    : null;
  ring?.start();
  const listening = all((message) => (message.kind === 'listening' ? message.port : undefined));
  post({ kind: 'listen', place: '', address: '127.0.0.1', port: 0, reusePort: false });
  const ports = await listening;
  let live = EMPTY_SNAPSHOT;

  async function configure(written: (servicePort: number) => string): Promise<void> {
    const compiled = compile([{ path: 'zone.yaml', text: written(servicePort) }], {});
    if (compiled.kind !== 'compiled') throw new Error(compiled.problems.map(({ message }) => message).join('\n'));
    const change = diffSnapshots(live, compiled.snapshot);
    live = compiled.snapshot;
    const done = all((message) => (message.kind === 'live' || message.kind === 'change-failed' ? message.kind : undefined));
    post({ kind: 'change', change, last: true });
    if ((await done).includes('change-failed')) throw new Error('the configuration does not go live');
  }
  await configure(resources);

  return {
    ringClock,
    ports,
    sentKeys,
    faults,
    post,
    setWall: (ms) => void (aheadMs = ms),
    trust(credentials) {
      post({ kind: 'credentials', credentials });
      ring?.follow(credentials);
    },
    distrust({ mesh }) {
      ring?.forget(mesh);
      post({ kind: 'credentials-removed', mesh });
    },
    configure,
    async meet(side, options) {
      const client = connect({
        host: '127.0.0.1',
        port: ports[side] ?? 0,
        rejectUnauthorized: false,
        ALPNProtocols: ['kuma'],
        ...options,
      });
      let session: Buffer | null = null;
      let reused = false;
      let port: number | undefined;
      client.on('connect', () => (port = client.localPort));
      client.on('session', (given: Buffer) => (session = given));
      client.on('secureConnect', () => (reused = client.isSessionReused()));
      client.on('error', () => {});
      client.on('end', () => client.end());
      const closed = new Promise((resolve) => client.once('close', resolve));
      const record = next((message, of) =>
        message.kind === 'records' && of === side ? message.records.find(({ clientPort }) => clientPort === port) : undefined,
      );
      client.resume();
      await closed;
      return { reused, session, record: await record };
    },
    async [Symbol.asyncDispose]() {
      ring?.close();
      const stopped = all((message) => (message.kind === 'stopped' ? true : undefined));
      post({ kind: 'stop' });
      await stopped;
      service.close();
      await once(service, 'close');
    },
  };
}
