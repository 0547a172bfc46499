/**
 * The third of three steps: opens the listeners for clients and for readers of the egress, and
 * keeps them open until the end.
 */
import type { Readiness } from '../admin/views.ts';
import type { Clock } from '../base/clock.ts';
import { packageVersion } from '../base/version.ts';
import { unlessAborted } from '../base/unless-aborted.ts';
import { within } from '../base/within.ts';
import { HeldPlaces } from '../control/held-places.ts';
import { ListeningPlaces } from '../control/listening-places.ts';
import type { BoundPlace } from '../control/listening-places.ts';
import { behaviourOf } from '../control/sources/config-source.ts';
import type { ConfigSource } from '../control/sources/config-source.ts';
import { watchAlarms } from './alarms.ts';
import { createAdminPages } from './admin-pages.ts';
import type { AdminPages } from './admin-pages.ts';
import type { Configuration, Follower } from './configure.ts';
import { drainage } from './drainage.ts';
import type { Drainage } from './drainage.ts';
import type { EgressOptions } from './egress-options.ts';
import type { Observation } from './observe.ts';
import { operatorDrain } from './operator-drain.ts';
import type { OperatorDrain } from './operator-drain.ts';
import { ownListeners } from './own-listeners.ts';
import type { OwnListeners } from './own-listeners.ts';
import { proxyReadiness, readiness } from './readiness.ts';

export interface Served extends Follower {
  readonly pages: AdminPages;
  readonly ending: Drainage;
  readonly listening: ListeningPlaces;
  /** 0 without such a listener. */
  readonly ports: { readonly admin: number; readonly readiness: number };
  /**
   * Listens at a place that no configuration serves yet: its connections wait for one. Never
   * rejects.
   */
  hold(place: BoundPlace): Promise<void>;
  /** Resolves when the listener for clients is open. */
  open(): Promise<void>;
  /** Follows no configuration any more, and turns away the connections that wait for one. */
  readonly stopFollowing: () => void;
  close(): Promise<void>;
}

export interface ServeParts {
  readonly clock: Clock;
  readonly observation: Observation;
  readonly configuration: Configuration;
  readonly source: ConfigSource;
  /** Ends the egress as its embedder, or SIGTERM, would. */
  readonly quit: () => void;
}

/** The longest wait for each part that has to end. */
const CLOSE_MS = 4_000;

/** Over 60 lines: it joins the parts of this step in one place, and ends them in order. */
export function serve(options: EgressOptions, given: ServeParts): Served {
  const { observation, configuration, source } = given;
  const { dataPlane } = configuration;
  const own = ownListeners((all) => dataPlane.setOwnListeners(all));
  const listening = listenForClients(options, given, own);
  const held = holdForClients(options, given, { own, listening });
  const stopFollowing = (): void => {
    listening.end();
    held?.end();
  };
  const ending = endingOf(options, given);
  const drain = operatorDrain({ ...configuration.settings, workers: dataPlane.workers, stopListening: stopFollowing });
  const isListening = (): boolean => ending.isEnding() || drain.isClosing || listening.at !== null || listening.isAbsent;
  const alarms = watchAlarms({ ...given, isListening, adminCertificates: () => pages.certificates() });
  const pages = createAdminPages({
    ...given,
    own,
    alarms,
    clientsAt: () => listening.at,
    drain,
    ...(options.lookup === undefined ? {} : { lookup: options.lookup }),
    admin: options.admin === false ? {} : (options.admin ?? {}),
    reopenLogs: () => observation.reopenLogs(),
    ready: (proxy) => readyNow(proxy, { source, listening, configuration, ending, drain }),
  });
  let ports = { admin: 0, readiness: 0 };
  return {
    pages,
    ending,
    listening,
    get ports() {
      return ports;
    },
    async follow({ listener }) {
      await listening.follow(listener);
      await pages.followSource();
    },
    unmet: ({ listener }) => listening.unmet(listener),
    hold: async (place) => held?.hold(place),
    stopFollowing,
    async open() {
      ports = await open(options, { ...given, pages, listening, own });
    },
    async close() {
      stopFollowing();
      pages.stop();
      alarms.close();
      configuration.stop();
      // Each wait is bounded: a part that hangs must not keep the process running.
      const { log } = observation.observer;
      async function done(what: string, end: () => Promise<unknown> | undefined): Promise<void> {
        // A synchronous throw counts as ended too: the other parts still have to end.
        const ended = (async () => void (await end()))();
        if (await within(CLOSE_MS, ended)) return;
        log.warn({ what, afterMs: CLOSE_MS }, 'the shutdown no longer waits for it');
      }
      await done('the source of the configuration', () => source.close?.());
      await done('a data side', () => dataPlane.workers.stop());
      await done('the recording', () => observation.endRecording());
      await done('an admin listener', () => pages.close());
      ending.report();
      await observation.close();
    },
  };
}

function endingOf({ inheritedSocket }: EgressOptions, { clock, observation, configuration, source }: ServeParts): Drainage {
  return drainage({
    clock,
    observer: observation.observer,
    workers: configuration.dataPlane.workers,
    acceptThroughout: behaviourOf(source).announcesEnd,
    sharesQueue: inheritedSocket !== undefined,
    // A place that the next process takes over stays in the endpoints of sidecars.
    ...(inheritedSocket === undefined ? { leave: () => source.leave?.() } : {}),
  });
}

