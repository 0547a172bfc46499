import { inTurns } from '../../base/clock.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Problem } from '../../base/problem.ts';
import type { AdminListener } from '../../model/admin-listener.ts';
import type { Compiled } from '../../model/compiled.ts';
import type { ReadFile } from '../../resources/load.ts';
import { acceptAssignment, acceptCluster } from '../../xds/accept/accept-cluster.ts';
import { acceptListener } from '../../xds/accept/accept-listener.ts';
import type { ListenerMemory } from '../../xds/accept/accept-listener.ts';
import { acceptSecret } from '../../xds/accept/accept-secret.ts';
import { createAdsClient } from '../../xds/stream/ads-client.ts';
import type { AdsClient, AdsEvent, AdsStatus } from '../../xds/stream/ads-client.ts';
import type { AdsState } from '../../xds/messages/ads-state.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import { createClusterTranslator } from '../../xds/translate/translate-clusters.ts';
import { createTranslator } from '../../xds/translate/translate.ts';
import type { ConfigSource } from './config-source.ts';

export interface ControlPlaneSourceOptions {
  readonly clock: Clock;
  /** Asks for the bootstrap, as often as it takes. Rejects for what waiting does not mend. */
  readonly bootstrap: (signal: AbortSignal) => Promise<Bootstrap>;
  /** For each stream anew. */
  readonly token: () => Promise<string | null>;
  /** Of the ZoneEgress. */
  readonly name: string;
  /** The ZoneEgress as JSON, where this egress brings it. */
  readonly resource: string | null;
  readonly readFile: ReadFile;
  readonly onEvent: (event: AdsEvent) => void;
}

/** What is known of the control plane and what it said, for the admin pages. */
export interface ControlPlaneView {
  readonly bootstrap: Bootstrap;
  readonly state: AdsState;
  readonly status: AdsStatus;
}

export interface ControlPlaneSource extends ConfigSource {
  /**
   * Joins the control plane; resolves when it has sent something to run on, an empty configuration
   * too.
   */
  join(): Promise<void>;
  /** Null before the bootstrap. */
  view(): ControlPlaneView | null;
  /** Of the last load: where the control plane wants to reach the admin pages. */
  admin(): AdminListener | null;
}

/** From the first clusters; with a listener to send it comes some milliseconds after them. */
const NO_LISTENER_MS = 5_000;

/** A control plane as the source. What it sent last outlives it; a load gives what is there now. */
export function controlPlaneSource(options: ControlPlaneSourceOptions): ControlPlaneSource {
  const { clock, name } = options;
  const { zone, adminPort } = readResource(options.resource);
  const translate = createTranslator(createClusterTranslator(options.readFile));
  const chains: ListenerMemory = new Map();
  const ended = new AbortController();
  const first = Promise.withResolvers<void>();
  let bootstrap: Bootstrap | null = null;
  let client: AdsClient | null = null;
  let admin: AdminListener | null = null;
  let changed: (() => void) | null = null;
  let loaded: AdsState | null = null;
  let none: Timer | null = null;

  async function join(): Promise<void> {
    bootstrap = await options.bootstrap(ended.signal);
    if (ended.signal.aborted) return;
    const { node, ads } = bootstrap;
    client = createAdsClient({
      clock,
      node,
      target: ads.target,
      tls: ads.tls,
      token: ads.auth.kind === 'none' ? () => Promise.resolve(null) : options.token,
      ...(ads.keepAlive === null ? {} : { keepAlive: ads.keepAlive }),
      accept: {
        cluster: acceptCluster,
        endpoint: acceptAssignment,
        listener: (any) => acceptListener(any, chains),
        secret: acceptSecret,
      },
      onState(state) {
        // Listeners come last. Where there are none yet a control plane says nothing of them, and
        // is not waited for.
        if (state.versions.listener === '') none ??= clock.after(NO_LISTENER_MS, first.resolve);
        else {
          // There is one: its certificates may take longer than one that does not come is waited
          // for.
          none?.cancel();
          if (client?.status().warming === false) first.resolve();
        }
        changed?.();
      },
      onEvent: options.onEvent,
    });
    await first.promise;
    none?.cancel();
  }

  return {
    inPieces: true,
    join,
    async load(): Promise<Compiled> {
      if (client === null) throw new Error('load from a control plane that was not joined');
      const state = client.state();
      loaded = state;
      const {
        snapshot,
        secrets,
        listener,
        origins,
        remarks,
        admin: wanted,
      } = await inTurns(translate.steps(state, { name, zone, adminPort }));
      admin = wanted;
      const problems = remarks.map(({ about, text }): Problem => {
        return { severity: 'warning', file: 'control plane', line: 0, column: 0, field: about, message: text };
      });
      const nothing = { name, address: '', port: 0, adminPort, absent: true } as const;
      return { kind: 'compiled', snapshot, secrets, origins, problems, listener: listener ?? nothing };
    },
    watch(onChange) {
      changed = onChange;
      if (client !== null && client.state() !== loaded) onChange();
      return () => {
        changed = null;
      };
    },
    view: () => (bootstrap === null || client === null ? null : { bootstrap, state: client.state(), status: client.status() }),
    admin: () => admin,
    close() {
      ended.abort();
      client?.close();
      none?.cancel();
      first.resolve();
      return Promise.resolve();
    },
  };
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
