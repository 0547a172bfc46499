import { inTurns } from '../base/clock.ts';
import type { Clock } from '../base/clock.ts';
import { createLocalAddresses } from '../base/local-addresses.ts';
import { formatProblem } from '../base/problem.ts';
import { CertificateLives } from '../control/certificate-lives.ts';
import { troubledDestinations } from '../control/destination-troubles.ts';
import type { TroubledDestinations } from '../control/destination-troubles.ts';
import type { ConfigSource, JoinedProxy } from '../control/sources/config-source.ts';
import { memoryOfProcess } from '../control/worker-memory.ts';
import { claimedLife } from '../identity/proxy-token.ts';
import { ALARMS } from '../model/alarm.ts';
import type { Alarm } from '../model/alarm.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { AlarmBoard } from '../observe/alarms/alarm-board.ts';
import type { AlarmChange } from '../observe/alarms/alarm-board.ts';
import type {
  AlarmFacts,
  CertificateFact,
  ControlPlaneFact,
  LimitFact,
  LoadFact,
  TokenLifeFact,
} from '../observe/alarms/alarm-facts.ts';
import { findAlarms } from '../observe/alarms/find-alarms.ts';
import { RefusalRates } from '../observe/alarms/refusal-rates.ts';
import { openDescriptors, processMemory } from '../observe/process-metrics.ts';
import type { Configuration } from './configure.ts';
import type { Observation } from './observe.ts';

export interface AlarmWatch {
  /** Looks, and resolves with the alarms that are on: the critical ones first, then the oldest. */
  list(): Promise<readonly Alarm[]>;
  close(): void;
}

export interface AlarmWatchOptions {
  readonly clock: Clock;
  readonly observation: Observation;
  readonly configuration: Configuration;
  readonly source: ConfigSource;
  /** True while clients can connect, and while they are not meant to. */
  readonly isListening: () => boolean;
  /** Returns the certificates of the admin listener. */
  readonly adminCertificates: () => readonly CertificateFact[];
}

const LOOK_MS = 5_000;
/** Tokens are files, which are read only this often. */
const TOKENS_MS = 60_000;
/** The most log lines of one kind at a look; one line more has the number of the others. */
const MOST_LINES = 10;

/** Looks at everything again and again; logs and counts the alarms that begin and end. */
export function watchAlarms(options: AlarmWatchOptions): AlarmWatch {
  const { clock, observation, configuration } = options;
  const { observer } = observation;
  const board = new AlarmBoard();
  const refusals = new RefusalRates(clock.now());
  const certificates = new CertificateLives(configuration.dataPlane.workers);
  const tokens = new Tokens(options);
  let looking: Promise<void> | null = null;
  let closed = false;
  const stops = [observer.onRecord((record) => refusals.add(record)), observer.onRequest((record) => refusals.add(record))];

  async function look(): Promise<void> {
    const snapshot = configuration.live()?.snapshot ?? null;
    // Before the first configuration the start tells what it waits for.
    if (snapshot === null) return;
    const now = clock.now();
    const facts: AlarmFacts = {
      now: clock.wall(),
      certificates: [...(await inTurns(certificates.list(snapshot))), ...options.adminCertificates()],
      tokens: await tokens.list(),
      refusals: refusals.list(now),
      ...(await stateOf(options, snapshot)),
      ...observer.incidents.facts(now),
    };
    if (closed) return;
    const changes = board.update(
      findAlarms(facts, (name, subject) => board.isOn(name, subject)),
      { now, wall: clock.wall() },
    );
    logChanges(changes, observer.log);
    observer.metrics.alarms(countsOf(board.list()));
  }

  function lookOnce(): Promise<void> {
    looking ??= look()
      .catch((error: unknown) => observation.fault(error))
      .finally(() => (looking = null));
    return looking;
  }

  observer.metrics.alarms(countsOf([]));
  const timer = clock.every(LOOK_MS, () => void lookOnce());
  return {
    async list() {
      await lookOnce();
      return board.list();
    },
    close() {
      closed = true;
      timer.cancel();
      for (const stop of stops) stop();
    },
  };
}

type StateFacts = Omit<AlarmFacts, 'now' | 'certificates' | 'tokens' | 'refusals' | 'dropped' | 'internalErrors'>;

/** Collects the facts of the configuration, the destinations and the process. */
async function stateOf(options: AlarmWatchOptions, snapshot: Snapshot): Promise<StateFacts> {
  const { configuration, source, isListening } = options;
  const { workers } = configuration.dataPlane;
  const ofDestinations = await inTurns(destinationsOf(options, snapshot));
  return {
    destinations: ofDestinations.destinations,
    limits: [...(await limitsOf(options)), ...ofDestinations.limits],
    controlPlanes: (source.proxies?.() ?? []).flatMap((proxy) => controlPlaneFact(proxy) ?? []),
    keptSince: source.keptSince?.() ?? null,
    lastLoad: loadFact(configuration),
    noIdentity: [...snapshot.meshes.values()].flatMap(({ name, identity }) =>
      identity.kind === 'none' ? [{ mesh: name, why: identity.why }] : [],
    ),
    silentSides: workers.silentSides,
    isListening: isListening(),
  };
}

