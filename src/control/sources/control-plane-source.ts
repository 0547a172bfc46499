import { inTurns } from '../../base/clock.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Problem } from '../../base/problem.ts';
import { unlessAborted } from '../../base/unless-aborted.ts';
import type { AdminListener } from '../../model/admin-listener.ts';
import type { ControlFacts } from '../../admin/envoy/facts.ts';
import type { Compiled } from '../../model/compiled.ts';
import { EMPTY_SNAPSHOT } from '../../model/snapshot.ts';
import { isPort } from '../../resources/hosts.ts';
import type { ReadFile } from '../../resources/load.ts';
import { acceptAssignment, acceptCluster } from '../../xds/accept/accept-cluster.ts';
import { acceptListener } from '../../xds/accept/accept-listener.ts';
import type { ListenerMemory } from '../../xds/accept/accept-listener.ts';
import { acceptSecret } from '../../xds/accept/accept-secret.ts';
import { createAdsClient } from '../../xds/stream/ads-client.ts';
import type { AdsClient, AdsEvent } from '../../xds/stream/ads-client.ts';
import type { AdsState } from '../../xds/messages/ads-state.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import type { BootstrapProblem } from '../../xds/bootstrap/bootstrap-problem.ts';
import type { Accept } from '../../xds/stream/held-resources.ts';
import { createClusterTranslator } from '../../xds/translate/translate-clusters.ts';
import { createTranslator } from '../../xds/translate/translate.ts';
import type { ConfigSource, Good, JoinedProxy, SourceBehaviour } from './config-source.ts';
import type { KeptConfiguration } from './kept-configuration.ts';
import { KeptStart } from './kept-start.ts';
import type { Join, KeptEvent } from './kept-start.ts';
import { proxyState } from './proxy-sentence.ts';

export interface ControlPlaneSourceOptions {
  /** The origin of its URL, without parts that may contain secrets. */
  readonly origin: string;
  /** Warnings for the log at the start. */
  readonly warnings: readonly string[];
  readonly clock: Clock;
  /**
   * Asks for the bootstrap until it is answered. Rejects for a fault that waiting does not cure.
   * Calls `onRetry` for each attempt that is followed by another.
   */
  readonly bootstrap: (signal: AbortSignal, onRetry: (problem: BootstrapProblem) => void) => Promise<Bootstrap>;
  /** Called for each stream. */
  readonly token: () => Promise<string | null>;
  /** Name of the ZoneEgress or the Dataplane. */
  readonly name: string;
  /** Mesh of the Dataplane; absent for a ZoneEgress. */
  readonly mesh?: string;
  /** The resource as JSON, where this egress brings it. */
  readonly resource: string | null;
  readonly readFile: ReadFile;
  readonly onEvent: (event: AdsEvent) => void;
  /** Called when the stream ends because the egress drains. */
  readonly onLeave: () => void;
  readonly hold: Hold;
  /** Keeps the last good configuration for a start without the control plane. Absent keeps none. */
  readonly kept?: KeptConfiguration;
  readonly onKept?: (event: KeptEvent) => void;
}

/**
 * Listens at a place before there is a configuration for it, so that clients wait for it in place
 * of being refused. Does nothing where clients are served already. Never rejects.
 */
export type Hold = (place: { readonly address: string; readonly port: number }) => Promise<void>;

/** One proxy at its control plane. */
export interface ControlPlaneSource extends ConfigSource {
  proxies(): readonly [JoinedProxy];
  /** Ends the pause before the next stream, where there is one: its token may be another by now. */
  retryNow(): void;
}

/** A control plane decides everything, and errors in its resources are corrected there. */
export const OF_A_CONTROL_PLANE: SourceBehaviour = {
  inPieces: true,
  awaitsFirst: true,
  alwaysWatched: true,
  movesListener: true,
  announcesEnd: true,
};

/**
 * Time for the listener after the first clusters; a control plane that has one sends it within
 * milliseconds.
 */
const NO_LISTENER_MS = 5_000;
/** While a kept configuration serves clients, a listener that is late must not cost them theirs. */
const NO_LISTENER_KEPT_MS = 30_000;

