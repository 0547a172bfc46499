/**
 * A zone egress for tests. One class, because its parts have one lifetime: the egress, the fakes
 * around it, the sockets of its clients, and the records of them. Each part has its own file; this
 * one joins them.
 */
import { plural } from '../../base/plural.ts';
import { AssertionError } from 'node:assert';
import { channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { amount, oneOf } from '../../base/shape.ts';
import type { Clock } from '../../base/clock.ts';
import type { Question } from '../../explain/question.ts';
import type { RequestRecord } from '../../model/request-record.ts';
import type { SessionRecord } from '../../model/session-record.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { startEgress } from '../../egress.ts';
import type { Egress } from '../../egress.ts';
import type { LoadResult } from '../../control/config-loop.ts';
import { encodeTagSni } from '../../wire/sni.ts';
import { AddressesOutside } from './outside-addresses.ts';
import { Expectations } from './session-expectations.ts';
import type { SessionWants } from './session-expectations.ts';
import {
  carriedWants,
  clientOptions,
  connectTo,
  egressOptions,
  question as checkQuestion,
  refusalWants,
  requestWants,
  sessionWants,
  zoneOptions,
} from '../check-options.ts';
import { createFakeClient } from './fake-client.ts';
import { CHANNELS } from './fake-egress-api.ts';
import type { FakeDestination, FakeEgress, FakeEgressEvents, FakeEgressOptions, FakeFault } from './fake-egress-api.ts';
import type { ConnectTo, FakeClient, FakeClientOptions } from './fake-client.ts';
import type { FakeExternalService } from './fake-external-service.ts';
import { fakeRequest, RequestExpectations } from './fake-request.ts';
import type { FakeRequest, RequestWants } from './fake-request.ts';
import { fakeSession, traced } from './fake-session.ts';
import type { Explanation, FakeSession } from './fake-session.ts';
import { FakeZone } from './fake-zone.ts';
import type { Declared, Validity } from './fake-zone.ts';
import type { FakeZoneOptions } from './fake-zone-options.ts';
import type { FakeZoneIngress } from './fake-zone-ingress.ts';
import { callerOf, remember } from './unclosed-fakes.ts';
import { RecordedHistory, pause, waitOptions } from './session-history.ts';
import { configError } from './read-declaration.ts';
import type { History, WaitOptions } from './session-history.ts';
import type { TestMesh } from './test-mesh.ts';
import { checkToxic } from './toxics.ts';
import type { Toxic } from './toxics.ts';

/** Less than the ten years of a CA. */
const FIVE_YEARS_MS = 5 * 365 * 24 * 3_600_000;
/**
 * How long `verify` waits for sessions whose client has gone, and a refused client for its record.
 */
const SETTLE_MS = 1_000;
const LOOK_MS = 5;

/**
 * Throws ConfigError for a configuration that cannot be used, with every problem in the message,
 * and TypeError for an invalid declaration.
 */
export async function createFakeEgress(options: FakeEgressOptions = {}): Promise<FakeEgress> {
  egressOptions(options, 'createFakeEgress');
  const made = callerOf(new Error(), import.meta.url);
  const fake = new RunningFake(options, made);
  try {
    options.signal?.throwIfAborted();
    await fake.start();
  } catch (error) {
    await fake.close();
    throw error;
  }
  return fake;
}

/** Every emitter has `newListener` and `removeListener`. */
const event = oneOf([...Object.keys(CHANNELS), 'newListener', 'removeListener', 'error']);

class RunningFake implements FakeEgress {
  readonly events: FakeEgress['events'] = new EventEmitter();
  readonly #options: FakeEgressOptions;
  readonly #clock: Clock;
  readonly #zone: FakeZone;
  readonly #outside: AddressesOutside;
  readonly #sessions = new RecordedHistory<FakeSession>('session', sessionWants);
  readonly #refusals = new RecordedHistory<FakeSession>('refusal', refusalWants);
  readonly #requests = new RecordedHistory<FakeRequest>('request', requestWants);
  readonly #expectations = new Expectations(this.#sessions);
  readonly #requestExpectations = new RequestExpectations(this.#requests);
  /** Open sockets of clients, with their names. */
  readonly #sockets = new Map<Socket, string>();
  /** The open sockets whose session has ended: a socket that the test does not read is no leak. */
  readonly #ended = new Set<Socket>();
  /** Services of clients by their port. */
  readonly #ports = new Map<number, string>();
  readonly #onClose: (() => void)[] = [];
  readonly #memory: { closed(): void };
  #declared: Declared | null = null;
  /** The declaration that is being tried. */
  #trying: Declared | null = null;
  #changes: Promise<void> = Promise.resolve();
  #egress: Egress | null = null;
  #folder: string | null = null;
  #closing: Promise<void> | null = null;

  constructor(options: FakeEgressOptions, made: string) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock({ keepAlive: false });
    const { allowOutside, random = Math.random, dns = {} } = options;
    this.#zone = new FakeZone(options.zone ?? 'east', () => validity(this.#clock));
    this.#outside = new AddressesOutside(
      { clock: this.#clock, random, ...(allowOutside === undefined ? {} : { allowOutside }) },
      new Map(Object.entries(dns)),
    );
    this.#memory = remember({
      describe: () => [`a fake egress was not closed, made at ${made}`, ...this.#leaks().map((leak) => `  ${leak}`)].join('\n'),
    });
    (this.events as EventEmitter).on('newListener', (name) => event(name, 'events.on'));
    const onAbort = (): void => void this.close();
    options.signal?.addEventListener('abort', onAbort, { once: true });
    this.#onClose.push(() => options.signal?.removeEventListener('abort', onAbort));
  }

  async start(): Promise<void> {
    const { port = 0, admin = false, traffic } = this.#options;
    const declared = await this.#zone.declare(this.#options);
    this.#trying = declared;
    try {
      this.#egress = await startEgress({
        resources: () => this.#now().files,
        rewrite: (compiled) => this.#outside.rewrite(compiled, this.#now().overrides),
        lookup: (name) => this.#outside.lookup(name),
        bind: '127.0.0.1',
        port,
        admin: admin ? { port: 0 } : false,
        clock: this.#clock,
        traffic: { allowedResolved: ['127.0.0.0/8'], ...traffic, unref: true },
      });
    } catch (error) {
      throw isConfigError(error) ? configError(error.problems) : error;
    }
    this.#declared = declared;
    this.#egress.onRecord((record) => this.#record(record));
    this.#egress.onRequest((record) => this.#recordRequest(record));
  }

  get address(): string {
    return this.#running().address;
  }

  get port(): number {
    return this.#running().port;
  }

  get adminPort(): number {
    return this.#running().adminPort;
  }

  get sessions(): History<FakeSession> {
    return this.#sessions;
  }

  get refusals(): History<FakeSession> {
    return this.#refusals;
  }

  get requests(): History<FakeRequest> {
    return this.#requests;
  }

  destinations(): readonly FakeDestination[] {
    return [...this.snapshot().routes.values()].map(({ mesh, destination: name, serverName: sni, kind: mode }) => {
      return { mesh, name, sni, mode };
    });
  }

  snapshot(): Snapshot {
    return this.#running().snapshot();
  }

  open(): number {
    return this.#running().sessions();
  }

  mesh(name?: string): TestMesh {
    return this.#zone.mesh(name);
  }

  client(options: FakeClientOptions): FakeClient {
    clientOptions(options, 'client');
    const mesh = this.#zone.mesh(options.mesh);
    return createFakeClient(options, {
      address: this.address,
      port: () => this.port,
      wall: () => this.#clock.wall(),
      mesh,
      sniOf: (to) => this.#sniOf(to, mesh.name),
      sessionFrom: (port) => this.#sessions.find(({ clientPort }) => clientPort === port, SETTLE_MS),
      opened: (socket, name) => this.#opened(socket, { name, service: options.service }),
      folder: () => (this.#folder ??= mkdtempSync(join(tmpdir(), 'zone-egress-fake-'))),
      onClose: (fn) => void this.#onClose.push(fn),
    });
  }

  externalService(name: string): FakeExternalService | undefined {
    return this.#zone.externalService(name);
  }

  zoneIngress(name: string): FakeZoneIngress | undefined {
    return this.#zone.ingress(name);
  }

  explain(question: Question): Explanation {
    checkQuestion(question, 'explain');
    return traced(this.#running().explain(question), '');
  }

  expectSession(wants: SessionWants, options: WaitOptions = {}): Promise<FakeSession> {
    carriedWants(wants, 'expectSession');
    waitOptions(options, 'expectSession');
    return this.#expect('session', wants, options);
  }

  expectRefused(wants: SessionWants, options: WaitOptions = {}): Promise<FakeSession> {
    refusalWants(wants, 'expectRefused');
    waitOptions(options, 'expectRefused');
    return this.#expect('refusal', wants, options);
  }

  expectRequest(wants: RequestWants, options: WaitOptions = {}): Promise<FakeRequest> {
    requestWants(wants, 'expectRequest');
    waitOptions(options, 'expectRequest');
    const expected = this.#requestExpectations.expect(wants, options);
    // `verify` reports a rejection that is not awaited.
    expected.catch(() => undefined);
    return expected;
  }

  async verify(): Promise<void> {
    for (let waited = 0; waited < SETTLE_MS && this.open() > this.#sockets.size - this.#ended.size; waited += LOOK_MS)
      await pause(LOOK_MS);
    // Records come a turn of the loop after the end of their session.
    await pause(0);
    const found = [
      ...this.#expectations.unexpected(),
      ...this.#expectations.unmet(),
      ...this.#requestExpectations.unmet(),
      ...this.#leaks(),
    ];
    if (found.length === 0) return;
    const message = [`the fake egress saw ${plural(found.length, 'thing')} that should not be`, ...found].join('\n  ');
    throw new AssertionError({ message, actual: found, expected: [], operator: 'verify' });
  }

  async fault(destination: string, toxic: Toxic): Promise<FakeFault> {
    checkToxic(toxic);
    const expired = toxic.type === 'tls_expired' ? this.#zone.expired(destination) : null;
    if (toxic.type === 'tls_expired' && expired === null)
      throw new TypeError(
        `fault tls_expired: ${destination} is no fake with TLS, so that the authority of its certificate is not known`,
      );
    const outsides = this.#outside.of(destination);
    const undo = await Promise.all(outsides.map((outside) => outside.add(toxic, expired)));
    this.#emit('fault', { destination, toxic, on: true });
    let removed: Promise<void> | null = null;
    const remove = async (): Promise<void> => {
      const ports = outsides.map(({ port }) => port);
      await Promise.all(undo.map((fn) => fn()));
      if (this.#closing !== null) return;
      if (outsides.some(({ port }, i) => port !== ports[i])) await this.apply();
      this.#emit('fault', { destination, toxic, on: false });
    };
    const once = (): Promise<void> => (removed ??= remove());
    return { remove: once, [Symbol.asyncDispose]: once };
  }

  async rotate(name?: string): Promise<void> {
    const mesh = await this.#zone.rotate(name);
    await this.apply();
    this.#emit('rotate', { mesh: mesh.name });
  }

  async apply(change: FakeZoneOptions = {}): Promise<void> {
    zoneOptions(change, 'apply');
    const applied = this.#changes.then(() => this.#apply(change));
    // The next change waits for this one, even when it fails.
    this.#changes = applied.catch(() => undefined);
    await applied;
  }

  async drain(drainTimeMs: number): Promise<void> {
    amount(drainTimeMs, 'drain: drainTimeMs');
    await this.#running().drain(drainTimeMs).done;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #apply(change: FakeZoneOptions): Promise<void> {
    const egress = this.#running();
    const declared = await this.#zone.declare({ ...this.#declared?.options, ...change });
    this.#trying = declared;
    const result: LoadResult = await egress.reload().catch((error: unknown) => {
      this.#trying = null;
      throw error;
    });
    this.#trying = null;
    if (result.kind === 'rejected') throw configError(result.problems);
    this.#declared = declared;
    await this.#zone.prune(declared);
    this.#emit('apply', { version: result.config.snapshot.version });
  }

  async #close(): Promise<void> {
    for (const fn of this.#onClose) fn();
    for (const socket of this.#sockets.keys()) socket.destroy();
    await this.#egress?.close();
    await this.#outside.close();
    await this.#zone.close();
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true, force: true });
    this.#sessions.close();
    this.#refusals.close();
    this.#requests.close();
    this.#memory.closed();
    if (this.#egress !== null) this.#emit('close');
  }

  #running(): Egress {
    if (this.#egress === null) throw new Error('the fake egress has not started');
    return this.#egress;
  }

  #now(): Declared {
    const now = this.#trying ?? this.#declared;
    if (now === null) throw new Error('nothing is declared yet');
    return now;
  }

  #record(record: SessionRecord): void {
    const note =
      record.destination === '' ? '' : this.#outside.noteOf({ mesh: record.mesh, name: record.destination }, record.startedAt);
    const session = fakeSession(record, {
      note,
      client: this.#ports.get(record.clientPort) ?? null,
      explain: () => this.#running().explain({ id: record.id }),
    });
    this.#ports.delete(record.clientPort);
    for (const socket of this.#sockets.keys()) if (socket.localPort === record.clientPort) this.#ended.add(socket);
    this.#sessions.add(session);
    if (session.refused) this.#refusals.add(session);
    this.#emit('session', session);
    if (session.refused) this.#emit('refusal', session);
  }

  #recordRequest(record: RequestRecord): void {
    this.#requests.add(fakeRequest(record, record.forwarded ? this.#zone.received(record.requestId) : null));
  }

  #expect(what: 'session' | 'refusal', wants: SessionWants, options: WaitOptions): Promise<FakeSession> {
    const expected = this.#expectations.expect(what, wants, options);
    // `verify` reports a rejection that is not awaited.
    expected.catch(() => undefined);
    return expected;
  }

  #opened(socket: Socket, { name, service }: { readonly name: string; readonly service: string }): void {
    this.#sockets.set(socket, name);
    // A refusal after the handshake comes as an error: it is in the record, and must not end the
    // test.
    socket.on('error', () => undefined);
    socket.once('connect', () => this.#ports.set(socket.localPort ?? 0, service));
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#ended.delete(socket);
    });
  }

  #sniOf(to: ConnectTo, mesh: string): string {
    connectTo(to, 'connect');
    if (typeof to !== 'string') return to.sni;
    const routes = [...this.snapshot().routes.values()];
    const named = routes.filter((route) => route.destination === to && route.mesh === mesh);
    // The shortest name, which has no further tags.
    const [plainest] = named.map(({ serverName }) => serverName).sort((a, b) => a.length - b.length);
    if (plainest !== undefined) return plainest;
    const isSni = to.includes('{') || routes.some(({ serverName }) => serverName === to);
    return isSni ? to : encodeTagSni({ 'kuma.io/service': to, mesh });
  }

  #leaks(): readonly string[] {
    const sockets = [...this.#sockets]
      .filter(([socket]) => !this.#ended.has(socket))
      .map(([socket, name]) => `open: socket of ${name} (127.0.0.1:${socket.localPort ?? 0})`);
    const other = (this.#egress?.sessions() ?? 0) - sockets.length;
    return other > 0 ? [...sockets, `open: ${plural(other, 'more session')} (${this.#outside.open().join(', ')})`] : sockets;
  }

  #emit<Name extends keyof FakeEgressEvents>(name: Name, ...args: FakeEgressEvents[Name]): void {
    const [about] = args as [object?];
    const published = channel(CHANNELS[name]);
    if (published.hasSubscribers)
      published.publish(name === 'session' || name === 'refusal' ? { egress: this, session: about } : { egress: this, ...about });
    (this.events as EventEmitter).emit(name, ...args);
  }
}

/**
 * TLS uses the clock of the machine, the egress its own. Certificates of clients and fakes are
 * valid by both, and for years, however far a test moves its clock.
 */
function validity(clock: Clock): Validity {
  const now = Date.now();
  const from = Math.min(now, clock.wall());
  return { from, lifetimeMs: Math.max(now, clock.wall()) - from + FIVE_YEARS_MS };
}

function isConfigError(error: unknown): error is { readonly problems: Parameters<typeof configError>[0] } {
  return error instanceof Error && error.name === 'ConfigError' && 'problems' in error;
}