const localAddresses = createLocalAddresses();

function destinationsOf({ configuration }: AlarmWatchOptions, snapshot: Snapshot): Generator<void, TroubledDestinations> {
  const { settings, dataPlane } = configuration;
  const { workers } = dataPlane;
  const { names, ownListeners } = workers;
  return troubledDestinations(snapshot, {
    view: {
      names,
      ownListeners,
      localAddresses: localAddresses(ownListeners),
      allowedResolved: settings.allowedResolved,
    },
    health: workers.notHealthy,
    connections: (cluster) => workers.breakers.counts(cluster).connections,
  });
}

async function limitsOf({ configuration }: AlarmWatchOptions): Promise<readonly LimitFact[]> {
  const { settings, dataPlane } = configuration;
  const { limits } = dataPlane.workers;
  const { maxSessions, maxHandshakes, maxSessionsPerSource, maxDescriptors } = settings;
  const open = maxDescriptors === 0 ? null : await openDescriptors();
  return [
    { subject: 'sessions', used: limits.sessions, limit: maxSessions },
    { subject: 'handshakes', used: limits.handshakes, limit: maxHandshakes },
    { subject: 'sessions of one client', used: limits.mostOfOneSource, limit: maxSessionsPerSource },
    { subject: 'open files', used: open ?? 0, limit: maxDescriptors },
    { subject: 'memory', used: processMemory().resident, limit: memoryOfProcess(), unit: 'bytes' },
  ];
}

function controlPlaneFact({ id, state, sentence, controlFacts }: JoinedProxy): ControlPlaneFact | null {
  const status = controlFacts?.status ?? null;
  if (state === 'leaving' || status?.phase === 'closed') return null;
  const refused = Object.entries(status?.types ?? {}).flatMap(([type, { refusedInRow, lastRefusal }]) =>
    refusedInRow === 0 ? [] : [{ type, times: refusedInRow, message: lastRefusal?.message ?? '' }],
  );
  return { proxy: id, away: status?.phase === 'live' ? null : sentence, refused };
}

function loadFact(configuration: Configuration): LoadFact | null {
  const lastLoad = configuration.lastLoad();
  if (lastLoad === null) return null;
  const errors = lastLoad.problems.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  return {
    isRejected: lastLoad.rejected,
    errors: errors.length,
    first: first === undefined ? '' : formatProblem(first),
  };
}

/** The lives of the tokens for control planes. */
class Tokens {
  readonly #options: AlarmWatchOptions;
  #readAt = -Infinity;
  #found: readonly TokenLifeFact[] = [];

  constructor(options: AlarmWatchOptions) {
    this.#options = options;
  }

  async list(): Promise<readonly TokenLifeFact[]> {
    const { clock, source } = this.#options;
    if (clock.now() - this.#readAt < TOKENS_MS) return this.#found;
    this.#readAt = clock.now();
    const found = (source.proxies?.() ?? []).map(async ({ id, token }) => {
      // The next stream reports a token that cannot be read.
      const text = (await token?.().catch(() => null)) ?? null;
      const life = text === null ? null : claimedLife(text);
      return life === null ? [] : [{ proxy: id, ...life }];
    });
    this.#found = (await Promise.all(found)).flat();
    return this.#found;
  }
}

function* countsOf(alarms: readonly Alarm[]): Generator<readonly [name: string, Alarm['severity'], number]> {
  for (const [name, { severities }] of Object.entries(ALARMS))
    for (const severity of severities)
      yield [name, severity, alarms.filter((alarm) => alarm.name === name && alarm.severity === severity).length];
}

function logChanges(changes: readonly AlarmChange[], log: Observation['observer']['log']): void {
  const written = new Map<string, number>();
  for (const { kind, alarm, forMs } of changes) {
    const { name, severity, subject, says, since } = alarm;
    const key = `${kind} ${name}`;
    const number = (written.get(key) ?? 0) + 1;
    written.set(key, number);
    if (number > MOST_LINES) continue;
    const fields = { alarm: name, severity, subject, says };
    if (kind === 'ends') log.info({ ...fields, forMs: Math.round(forMs) }, 'an alarm ends');
    else log[severity === 'critical' ? 'error' : 'warn']({ ...fields, since, do: alarm.do }, TEXTS[kind]);
  }
  for (const [key, number] of written) {
    const [kind, alarm] = key.split(' ');
    if (number > MOST_LINES)
      log.warn(
        { alarm, more: number - MOST_LINES },
        `${kind === 'ends' ? 'more alarms end' : 'more alarms begin'}: /alarms has all`,
      );
  }
}

const TEXTS = { begins: 'an alarm begins', changes: 'an alarm has another severity' } as const;
