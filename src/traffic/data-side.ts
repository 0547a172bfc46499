import type { Socket } from 'node:net';
import { Chain } from '../base/chain.ts';
import type { Clock } from '../base/clock.ts';
import { refuse } from '../base/refusal.ts';
import type { AccessLogLine } from '../model/access-log.ts';
import { ComingSnapshot } from '../model/changes.ts';
import type { SnapshotChange } from '../model/changes.ts';
import type { Cluster } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import { EVERY_PLACE } from '../model/messages.ts';
import type { AttemptOutcome, EndpointReport, FromData, ToData } from '../model/messages.ts';
import type { ContentHash } from '../model/names.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { TrafficSettings } from '../model/settings.ts';
import { EMPTY_SNAPSHOT, namesIn } from '../model/snapshot.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Target } from '../routing/choose.ts';
import { logSession } from './access-lines.ts';
import { Admission } from './admission.ts';
import { probeAdoption } from './adopt.ts';
import { Breakers } from './breakers.ts';
import { BufferPool } from './buffers.ts';
import type { SessionContext } from './session-context.ts';
import { EndpointUse } from './endpoint-use.ts';
import { ViewMaker } from './view-maker.ts';
import { HttpOnDemand } from './http-on-demand.ts';
import { ignoreError } from '../base/ignore-error.ts';
import { Limits } from './limits.ts';
import { Listener } from './listener.ts';
import type { MeshTls } from './mesh-server.ts';
import { NameTable } from './name-table.ts';
import { NamesInUse } from './names-in-use.ts';
import { openSessionsOf } from './open-sessions.ts';
import { Origination } from './originate.ts';
import type { OriginationDeps } from './originate.ts';
import { Outbox } from './outbox.ts';
import { Renewals } from './renewals.ts';
import { SessionDraft } from './session-draft.ts';
import { runSession } from './session.ts';
import { recheck } from './session-recheck.ts';
import { clientAddressOf } from './session-state.ts';
import type { Session } from './session-state.ts';
import { showSessions } from './shown-sessions.ts';
import { Sweep } from './sweep.ts';
import { Terminator } from './terminate.ts';
import { probeTlsReads } from './tls-onread.ts';
import { Unproven } from './unproven.ts';
import { WaitingRoom } from './waiting-room.ts';

export interface DataSideOptions {
  readonly clock: Clock;
  /** Number of the worker, from 0; part of each record's id. */
  readonly worker: number;
  readonly settings: TrafficSettings;
  /** The most bytes of its large read buffers together. */
  readonly largeBufferBytes: number;
  readonly limitsMemory: SharedArrayBuffer;
  readonly breakerMemory: SharedArrayBuffer;
  readonly meshTls: MeshTls;
  readonly systemTrust: OriginationDeps['systemTrust'];
  readonly checkServerName: OriginationDeps['checkServerName'];
  readonly send: (message: FromData) => void;
}

/** One place for clients, and its connections that wait for a configuration. */
interface Door {
  readonly listener: Listener;
  readonly room: WaitingRoom;
}

/**
 * The data side: sessions, and the state that messages from the control side update. Each thread of
 * sessions has one.
 */
