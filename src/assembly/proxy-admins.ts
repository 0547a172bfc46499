import { createEnvoyAdmin } from '../admin/envoy/admin.ts';
import type { EnvoyAdmin, EnvoyAdminOptions } from '../admin/envoy/admin.ts';
import type { AdminChanges } from '../admin/changes/changes.ts';
import { envoyPages } from '../admin/envoy/pages.ts';
import type { EnvoyPage } from '../admin/envoy/pages.ts';
import { textView } from '../admin/views.ts';
import type { Clock } from '../base/clock.ts';
import { envoyFacts } from '../control/envoy-facts.ts';
import type { EnvoyFactsOptions } from '../control/envoy-facts.ts';
import type { ConfigSource, JoinedProxy } from '../control/sources/config-source.ts';
import type { AdminListener } from '../model/admin-listener.ts';
import type { Configuration } from './configure.ts';
import type { Observation } from './observe.ts';
import type { OwnListeners } from './own-listeners.ts';

/** The pages in Envoy's form for a control plane: one set for each proxy that has joined. */
export interface ProxyAdmins {
  /**
   * Answers for the whole process, or with `dataplane=` in the query for one of its proxies, which
   * a control plane reads at an address of its own.
   */
  readonly page: EnvoyPage;
  /** Moves each listener to where the last configuration wants it. Never rejects. */
  follow(): Promise<void>;
  close(): Promise<void>;
}

export interface ProxyAdminsOptions {
  readonly source: ConfigSource;
  readonly observation: Observation;
  readonly configuration: Configuration;
  readonly own: OwnListeners;
  readonly clock: Clock;
  readonly changes: AdminChanges;
  readonly about: Omit<EnvoyFactsOptions, 'control' | 'adminAt' | 'of'>;
}

interface Wanted {
  readonly id: string;
  readonly adminListener: AdminListener | null;
}

interface OfProxy {
  readonly admin: EnvoyAdmin;
  readonly page: EnvoyPage;
}

/** Over 60 lines: one object over the listeners of all proxies; each of its methods is short. */
export function createProxyAdmins(options: ProxyAdminsOptions): ProxyAdmins {
  const { source, observation, configuration, own, clock, about, changes } = options;
  const fault = (error: unknown): void => observation.fault(error);
  const proxies = (): readonly JoinedProxy[] => source.proxies?.() ?? [];
  const all = new Map<string, OfProxy>();
  /** Conflicts that were logged. */
  const told = new Set<string>();
  const whole = made({ control: () => source.controlFacts?.() ?? null }, { changes });
  own.add(() => [whole, ...all.values()].flatMap(({ admin }) => admin.at ?? []));

  /** A control plane changes a process only where the process is no other proxy too. */
  function made(
    more: Pick<EnvoyFactsOptions, 'control'> & Partial<EnvoyFactsOptions>,
    may: Pick<EnvoyAdminOptions, 'changes'> = {},
  ): OfProxy {
    const facts = envoyFacts({ ...about, ...more, adminAt: () => admin.at });
    const admin: EnvoyAdmin = createEnvoyAdmin({ clock, facts, fault, ...may });
    return { admin, page: envoyPages(facts) };
  }

  /** A source that is one proxy only has the pages of the whole process. */
  function ofProxy(id: string): OfProxy {
    if (source.controlFacts !== undefined || source.proxies === undefined) return whole;
    const known = all.get(id);
    if (known !== undefined) return known;
    const proxy = (): JoinedProxy | null => proxies().find((each) => each.id === id) ?? null;
    const fresh = made({
      of: proxy,
      clientsAt: () => proxy()?.place ?? null,
      control: () => proxy()?.controlFacts ?? null,
    });
    all.set(id, fresh);
    return fresh;
  }

  /** Two listeners cannot share a place: a control plane names no proxy in its requests. */
  function withoutConflicts(given: readonly Wanted[]): readonly Wanted[] {
    const owners = new Map<string, string>();
    return given.map(({ id, adminListener }) => {
      if (adminListener === null) return { id, adminListener };
      const place = `${adminListener.address}:${adminListener.port}`;
      const owner = owners.get(place);
      owners.set(place, owner ?? id);
      if (owner === undefined) return { id, adminListener };
      if (!told.has(`${id} ${place}`))
        observation.observer.log.warn(
          { proxy: id, place },
          `the control plane wants to read ${id} at ${place}, where it reads ${owner}: give the Dataplane another networking.admin.port to have its pages`,
        );
      told.add(`${id} ${place}`);
      return { id, adminListener: null };
    });
  }

  async function followOne({ id, adminListener }: Wanted): Promise<void> {
    try {
      await ofProxy(id).admin.follow(adminListener, (hash) => configuration.dataPlane.workers.secret(hash));
    } catch (err) {
      observation.observer.log.error(
        { err, ...(id === '' ? {} : { proxy: id }) },
        'the admin listener that the control plane wants could not be opened: the control plane cannot read this egress',
      );
    }
  }

  return {
    page(path, search, method, accept) {
      const query = new URLSearchParams(search);
      const id = query.get('dataplane');
      query.delete('dataplane');
      if (id !== null) {
        const known = proxies().some((proxy) => proxy.id === id);
        return known
          ? ofProxy(id).page(path, query.size === 0 ? '' : `?${query.toString()}`, method, accept)
          : unknownProxy(proxies());
      }
      const isOne = source.proxies === undefined || source.controlFacts !== undefined;
      if (path === '/config_dump' && !isOne) return textView(400, `add ?dataplane=, with one of ${idsOf(proxies())}`);
      return whole.page(path, search, method, accept);
    },
    async follow() {
      if (source.adminListener === undefined && source.proxies === undefined) return;
      const before = JSON.stringify([whole, ...all.values()].map(({ admin }) => admin.at));
      const wanted = withoutConflicts(source.proxies?.() ?? [{ id: '', adminListener: source.adminListener?.() ?? null }]);
      const ids = new Set(wanted.map(({ id }) => id));
      for (const [id, { admin }] of all) {
        if (ids.has(id)) continue;
        all.delete(id);
        await admin.close();
      }
      // One that moves must not find its place taken by another one that moves too.
      if (wanted.length > 1)
        for (const each of wanted) if (!isAt(ofProxy(each.id).admin, each)) await followOne({ id: each.id, adminListener: null });
      for (const each of wanted) await followOne(each);
      if (JSON.stringify([whole, ...all.values()].map(({ admin }) => admin.at)) !== before) own.changed();
    },
    async close() {
      await Promise.all([whole, ...all.values()].map(({ admin }) => admin.close()));
    },
  };
}

function isAt({ at }: EnvoyAdmin, { adminListener: wanted }: Wanted): boolean {
  return at?.address === wanted?.address && at?.port === wanted?.port;
}

function unknownProxy(all: readonly JoinedProxy[]): ReturnType<typeof textView> {
  return textView(404, all.length === 0 ? 'this egress has joined no control plane' : `allowed for dataplane are ${idsOf(all)}`);
}

function idsOf(all: readonly JoinedProxy[]): string {
  return all.map(({ id }) => id).join(', ');
}
