import { createServer } from 'node:net';
import { nextTurn, systemClock } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { innerMap } from '../base/inner-map.ts';
import { boundPort } from '../base/bound-port.ts';
import type { AccessLogLine } from '../model/access-log.ts';
import { diffInTurns, diffMaps, diffSnapshots, splitChange } from '../model/changes.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { EndpointHealth, Resolution } from '../model/endpoint-view.ts';
import { EVERY_PLACE } from '../model/messages.ts';
import type { EndpointReport, FromData, OpenSessions, OwnListener, SlotChange, ToData } from '../model/messages.ts';
import type { SnapshotChange } from '../model/changes.ts';
import type { ContentHash, MeshName } from '../model/names.ts';
import type { ShownQuery } from '../model/shown-session.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { TrafficSettings } from '../model/settings.ts';
import { EMPTY_SNAPSHOT, namesIn } from '../model/snapshot.ts';
import type { Secrets, Snapshot } from '../model/snapshot.ts';
import { TicketRing } from '../identity/ticket-ring.ts';
import { Breakers, breakerMemory, bucketsOf } from '../traffic/breakers.ts';
import { Limits, limitsMemory } from '../traffic/limits.ts';
import { linkInThread, linkWorker } from './data-link.ts';
import type { DataLink } from './data-link.ts';
import { DataWatch } from './data-watch.ts';
import { Slots } from './slots.ts';
import { bufferLimit, heapLimits, memoryOfProcess } from './worker-memory.ts';

export interface WorkerPoolOptions {
  readonly clock: Clock;
  /** 1 shares the control side's thread; more have a worker thread each. */
  readonly count: number;
  readonly settings: TrafficSettings;
  readonly onRecords: (records: readonly SessionRecord[]) => void;
  readonly onRequests?: (records: readonly RequestRecord[]) => void;
  readonly onAccessLines?: (lines: readonly AccessLogLine[]) => void;
  readonly onResolve: (name: string, family: 'v4' | 'any') => void;
  /** Called with the names that traffic uses, again as long as it does. */
  readonly onNamesInUse?: (names: readonly string[]) => void;
  /** Called when a session needs the certificate of a mesh that is out of date. */
  readonly onCredentialsNeeded: (mesh: MeshName) => void;
  readonly onRelay: (path: 'adopted-handle' | 'public-api') => void;
  readonly onFault: (message: string, stack: string) => void;
  /** A data side does not answer, or answers again. */
  readonly onSilence?: (message: string) => void;
  /** Absent: the real one; see DataWatch. */
  readonly watchClock?: Clock;
  /** Called with each piece of an answer to `askSessions`. */
  readonly onShownSessions?: (worker: number, piece: ShownPiece) => void;
  /** Called with the outcomes of sessions at watched endpoints. */
  readonly onReports?: (reports: readonly EndpointReport[]) => void;
}

export type ShownPiece = Extract<FromData, { kind: 'shown-sessions' }>;

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 30_000;

interface HealthChange {
  readonly cluster: string;
  readonly key: string;
  readonly health: EndpointHealth;
}

/** Keyed by kind; by kind and place where several of one kind may be pending. */
type Waiting = Record<string, (message: FromData) => void>;

function keyOf(message: FromData): string {
  return 'place' in message ? `${message.kind} ${message.place}` : message.kind;
}

type Listen = Pick<Extract<ToData, { kind: 'listen' }>, 'address' | 'port' | 'inherited' | 'waits' | 'takes'>;

/** The first of several places to listen at. */
export const FIRST_PLACE = '';

/** The name of a place that holds connections, among those of a data side. */
function heldPlace(address: string, port: number): string {
  return `held ${address} ${port}`;
}

interface NextLive {
  readonly snapshot: Snapshot;
  readonly secrets: Secrets;
  readonly credentials: readonly MeshCredentials[];
}