export class DataSide implements SessionContext {
  readonly clock: Clock;
  readonly settings: TrafficSettings;
  readonly limits: Limits;
  readonly breakers: Breakers;
  readonly unproven: Unproven = new Unproven();
  readonly handshaking: Unproven = new Unproven();
  readonly endpoints: EndpointUse = new EndpointUse();
  readonly pool: BufferPool;
  readonly terminator: Terminator;
  readonly origination: Origination;
  readonly names: NameTable;
  readonly http: HttpOnDemand;
  adoptionWorks = false;
  tlsReadsWork = false;
  readonly #send: (message: FromData) => void;
  readonly #worker: number;
  readonly #sessions = new Chain<Session>();
  readonly #sweep: Sweep;
  readonly #admission: Admission;
  readonly #views: ViewMaker;
  readonly #inUse: NamesInUse;
  readonly #records: Outbox<SessionRecord>;
  readonly #requests: Outbox<RequestRecord>;
  readonly #accessLines: Outbox<AccessLogLine>;
  readonly #reports: Outbox<EndpointReport>;
  readonly #secrets = new Map<ContentHash, string>();
  readonly #unprovenOf = new WeakMap<Cluster, Unproven>();
  #snapshot: Snapshot = EMPTY_SNAPSHOT;
  /** Pieces of a change that is not live yet. */
  #coming: ComingSnapshot | null = null;
  /** Set once a piece of a change has failed; its later pieces are dropped. */
  #changeFailure: string | null = null;
  readonly #doors = new Map<string, Door>();
  #closesAll = false;
  #accepted = 0;
  #started: Promise<void> | null = null;