/**
 * Makes a control plane the source. Its last state outlives it; a load returns the present state.
 * Over 60 lines: one object over the state of one stream; each of its methods is short.
 */
export function controlPlaneSource(options: ControlPlaneSourceOptions): ControlPlaneSource {
  const { name, kept } = options;
  const { zone, adminPort, place } = readResource(options.resource);
  const translate = createTranslator(createClusterTranslator(options.readFile));
  const ended = new AbortController();
  let joined: { readonly bootstrap: Bootstrap; readonly client: AdsClient } | null = null;
  let admin: AdminListener | null = null;
  let changed: (() => void) | null = null;
  let loaded: AdsState | null = null;
  let good: Good | null = null;
  /** When the last loaded and the live configuration were kept; null for present ones. */
  let loadedSince: number | null = null;
  let liveSince: number | null = null;
  const keptStart =
    kept === undefined
      ? null
      : new KeptStart({
          clock: options.clock,
          kept,
          accept: acceptAll(),
          onEvent: (event) => options.onKept?.(event),
          streamFailure: () => joined?.client.status().lastError ?? null,
          onTakeOver: () => changed?.(),
        });
  const first = firstState(options.clock, () => keptStart !== null && keptStart.used !== null);

  const join: Join = async (onRetry) => {
    const bootstrap = await options.bootstrap(ended.signal, onRetry);
    // The first request on the stream puts a resource that comes with it into the list that clients
    // get: by then they have to find an open port.
    if (place !== null) await options.hold(place);
    if (ended.signal.aborted) return;
    const client: AdsClient = openStream(options, bootstrap, (state) => {
      first.see(state, () => client.status().warming);
      if ((keptStart?.used ?? null) === null) changed?.();
    });
    joined = { bootstrap, client };
    await first.came;
  };

  function present(): AdsState {
    const state = keptStart?.used?.state ?? joined?.client.state();
    if (state === undefined) throw new Error('load from a control plane that was not joined');
    return state;
  }

  function endStream(): void {
    ended.abort();
    keptStart?.close();
    joined?.client.close();
  }

  function facts(): ControlFacts | null {
    if (joined === null) return null;
    const { bootstrap, client } = joined;
    return { bootstrap, state: client.state(), status: client.status() };
  }

  return {
    about: { mode: 'control plane', source: options.origin },
    warnings: options.warnings,
    behaviour: OF_A_CONTROL_PLANE,
    start: (signal) => unlessAborted(signal, () => (keptStart === null ? join(() => undefined) : keptStart.start(join))),
    async load(): Promise<Compiled> {
      const keptProblem = keptStart?.problem() ?? null;
      loadedSince = keptStart?.used?.savedAt ?? null;
      const state = present();
      loaded = state;
      const { remarks, admin: wanted, listener, ...rest } = await inTurns(translate.steps(state, { name, zone, adminPort }));
      admin = wanted;
      const nothing = { name, address: '', port: 0, adminPort, absent: true } as const;
      const said = listener === null && options.mesh !== undefined ? [...remarks, noListener(options.mesh)] : remarks;
      const problems = [...(keptProblem === null ? [] : [keptProblem]), ...said.map(problemOf)];
      good = { kind: 'compiled', ...rest, problems, listener: listener ?? nothing };
      return good;
    },
    wentLive() {
      if (loadedSince === null && liveSince !== null) options.onKept?.({ kind: 'taken-over' });
      liveSince = loadedSince;
      if (loadedSince === null && loaded !== null) kept?.keep(loaded);
    },
    keptSince: () => liveSince,
    watch(onChange) {
      changed = onChange;
      if ((joined !== null || (keptStart?.used ?? null) !== null) && present() !== loaded) onChange();
      return () => {
        if (changed === onChange) changed = null;
      };
    },
    adminListener: () => admin,
    controlFacts: facts,
    proxies() {
      const of = { name, mesh: options.mesh ?? '', good, status: facts()?.status ?? null };
      return [
        {
          ...proxyState({ ...of, refusal: null, leaves: false }),
          ...partsOf(good),
          adminListener: admin,
          controlFacts: facts(),
          token: options.token,
        },
      ];
    },
    retryNow: () => joined?.client.retryNow(),
    leave() {
      // The end of the stream removes only a resource that came with it: otherwise it would cost
      // the changes of the configuration, and gain nothing.
      if (options.resource === null || ended.signal.aborted) return;
      endStream();
      options.onLeave();
    },
    async close() {
      endStream();
      first.giveUp();
      await kept?.close();
    },
  };
}