/** Returns the state of the process, or of one of the proxies as which it has joined. */
function readyNow(
  proxy: string | null,
  of: Pick<ServeParts, 'source' | 'configuration'> & Pick<Served, 'listening' | 'ending'> & { readonly drain: OperatorDrain },
): Readiness | null {
  const { source, listening, configuration, ending, drain } = of;
  const isEnding = (): boolean => ending.isEnding();
  const isFailing = (): boolean => drain.isFailing || drain.isClosing;
  const proxies = source.proxies?.();
  if (proxy !== null) {
    const found = proxies?.find(({ id }) => id === proxy);
    return proxyReadiness(found, {
      isEnding,
      isFailing,
      isOpen: (place) => listening.isOpen(place),
      live: () => configuration.live(),
    });
  }
  return readiness({
    isEnding,
    isFailing,
    isListening: () => listening.at !== null,
    hasNothingToListenFor: () => configuration.live() !== null && listening.isAbsent,
    keptSince: () => source.keptSince?.() ?? null,
    hasJoined: () => proxies?.some(({ state }) => state === 'live') ?? true,
  });
}

function listenForClients(
  { bind, port, inheritedSocket }: Pick<EgressOptions, 'bind' | 'port' | 'inheritedSocket'>,
  { clock, observation, configuration, source }: ServeParts,
  own: OwnListeners,
): ListeningPlaces {
  const { movesListener } = behaviourOf(source);
  const { workers } = configuration.dataPlane;
  const listening = new ListeningPlaces({
    clock,
    workersAt: (place) => ({
      listen: (address, at, inherited) => workers.listen(address, at, inherited, place),
      close: () => workers.closeListener(place),
    }),
    follows: movesListener,
    ...(bind === undefined ? {} : { bind }),
    ...(port === undefined ? {} : { port }),
    ...(inheritedSocket === undefined ? {} : { inherited: inheritedSocket }),
    onChange(at, isFirst) {
      if (movesListener || !isFirst) observation.listener(at);
      own.changed();
    },
    onFailure: (error) => observation.observer.log.error({ err: error }, 'the listener could not be opened; it is tried again'),
  });
  own.add(() => listening.all);
  return listening;
}

/** An inherited socket has a queue already: its connections wait there. */
function holdForClients(
  { bind, port, inheritedSocket }: Pick<EgressOptions, 'bind' | 'port' | 'inheritedSocket'>,
  { clock, observation, configuration }: ServeParts,
  { own, listening }: { readonly own: OwnListeners; readonly listening: ListeningPlaces },
): HeldPlaces | null {
  if (inheritedSocket !== undefined) return null;
  const forMs = configuration.settings.setupTimeoutMs;
  const held = new HeldPlaces({
    clock,
    workers: configuration.dataPlane.workers,
    ...(bind === undefined ? {} : { bind }),
    ...(port === undefined ? {} : { port }),
    forMs,
    isOpen: (place) => listening.isOpen(place),
    onChange: () => own.changed(),
    onGivenUp: (place, turnedAway) =>
      observation.observer.log.warn(
        { ...place, afterMs: forMs, turnedAway },
        'no configuration came in time for the connections that waited at this place: they are turned away, and it no longer listens',
      ),
  });
  own.add(() => held.all);
  return held;
}

interface OpenParts extends ServeParts {
  readonly pages: AdminPages;
  readonly listening: ListeningPlaces;
  readonly own: OwnListeners;
}

/** Opens in this order: whatever may fail the start comes before the first client. */
async function open(options: EgressOptions, parts: OpenParts): Promise<Served['ports']> {
  const { observation, configuration, source, pages, listening, own } = parts;
  const { log } = observation.observer;
  const { workers } = configuration.dataPlane;
  await observation.record();
  await observation.sendOtlp(() => configuration.live()?.snapshot.zone ?? '');
  await workers.start();
  // A source may take long: a probe meanwhile gets an answer.
  const ready =
    options.readiness === undefined || options.readiness === false ? null : await pages.openReadiness(options.readiness);
  for (const warning of [...(options.warnings ?? []), ...(source.warnings ?? [])]) log.warn({}, warning);
  const { signal } = options;
  await unlessAborted(signal, async () => source.start?.(signal));
  const { listener } = await configuration.first(signal);
  const admin = options.admin === false ? null : await pages.openAdmin(listener.adminPort);
  await listening.open(listener);
  own.changed();
  if (options.watch === true || behaviourOf(source).alwaysWatched) configuration.watch();
  const ports = { admin: admin?.port ?? 0, readiness: ready?.port ?? 0 };
  const { mode, source: from } = source.about ?? { mode: 'own source', source: '' };
  const about = { version: packageVersion(), mode, source: from, name: listener.name };
  const [, ...more] = listening.all;
  const also = more.length === 0 ? {} : { also: more };
  log.info({ ...about, ...listening.at, ...also, ...ports, workers: workers.count }, 'zone egress is ready');
  const flags = options.ignoredFlags ?? [];
  if (flags.length > 0) log.debug({ flags }, 'these flags have no effect on this egress');
  return ports;
}