  constructor(options: DataSideOptions) {
    this.clock = options.clock;
    this.settings = options.settings;
    this.pool = new BufferPool(options.largeBufferBytes);
    this.limits = new Limits(options.limitsMemory, options.settings, options.worker);
    this.breakers = new Breakers(options.breakerMemory, { clock: options.clock, side: options.worker });
    const { clock, settings, limits, unproven } = this;
    this.#admission = new Admission({ clock, settings, limits, unproven });
    this.#sweep = new Sweep({
      clock,
      settings,
      sessions: this.#sessions,
      before: () => {
        this.#admission.giveBack();
        this.#inUse.look(clock.now());
      },
    });
    this.terminator = new Terminator(options.meshTls, {
      clock,
      renewals: new Renewals(clock, (mesh) => this.#send({ kind: 'credentials-needed', mesh })),
    });
    this.#send = options.send;
    this.#worker = options.worker;
    this.names = new NameTable((name, family) => this.#send({ kind: 'resolve', name, family }));
    this.origination = new Origination({
      secret: (hash) => this.#secrets.get(hash),
      systemTrust: options.systemTrust,
      checkServerName: options.checkServerName,
    });
    this.http = new HttpOnDemand(this);
    this.#inUse = new NamesInUse((names) => this.#send({ kind: 'names-in-use', names }));
    const { names, endpoints } = this;
    this.#views = new ViewMaker({ worker: options.worker, settings, names, endpoints, inUse: this.#inUse });
    this.#records = new Outbox((records) => this.#send({ kind: 'records', records }));
    this.#requests = new Outbox((records) => this.#send({ kind: 'requests', records }));
    this.#accessLines = new Outbox((lines) => this.#send({ kind: 'access-lines', lines }));
    this.#reports = new Outbox((reports) => this.#send({ kind: 'endpoint-reports', reports }));
  }

  /** Finds out which relay works here; accepts no connection before that. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  snapshot(): Snapshot {
    return this.#snapshot;
  }

  receive(message: ToData): void {
    switch (message.kind) {
      case 'secrets':
        for (const [hash, pem] of message.set) this.#secrets.set(hash, pem);
        for (const hash of message.removed) this.#secrets.delete(hash);
        return;
      case 'credentials':
        return this.#guard(() => this.terminator.set(message.credentials));
      case 'credentials-removed':
        return this.terminator.remove(message.mesh);
      case 'ticket-keys':
        return this.terminator.setTicketKeys(message.keys);
      case 'change':
        return this.#change(message.change, message.last);
      case 'resolved':
        return this.names.set(message.name, message.resolution);
      case 'health':
        return this.endpoints.setHealth(message);
      case 'slots':
        return this.breakers.setSlots(message.clusters, message.routes);
      case 'listen':
        return void this.#listen(message);
      case 'own-listeners':
        return this.#views.setOwnListeners(message.ownListeners);
      case 'drain':
        return this.http.drain();
      case 'close-listener':
        return this.#closeListener(message);
      case 'end-sessions':
        for (const session of this.#sessions) session.steps.end(refuse('drained', message.detail));
        return;
      case 'ask-sessions':
        return void this.#showSessions(message);
      case 'ask-alive':
        return this.#send({ kind: 'alive' });
      case 'ask-open-sessions':
        return this.#send({ kind: 'open-sessions', open: openSessionsOf(this.#sessions, this.clock.now()) });
      case 'stop':
        return this.#stop();
      default:
        return message satisfies never;
    }
  }

  view(cluster: Cluster, client: string): EndpointView {
    return this.#views.of(cluster, client);
  }

  unprovenOf(cluster: Cluster): Unproven {
    let known = this.#unprovenOf.get(cluster);
    if (known === undefined) {
      known = new Unproven();
      this.#unprovenOf.set(cluster, known);
    }
    return known;
  }

  /**
   * Queues the outcome of one connection attempt for the control side. Skipped where the cluster
   * has neither health checks nor outlier detection.
   */
  attempted(cluster: Cluster, { endpoint, ip }: Target, outcome: AttemptOutcome): void {
    if (cluster.outlierDetection === undefined && cluster.healthChecks === undefined) return;
    this.#reports.add({ cluster: cluster.name, key: addressKey(ip, endpoint.port), outcome });
  }

  draft(accepted: Socket): SessionDraft {
    return new SessionDraft({
      id: `${this.#worker}.${++this.#accepted}`,
      wallMs: this.clock.wall(),
      nowMs: this.clock.now(),
      address: clientAddressOf(accepted),
      port: accepted.remotePort ?? 0,
    });
  }

  openSession(session: Session): void {
    this.#sessions.add(session);
  }

  closeSession(session: Session): void {
    session.policyEnd?.();
    this.#sessions.remove(session);
    this.limits.leaveSession(session.clientAddress);
    const record = session.draft.record(this.clock.now());
    this.#records.add(record);
    if (session.route?.accessLogs !== undefined) logSession(session.route, record, 'TcpConnectionEnd', this);
  }

  accessLine(line: AccessLogLine): void {
    this.#accessLines.add(line);
  }

  reportRequest(record: RequestRecord): void {
    this.#requests.add(record);
  }

  fault(error: unknown): void {
    const known = error instanceof Error ? error : new Error(String(error));
    this.#send({ kind: 'fault', message: known.message, stack: known.stack ?? '' });
  }

  async #start(): Promise<void> {
    if (!this.settings.publicApiRelay)
      [this.adoptionWorks, this.tlsReadsWork] = await Promise.all([probeAdoption(this.clock), probeTlsReads(this.clock)]);
    const works = this.adoptionWorks && this.tlsReadsWork;
    this.#send({ kind: 'relay', path: works ? 'adopted-handle' : 'public-api' });
  }

  #accept(socket: Socket, room: WaitingRoom): void {
    if (this.settings.unref) socket.unref();
    const source = clientAddressOf(socket);
    const refusal = this.#admission.admit(socket, source);
    if (refusal === null) return room.enter(socket);
    socket.on('error', ignoreError);
    const draft = this.draft(socket);
    draft.judgedBy(this.#snapshot);
    draft.finish('over-limit', refusal);
    socket.resetAndDestroy();
    this.#records.add(draft.record(this.clock.now()));
  }

  async #listen(message: Extract<ToData, { kind: 'listen' }>): Promise<void> {
    const { place, address, port, reusePort, inherited, takes = place } = message;
    const { backlog, unref } = this.settings;
    await this.start();
    const taken = this.#doors.get(takes);
    if (taken !== undefined && takes !== place) {
      this.#doors.delete(takes);
      this.#doors.set(place, taken);
      taken.room.open();
      return this.#send({ kind: 'listening', place, port });
    }
    const door = taken ?? this.#door(message.waits === true);
    this.#doors.set(place, door);
    this.#closesAll = false;
    this.#sweep.start();
    try {
      const bound = await door.listener.listen({ address, port, reusePort, backlog, unref, inherited });
      this.#send({ kind: 'listening', place, port: bound });
    } catch (error) {
      const { code, message: text } = error as Error & { code?: string };
      this.#doors.delete(place);
      this.#send({ kind: 'listen-failed', place, code: code ?? '', message: text });
    }
  }

  #door(waits: boolean): Door {
    const room = new WaitingRoom({
      isOpen: !waits,
      serve: (socket) => void runSession(socket, this),
      turnAway: (socket) => this.limits.leaveSession(clientAddressOf(socket)),
    });
    return { room, listener: new Listener(this.clock, (socket) => this.#accept(socket, room)) };
  }

  async #showSessions({ ask, query, end }: Extract<ToData, { kind: 'ask-sessions' }>): Promise<void> {
    const from = { sessions: this.#sessions, clock: this.clock, worker: this.#worker, ...(end === undefined ? {} : { end }) };
    await showSessions(from, query, (piece) => this.#send({ kind: 'shown-sessions', ask, ...piece }));
  }

  #closeListener({ place, ...options }: Extract<ToData, { kind: 'close-listener' }>): void {
    const isAll = place === EVERY_PLACE;
    this.#closesAll ||= isAll;
    const closing = isAll ? [...this.#doors.keys()] : [place].filter((each) => this.#doors.has(each));
    if (closing.length === 0) this.#send({ kind: 'listener-closed', place, turnedAway: 0 });
    for (const each of closing) this.#doors.get(each)?.listener.closeWhenQuiet(options, () => this.#listenerClosed(each));
  }

  #listenerClosed(place: string): void {
    const turnedAway = this.#doors.get(place)?.room.close() ?? 0;
    this.#doors.delete(place);
    this.#send({ kind: 'listener-closed', place, turnedAway });
    if (!this.#closesAll || this.#doors.size > 0) return;
    this.#closesAll = false;
    this.#send({ kind: 'listener-closed', place: EVERY_PLACE, turnedAway: 0 });
  }

  /** Answers each change after its last piece: it is live, or nothing of it is. */
  #change(piece: SnapshotChange, last: boolean): void {
    try {
      this.#coming ??= new ComingSnapshot(this.#snapshot);
      if (this.#changeFailure === null) this.#coming.add(piece);
      if (last && this.#changeFailure === null) return this.#goLive(this.#coming.done());
    } catch (error) {
      this.#changeFailure = error instanceof Error ? error.message : String(error);
    }
    if (!last) return;
    this.#send({ kind: 'change-failed', message: this.#changeFailure ?? '' });
    this.#coming = null;
    this.#changeFailure = null;
  }

  #goLive(snapshot: Snapshot): void {
    // Throws before anything has changed.
    const names = namesIn(snapshot);
    this.#coming = null;
    this.#snapshot = snapshot;
    this.http.keep(snapshot.clusters);
    this.names.keep(names);
    const drain = { clock: this.clock, drainTimeMs: this.settings.drainTimeMs };
    for (const session of this.#sessions) {
      if (session.joined) this.#guard(() => recheck(session, snapshot, drain));
    }
    this.#send({ kind: 'live', version: snapshot.version });
  }

  #stop(): void {
    this.#sweep.stop();
    const stopped = (): void => {
      this.http.close();
      this.terminator.close();
      for (const session of this.#sessions) session.steps.end(refuse('drained', 'the egress was stopped'));
      // Walks end in microtasks; their records must be sent before the message that nothing is
      // left.
      setImmediate(() => {
        this.#records.flush();
        this.#requests.flush();
        this.#accessLines.flush();
        this.#send({ kind: 'stopped' });
      });
    };
    for (const { listener, room } of this.#doors.values()) listener.close(() => room.close());
    this.#doors.clear();
    stopped();
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.fault(error);
    }
  }
}