/** Returns what a proxy serves, and where. */
export function partsOf(good: Good | null): Pick<JoinedProxy, 'snapshot' | 'place'> {
  if (good === null || good.listener.absent === true) return { snapshot: good?.snapshot ?? EMPTY_SNAPSHOT, place: null };
  const { address, port } = good.listener;
  return { snapshot: good.snapshot, place: { address, port } };
}

/**
 * Resolves when there is something to run on. Listeners come last: an existing listener may wait
 * for its certificates for longer than a missing one is awaited. A control plane without a listener
 * for this egress sends nothing about listeners.
 */
function firstState(
  clock: Clock,
  hasKept: () => boolean,
): {
  readonly came: Promise<void>;
  see(state: AdsState, isWarming: () => boolean): void;
  giveUp(): void;
} {
  const { promise, resolve } = Promise.withResolvers<void>();
  let none: Timer | null = null;
  const came = (): void => {
    none?.cancel();
    resolve();
  };
  return {
    came: promise,
    see(state, isWarming) {
      if (state.versions.listener === '') none ??= clock.after(hasKept() ? NO_LISTENER_KEPT_MS : NO_LISTENER_MS, resolve);
      else {
        none?.cancel();
        if (!isWarming()) came();
      }
    },
    giveUp: came,
  };
}

function openStream(
  { clock, token, onEvent }: ControlPlaneSourceOptions,
  { node, ads }: Bootstrap,
  onState: (state: AdsState) => void,
): AdsClient {
  return createAdsClient({
    clock,
    node,
    protocol: ads.protocol,
    target: ads.target,
    tls: ads.tls,
    token: ads.auth.kind === 'none' ? () => Promise.resolve(null) : token,
    ...(ads.keepAlive === null ? {} : { keepAlive: ads.keepAlive }),
    accept: acceptAll(),
    onState,
    onEvent,
  });
}

function acceptAll(): Accept {
  const chains: ListenerMemory = new Map();
  return {
    cluster: acceptCluster,
    endpoint: acceptAssignment,
    listener: (any) => acceptListener(any, chains),
    secret: acceptSecret,
  };
}

function problemOf({ about, text }: { readonly about: string; readonly text: string }): Problem {
  return { severity: 'warning', file: 'control plane', line: 0, column: 0, field: about, message: text };
}

/** A control plane does not report why it has no listener for a Dataplane. */
function noListener(mesh: string): { readonly about: string; readonly text: string } {
  const text =
    'the control plane sends no listener for clients. Likely causes: no MeshIdentity selects this Dataplane, the mesh has no MeshExternalService, or ' +
    '(up to 2.14) meshServices.mode of the mesh is not Exclusive; the log of the control plane says which';
  return { about: `mesh:${mesh}`, text };
}

interface OwnResource {
  readonly zone: string;
  readonly adminPort: number;
  /** Where clients come to; null where only the control plane knows it. */
  readonly place: { readonly address: string; readonly port: number } | null;
}

/** Without a resource only the control plane knows the zone. */
function readResource(json: string | null): OwnResource {
  const { zone = '', networking = {} } = (json === null ? {} : JSON.parse(json)) as {
    readonly zone?: string;
    readonly networking?: Place & { readonly admin?: { readonly port?: number }; readonly listeners?: readonly Place[] };
  };
  const { listeners, admin } = networking;
  // A Dataplane has its ports in a list, and the first one of a zone egress is the one that counts.
  const { address = networking.address ?? '', port = 0 } =
    listeners === undefined ? networking : (listeners.find(({ type }) => type === 'ZoneEgress') ?? {});
  const place = address === '' || !isPort(port) ? null : { address, port };
  return { zone, adminPort: admin?.port ?? DEFAULT_ADMIN_PORT, place };
}

interface Place {
  readonly type?: string;
  readonly address?: string;
  readonly port?: number;
}

const DEFAULT_ADMIN_PORT = 9_901;