interface Live {
  readonly snapshot: Snapshot;
  readonly secrets: Secrets;
  readonly credentials: ReadonlyMap<MeshName, MeshCredentials>;
}

interface FailedChange {
  readonly change: SnapshotChange;
  readonly next: NextLive;
  readonly before: Live;
}

/**
 * All data sides, and what was sent to them: one that dies is replaced by another, which receives
 * the same.
 */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #memory: SharedArrayBuffer = limitsMemory();
  readonly limits: Limits;
  readonly #breakerMemory: SharedArrayBuffer;
  readonly breakers: Breakers;
  readonly #clusterSlots = new Slots((slot) => this.breakers.isFree(slot));
  readonly #routeSlots = new Slots(() => true);
  /** Token buckets of the live routes. */
  readonly #buckets = new Map<string, readonly string[]>();
  readonly #links: DataLink[] = [];
  readonly #waiting: Waiting[] = [];
  readonly #credentials = new Map<MeshName, MeshCredentials>();
  readonly #names = new Map<string, Resolution>();
  /** Endpoints that are not healthy, by cluster and key. */
  readonly #health = new Map<string, HealthChange>();
  #snapshot: Snapshot = EMPTY_SNAPSHOT;
  #secrets: Secrets = new Map();
  #own: readonly OwnListener[] = [];
  readonly #listening = new Map<string, { readonly address: string; readonly port: number; readonly waits?: true }>();
  /** The places that hold connections; false where the socket could not be opened. */
  readonly #held = new Map<string, Promise<boolean>>();
  #closing: Promise<unknown> | null = null;
  #stopping = false;
  #draining = false;
  readonly #watch: DataWatch;
  /** Null where no session is resumed. */
  readonly #tickets: TicketRing | null;
  /** Number of deaths of each data side. */
  readonly #deaths = new Map<number, number>();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.limits = new Limits(this.#memory, options.settings, 0);
    this.#breakerMemory = breakerMemory(options.count);
    this.breakers = new Breakers(this.#breakerMemory, { clock: options.clock, side: 0 });
    this.#watch = this.#watchSides();
    this.#tickets = options.settings.resumption
      ? new TicketRing(options.clock, (keys) => this.#postAll({ kind: 'ticket-keys', keys }))
      : null;
  }

  get count(): number {
    return this.#options.count;
  }

  /** The addresses of names that the data sides know. */
  get names(): ReadonlyMap<string, Resolution> {
    return this.#names;
  }

  get ownListeners(): readonly OwnListener[] {
    return this.#own;
  }

  /** Returns the endpoints of a cluster that are not healthy, by `addressKey`. */
  healthOf(cluster: string): ReadonlyMap<string, EndpointHealth> {
    const changes = [...this.#health.values()].filter((change) => change.cluster === cluster);
    return new Map(changes.map(({ key, health }) => [key, health]));
  }

  /** Returns the endpoints that are not healthy, by cluster and `addressKey`. */
  get notHealthy(): ReadonlyMap<string, ReadonlyMap<string, EndpointHealth>> {
    const found = new Map<string, Map<string, EndpointHealth>>();
    for (const { cluster, key, health } of this.#health.values()) innerMap(found, cluster).set(key, health);
    return found;
  }

  /** Lists the data sides that do not answer. */
  get silentSides(): DataWatch['silent'] {
    return this.#watch.silent;
  }

  /** The credentials of each mesh that the data sides have. */
  get credentials(): readonly MeshCredentials[] {
    return [...this.#credentials.values()];
  }

  /** Returns the health that the data sides know. */
  health(cluster: string, key: string): EndpointHealth {
    return this.#health.get(JSON.stringify([cluster, key]))?.health ?? 'healthy';
  }

  secret(hash: ContentHash): string | undefined {
    return this.#secrets.get(hash);
  }

  /** Resolves when every data side knows its relay. */
  async start(): Promise<void> {
    // One that shares this thread cannot be watched from it.
    if (this.count > 1) this.#watch.start();
    this.#tickets?.start();
    await Promise.all(Array.from({ length: this.#options.count }, (_, worker) => this.#startFirst(worker)));
  }

  /**
   * Sends secrets first, then credentials, then the snapshot that needs them; then removes what is
   * no longer needed. Resolves when it is live everywhere.
   */
  async goLive(next: NextLive): Promise<void> {
    const before: Live = { snapshot: this.#snapshot, secrets: this.#secrets, credentials: new Map(this.#credentials) };
    const secrets = diffMaps(this.#secrets, next.secrets);
    const change = await diffInTurns(before.snapshot, next.snapshot, nextTurn);
    const pieces = splitChange(change);
    await nextTurn();
    // Throws without free slots, before anything has changed.
    this.#addSlots(change);
    // From here on a restarted data side receives this snapshot, even if the others fail on the
    // way.
    this.#snapshot = next.snapshot;
    this.#secrets = new Map([...this.#secrets, ...next.secrets]);
    if (secrets.set.length > 0) this.#postAll({ kind: 'secrets', set: secrets.set, removed: [] });
    for (const credentials of next.credentials) this.setCredentials(credentials);
    await nextTurn();
    const failures = await this.#sendChange(pieces);
    if (failures.length > 0) {
      await this.#takeBack({ change, next, before });
      throw new Error(`${failures.join('; ')}; the previous configuration stays live in all of them`);
    }
    this.#secrets = next.secrets;
    await nextTurn();
    this.#settleSlots(change);
    this.#forgetNames(next.snapshot);
    if (secrets.removed.length > 0) this.#postAll({ kind: 'secrets', set: [], removed: secrets.removed });
  }

  setCredentials(credentials: MeshCredentials): void {
    if (this.#credentials.get(credentials.mesh) === credentials) return;
    this.#credentials.set(credentials.mesh, credentials);
    this.#postAll({ kind: 'credentials', credentials });
    this.#tickets?.follow(credentials);
  }

  removeCredentials(mesh: MeshName): void {
    this.#credentials.delete(mesh);
    this.#tickets?.forget(mesh);
    this.#postAll({ kind: 'credentials-removed', mesh });
  }

  setName(name: string, resolution: Resolution): void {
    this.#names.set(name, resolution);
    this.#postAll({ kind: 'resolved', name, resolution });
  }

  setHealth(change: HealthChange): void {
    const name = JSON.stringify([change.cluster, change.key]);
    if (change.health === 'healthy') this.#health.delete(name);
    else this.#health.set(name, change);
    this.#postAll({ kind: 'health', ...change });
  }

  /** Sets the addresses of every listener of this process. */
  setOwnListeners(own: readonly OwnListener[]): void {
    this.#own = own;
    this.#postAll({ kind: 'own-listeners', ownListeners: own });
  }

  /**
   * Listens; resolves with the port. Several data sides share it by `reusePort`, so the port is
   * bound first: otherwise a second process would start without an error. An inherited
   * socket has its port already, and one data side. `place` names one of several listeners.
   */
  async listen(address: string, port: number, inherited?: number, place: string = FIRST_PLACE): Promise<number> {
    if (inherited !== undefined && this.count > 1) throw new Error('an inherited socket is for one worker');
    const takes = inherited === undefined ? await this.#takeHeld(address, port) : null;
    if (takes !== null) return this.#listenAt(place, { address, port, takes });
    const from = inherited === undefined ? {} : { inherited };
    return this.#listenAt(place, { address, port, ...from });
  }

  /**
   * Opens the socket of a place whose connections wait until `listen` is called with the same
   * address and port. Rejects where the socket cannot be opened.
   */
  async hold(address: string, port: number): Promise<void> {
    const place = heldPlace(address, port);
    if (this.#held.has(place)) return;
    const opened = this.#listenAt(place, { address, port, waits: true });
    this.#held.set(
      place,
      opened.then(
        () => true,
        () => false,
      ),
    );
    await opened.catch((error: unknown) => {
      this.#held.delete(place);
      throw error;
    });
  }

  /**
   * Closes a place that still holds its connections, and resets them. Resolves with their number;
   * null where `listen` has taken the place, or there is none.
   */
  async letGo(address: string, port: number): Promise<number | null> {
    const place = heldPlace(address, port);
    const held = this.#held.get(place);
    this.#held.delete(place);
    if (held === undefined || !(await held)) return null;
    return this.#closePlace(place);
  }

  /** Resolves when no data side listens at this place any more. */
  async closeListener(place: string): Promise<void> {
    await this.#closePlace(place);
  }

  /**
   * Resolves when no data side listens any more. Called again meanwhile, the later options apply to
   * both calls.
   */
  async closeListeners(options: { readonly quietMs: number; readonly atMostMs: number }): Promise<void> {
    this.#closing ??= this.#all(`listener-closed ${EVERY_PLACE}`);
    this.#listening.clear();
    this.#held.clear();
    this.#postAll({ kind: 'close-listener', place: EVERY_PLACE, ...options });
    await this.#closing;
  }

  /** Asks clients to leave whose protocol allows it; this cannot be undone. */
  drain(): void {
    this.#draining = true;
    this.#postAll({ kind: 'drain' });
  }

  /**
   * Resolves with the open sessions of every data side. One that does not answer leaves it pending.
   */
  async openSessions(): Promise<readonly OpenSessions[]> {
    const answers = this.#all('open-sessions');
    this.#postAll({ kind: 'ask-open-sessions' });
    return (await answers).flatMap((answer) => (answer.kind === 'open-sessions' ? [answer.open] : []));
  }

  /**
   * Asks every data side for its open sessions; `onShownSessions` gets the answers. With `end`,
   * those that are found are ended, with this detail.
   */
  askSessions(ask: number, query: ShownQuery, end?: string): void {
    this.#postAll({ kind: 'ask-sessions', ask, query, ...(end === undefined ? {} : { end }) });
  }

  endSessions(detail: string): void {
    this.#postAll({ kind: 'end-sessions', detail });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#watch.stop();
    this.#tickets?.close();
    await Promise.all(this.#links.map((link) => link.stop()));
  }

  /** Resolves with the number of connections that still waited there. */
  async #closePlace(place: string): Promise<number> {
    if (!this.#listening.delete(place)) return 0;
    const closed = this.#all(`listener-closed ${place}`);
    this.#postAll({ kind: 'close-listener', place, quietMs: 0, atMostMs: 0 });
    return (await closed).reduce((sum, each) => sum + (each.kind === 'listener-closed' ? each.turnedAway : 0), 0);
  }

  /** Returns the name of the place that holds this address and port; null where none does. */
  async #takeHeld(address: string, port: number): Promise<string | null> {
    const place = heldPlace(address, port);
    const held = this.#held.get(place);
    this.#held.delete(place);
    return held !== undefined && (await held) ? place : null;
  }

  async #listenAt(place: string, how: Listen): Promise<number> {
    const { address, port, takes, waits } = how;
    const isOwn = this.count === 1 || takes !== undefined;
    const { port: bound, release } = isOwn ? { port, release() {} } : await bindFirst(address, port);
    this.#closing = null;
    const at = { address, port: bound, ...(waits === undefined ? {} : { waits }) };
    if (takes !== undefined) this.#listening.delete(takes);
    if (this.count > 1) this.#listening.set(place, at);
    const results = this.#all(`listening ${place}`, `listen-failed ${place}`);
    this.#postAll({ kind: 'listen', ...how, place, port: bound, reusePort: this.count > 1 });
    let opened = bound;
    for (const result of await results.finally(release)) {
      if (result.kind === 'listen-failed') {
        this.#listening.delete(place);
        // Data sides that did open it must not hold it: nothing else would close it.
        this.#postAll({ kind: 'close-listener', place, quietMs: 0, atMostMs: 0 });
        throw Object.assign(new Error(result.message), { code: result.code });
      }
      if (result.kind === 'listening') opened = result.port;
    }
    this.#listening.set(place, { ...at, port: opened });
    return opened;
  }

  #addSlots(change: SnapshotChange): void {
    const clusters = this.#clusterSlots.add(change.clusters.set.map(([name]) => name));
    const routes = this.#routeSlots.add(change.routes.set.flatMap(([, route]) => bucketsOf(route)));
    for (const [, slot] of routes.set) this.breakers.refill(slot);
    this.#tellSlots(clusters, routes);
  }

  /** Removes the slots that are not needed now that the change is live. */
  #settleSlots(change: SnapshotChange): void {
    const wanted = [...change.routes.set, ...change.routes.removed.map((name) => [name, null] as const)];
    const unused = wanted.flatMap(([name, route]) => {
      const [before, now] = [this.#buckets.get(name) ?? [], route === null ? [] : bucketsOf(route)];
      if (now.length === 0) this.#buckets.delete(name);
      else this.#buckets.set(name, now);
      return before.filter((each) => !now.includes(each));
    });
    this.#removeSlots(change.clusters.removed, unused);
  }

  /** Removes the slots that only a change needs which is not live. */
  #dropSlots(change: SnapshotChange, back: SnapshotChange): void {
    const unused = change.routes.set.flatMap(([name, route]) => {
      const live = this.#buckets.get(name) ?? [];
      return bucketsOf(route).filter((each) => !live.includes(each));
    });
    this.#removeSlots(back.clusters.removed, unused);
  }

  #removeSlots(clusters: readonly string[], buckets: readonly string[]): void {
    this.#tellSlots(this.#clusterSlots.remove(clusters), this.#routeSlots.remove(buckets));
  }

  #tellSlots(clusters: SlotChange, routes: SlotChange): void {
    if (clusters.set.length + clusters.removed.length + routes.set.length + routes.removed.length === 0) return;
    this.breakers.setSlots(clusters, routes);
    this.#postAll({ kind: 'slots', clusters, routes });
  }

  #watchSides(): DataWatch {
    return new DataWatch({
      clock: this.#options.watchClock ?? systemClock({ keepAlive: false }),
      count: this.count,
      ask: (worker) => this.#links[worker]?.post({ kind: 'ask-alive' }),
      onSilent: (worker, forMs) =>
        this.#say(
          `data side ${worker} has not answered for ${forMs} ms: its sessions stand still, and so does each new connection that comes to it; ` +
            'it is replaced if it stays silent',
        ),
      onBack: (worker, afterMs) => this.#say(`data side ${worker} answers again, after ${afterMs} ms`),
      onHung: (worker, forMs) => this.#links[worker]?.kill(`it did not answer for ${forMs} ms`),
    });
  }

  #say(message: string): void {
    this.#options.onSilence?.(message);
  }

  /** Sends a change in its pieces; resolves with a sentence for each data side that failed. */
  async #sendChange(pieces: readonly SnapshotChange[]): Promise<readonly string[]> {
    const answers = this.#all('live', 'change-failed');
    for (const [i, change] of pieces.entries()) {
      if (i > 0) await nextTurn();
      this.#postAll({ kind: 'change', change, last: i === pieces.length - 1 });
    }
    return (await answers).flatMap((answer, worker) =>
      answer.kind === 'change-failed' ? [`data side ${worker} could not take the change: ${answer.message}`] : [],
    );
  }

  /** Leads every data side back from a change that one of them could not take. */
  async #takeBack({ change, next, before }: FailedChange): Promise<void> {
    this.#snapshot = before.snapshot;
    for (const { mesh } of next.credentials) {
      const credentials = before.credentials.get(mesh);
      if (credentials === undefined) this.removeCredentials(mesh);
      else this.setCredentials(credentials);
    }
    const back = await diffInTurns(next.snapshot, before.snapshot, nextTurn);
    await this.#sendChange(splitChange(wholeWith(before.snapshot, back)));
    this.#dropSlots(change, back);
    this.#secrets = before.secrets;
    const { removed } = diffMaps(next.secrets, before.secrets);
    if (removed.length > 0) this.#postAll({ kind: 'secrets', set: [], removed });
  }

  #postAll(message: ToData): void {
    for (const link of this.#links) link.post(message);
  }

  /** Resolves with the next message of one of these kinds from every data side. */
  #all(...keys: readonly string[]): Promise<FromData[]> {
    return Promise.all(this.#links.map(({ worker }) => this.#next(worker, keys)));
  }

  #next(worker: number, keys: readonly string[]): Promise<FromData> {
    return new Promise((resolve) => {
      for (const key of keys) {
        (this.#waiting[worker] ??= {})[key] = (message) => {
          for (const each of keys) delete this.#waiting[worker]?.[each];
          resolve(message);
        };
      }
    });
  }

  /** Rejects when a data side cannot even start. */
  async #startFirst(worker: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      void this.#next(worker, ['relay']).then(() => resolve());
      this.#connect(worker, (error) =>
        reject(Object.assign(new Error(`start data side ${worker}: ${error.message}`, { cause: error }), { code: 'EWORKER' })),
      );
    });
  }

  /**
   * `beforeReady` is called, instead of replacing the worker, when it dies before its first
   * message.
   */
  #connect(worker: number, beforeReady: ((error: Error) => void) | null): void {
    let ready = false;
    const memory = memoryOfProcess();
    const options = {
      limits: heapLimits(memory, this.count),
      start: {
        worker,
        settings: this.#options.settings,
        largeBufferBytes: bufferLimit(memory, this.count),
        limitsMemory: this.#memory,
        breakerMemory: this.#breakerMemory,
      },
      clock: this.#options.clock,
      onMessage: (message: FromData) => {
        ready = true;
        this.#onMessage(worker, message);
      },
      onNoStop: (afterMs: number) => {
        const lost = this.limits.forgetSide(worker);
        this.breakers.forgetSide(worker);
        this.#say(`data side ${worker} did not stop within ${afterMs} ms: its thread is ended, and ${lost} sessions with it`);
      },
      onDied: (error: Error) => (ready || beforeReady === null ? this.#replace(worker, error) : beforeReady(error)),
    };
    this.#watch.replaced(worker);
    this.#links[worker] = this.count === 1 ? linkInThread(options) : linkWorker(options);
  }

  #onMessage(worker: number, message: FromData): void {
    const { onRecords, onResolve, onCredentialsNeeded, onRelay, onFault, onReports } = this.#options;
    if (message.kind === 'records') onRecords(message.records);
    else if (message.kind === 'requests') this.#options.onRequests?.(message.records);
    else if (message.kind === 'access-lines') this.#options.onAccessLines?.(message.lines);
    else if (message.kind === 'resolve') onResolve(message.name, message.family);
    else if (message.kind === 'names-in-use') this.#options.onNamesInUse?.(message.names);
    else if (message.kind === 'credentials-needed') onCredentialsNeeded(message.mesh);
    else if (message.kind === 'endpoint-reports') onReports?.(message.reports);
    else if (message.kind === 'relay') onRelay(message.path);
    else if (message.kind === 'shown-sessions') this.#options.onShownSessions?.(worker, message);
    else if (message.kind === 'alive') this.#watch.answered(worker);
    else if (message.kind === 'fault') onFault(message.message, message.stack);
    this.#waiting[worker]?.[keyOf(message)]?.(message);
  }

  /**
   * Replaces a data side that died and sends the new one everything that is meant to be live.
   * Answers that the dead one still owed come from the new one, so that no caller waits forever. A
   * worker that dies repeatedly is started less and less often.
   */
  #replace(worker: number, error: Error): void {
    const lost = this.limits.forgetSide(worker);
    this.breakers.forgetSide(worker);
    const deaths = (this.#deaths.get(worker) ?? 0) + 1;
    this.#deaths.set(worker, deaths);
    this.#options.onFault(`data side ${worker} died with ${lost} sessions and is replaced: ${error.message}`, error.stack ?? '');
    if (this.#stopping) return;
    // Without a listener the new one has nothing to close.
    for (const [key, answer] of Object.entries(this.#waiting[worker] ?? {})) {
      const [, place] = /^listener-closed (.*)$/.exec(key) ?? [];
      if (place !== undefined) answer({ kind: 'listener-closed', place, turnedAway: 0 });
    }
    this.#options.clock.after(deaths === 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** deaths, LONGEST_DELAY_MS), () => {
      if (this.#stopping) return;
      this.#connect(worker, null);
      // Posted first, in the same turn: later changes queue behind it.
      for (const message of this.#everything()) this.#links[worker]?.post(message);
    });
  }

  /** Forgets names that no cluster has any more. */
  #forgetNames(snapshot: Snapshot): void {
    const wanted = namesIn(snapshot);
    for (const name of this.#names.keys()) if (!wanted.has(name)) this.#names.delete(name);
  }

  #everything(): readonly ToData[] {
    const pieces = splitChange(diffSnapshots(EMPTY_SNAPSHOT, this.#snapshot));
    return [
      { kind: 'secrets', set: [...this.#secrets], removed: [] },
      ...[...this.#credentials.values()].map((credentials) => ({ kind: 'credentials', credentials }) as const),
      ...(this.#tickets?.all ?? []).map((keys) => ({ kind: 'ticket-keys', keys }) as const),
      ...[...this.#names].map(([name, resolution]) => ({ kind: 'resolved', name, resolution }) as const),
      { kind: 'own-listeners', ownListeners: this.#own },
      { kind: 'slots', clusters: this.#clusterSlots.all, routes: this.#routeSlots.all },
      ...[...this.#health.values()].map((change) => ({ kind: 'health', ...change }) as const),
      ...pieces.map((change, i) => ({ kind: 'change', change, last: i === pieces.length - 1 }) as const),
      ...[...this.#listening].map(([place, at]) => ({ kind: 'listen', place, ...at, reusePort: true }) as const),
      ...(this.#draining ? [{ kind: 'drain' } as const] : []),
      // The message may have been posted while no data side could receive it.
      ...(this.#closing === null ? [] : [{ kind: 'close-listener', place: EVERY_PLACE, quietMs: 0, atMostMs: 0 } as const]),
    ];
  }
}

/**
 * A change that leads to `snapshot` from it, from an empty one, and from the one that `back` leads
 * away from: a data side may have any of the three.
 */
function wholeWith(snapshot: Snapshot, back: SnapshotChange): SnapshotChange {
  const whole = diffSnapshots(EMPTY_SNAPSHOT, snapshot);
  return {
    ...whole,
    routes: { ...whole.routes, removed: back.routes.removed },
    clusters: { ...whole.clusters, removed: back.clusters.removed },
    meshes: { ...whole.meshes, removed: back.meshes.removed },
  };
}

/**
 * Binds a port, to be sure that no other process has it. A given port is free again for the data
 * sides when this resolves. A port that the kernel chose stays bound beside theirs until it is
 * released: the kernel would give it to another process, or to an outgoing connection, in between.
 */
function bindFirst(address: string, port: number): Promise<{ readonly port: number; readonly release: () => void }> {
  const server = createServer();
  const host = address === '' ? {} : { host: address };
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, exclusive: true, reusePort: port === 0, ...host }, () => {
      const bound = boundPort(server);
      if (port === 0) resolve({ port: bound, release: () => void server.close() });
      else server.close(() => resolve({ port: bound, release() {} }));
    });
  });
}
