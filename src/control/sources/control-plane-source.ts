import { inTurns } from '../../base/clock.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Problem } from '../../base/problem.ts';
import { unlessAborted } from '../../base/unless-aborted.ts';
import type { AdminListener } from '../../model/admin-listener.ts';
import type { Compiled } from '../../model/compiled.ts';
import type { ReadFile } from '../../resources/load.ts';
import { acceptAssignment, acceptCluster } from '../../xds/accept/accept-cluster.ts';
import { acceptListener } from '../../xds/accept/accept-listener.ts';
import type { ListenerMemory } from '../../xds/accept/accept-listener.ts';
import { acceptSecret } from '../../xds/accept/accept-secret.ts';
import { createAdsClient } from '../../xds/stream/ads-client.ts';
import type { AdsClient, AdsEvent } from '../../xds/stream/ads-client.ts';
import type { AdsState } from '../../xds/messages/ads-state.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import { createClusterTranslator } from '../../xds/translate/translate-clusters.ts';
import { createTranslator } from '../../xds/translate/translate.ts';
import type { ConfigSource, SourceBehaviour } from './config-source.ts';

export interface ControlPlaneSourceOptions {
  /** The origin of its URL, without parts that may contain secrets. */
  readonly origin: string;
  /** Warnings for the log at the start. */
  readonly warnings: readonly string[];
  readonly clock: Clock;
  /**
   * Asks for the bootstrap until it is answered. Rejects for a fault that waiting does not cure.
   */
  readonly bootstrap: (signal: AbortSignal) => Promise<Bootstrap>;
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
}

/** A control plane decides everything, and errors in its resources are corrected there. */
const BEHAVIOUR: SourceBehaviour = {
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

/**
 * Makes a control plane the source. Its last state outlives it; a load returns the present state.
 * Over 60 lines: one object over the state of one stream; each of its methods is short.
 */
export function controlPlaneSource(options: ControlPlaneSourceOptions): ConfigSource {
  const { name } = options;
  const { zone, adminPort } = readResource(options.resource);
  const translate = createTranslator(createClusterTranslator(options.readFile));
  const first = firstState(options.clock);
  const ended = new AbortController();
  let joined: { readonly bootstrap: Bootstrap; readonly client: AdsClient } | null = null;
  let admin: AdminListener | null = null;
  let changed: (() => void) | null = null;
  let loaded: AdsState | null = null;

  async function join(): Promise<void> {
    const bootstrap = await options.bootstrap(ended.signal);
    if (ended.signal.aborted) return;
    const client: AdsClient = openStream(options, bootstrap, (state) => {
      first.see(state, () => client.status().warming);
      changed?.();
    });
    joined = { bootstrap, client };
    await first.came;
  }

  return {
    about: { mode: 'control plane', source: options.origin },
    warnings: options.warnings,
    behaviour: BEHAVIOUR,
    start: (signal) => unlessAborted(signal, join),
    async load(): Promise<Compiled> {
      if (joined === null) throw new Error('load from a control plane that was not joined');
      const state = joined.client.state();
      loaded = state;
      const { remarks, admin: wanted, listener, ...rest } = await inTurns(translate.steps(state, { name, zone, adminPort }));
      admin = wanted;
      const nothing = { name, address: '', port: 0, adminPort, absent: true } as const;
      const said = listener === null && options.mesh !== undefined ? [...remarks, noListener(options.mesh)] : remarks;
      return { kind: 'compiled', ...rest, problems: said.map(problemOf), listener: listener ?? nothing };
    },
    watch(onChange) {
      changed = onChange;
      if (joined !== null && joined.client.state() !== loaded) onChange();
      return () => {
        if (changed === onChange) changed = null;
      };
    },
    adminListener: () => admin,
    controlFacts() {
      if (joined === null) return null;
      const { bootstrap, client } = joined;
      return { bootstrap, state: client.state(), status: client.status() };
    },
    close() {
      ended.abort();
      joined?.client.close();
      first.giveUp();
      return Promise.resolve();
    },
  };
}

/**
 * Resolves when there is something to run on. Listeners come last: an existing listener may wait
 * for its certificates for longer than a missing one is awaited. A control plane without a listener
 * for this egress sends nothing about listeners.
 */
function firstState(clock: Clock): {
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
      if (state.versions.listener === '') none ??= clock.after(NO_LISTENER_MS, resolve);
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
  const chains: ListenerMemory = new Map();
  return createAdsClient({
    clock,
    node,
    protocol: ads.protocol,
    target: ads.target,
    tls: ads.tls,
    token: ads.auth.kind === 'none' ? () => Promise.resolve(null) : token,
    ...(ads.keepAlive === null ? {} : { keepAlive: ads.keepAlive }),
    accept: {
      cluster: acceptCluster,
      endpoint: acceptAssignment,
      listener: (any) => acceptListener(any, chains),
      secret: acceptSecret,
    },
    onState,
    onEvent,
  });
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

/** Without a resource only the control plane knows the zone. */
function readResource(json: string | null): { readonly zone: string; readonly adminPort: number } {
  const resource = (json === null ? {} : JSON.parse(json)) as {
    readonly zone?: string;
    readonly networking?: { readonly admin?: { readonly port?: number } };
  };
  return { zone: resource.zone ?? '', adminPort: resource.networking?.admin?.port ?? DEFAULT_ADMIN_PORT };
}

const DEFAULT_ADMIN_PORT = 9_901;
