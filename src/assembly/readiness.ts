import type { Readiness } from '../admin/views.ts';
import type { JoinedProxy } from '../control/sources/config-source.ts';
import type { Snapshot } from '../model/snapshot.ts';

/** Facts that decide whether the egress is ready, at the moment of the question. */
export interface ReadinessFacts {
  isEnding(): boolean;
  /** True while an operator makes health checks fail, or has closed the listeners. */
  isFailing(): boolean;
  /** True while the listener for clients is open. */
  isListening(): boolean;
  /** True when a live configuration has no listener for clients. */
  hasNothingToListenFor(): boolean;
  /**
   * Returns when the live configuration was kept, in milliseconds since the Unix epoch; null for a
   * present one.
   */
  keptSince?(): number | null;
  /** False while the egress has to join a control plane, and no proxy of it has. */
  hasJoined?(): boolean;
}

/**
 * Returns Kuma's state. An egress without a listener in its configuration is ready; one whose
 * listener is not open yet, or could not be opened, is not.
 */
export function readiness(facts: ReadinessFacts): Readiness {
  if (facts.isEnding()) return { ok: false, text: 'TERMINATING' };
  if (facts.isFailing()) return FAILING;
  if (facts.hasJoined?.() === false) return { ok: false, text: 'PRE_INITIALIZING' };
  if (facts.isListening() || facts.hasNothingToListenFor())
    return { ok: true, text: 'LIVE', ...noteOf(facts.keptSince?.() ?? null) };
  return { ok: false, text: 'PRE_INITIALIZING' };
}

const FAILING: Readiness = { ok: false, text: 'DRAINING', note: 'an operator took it out of service over the admin pages' };

function noteOf(keptSince: number | null): Pick<Readiness, 'note'> {
  if (keptSince === null) return {};
  return { note: `the control plane is away: the configuration was kept at ${new Date(keptSince).toISOString()}` };
}

export interface ProxyReadinessFacts {
  readonly isEnding: () => boolean;
  readonly isFailing: () => boolean;
  readonly isOpen: (place: { readonly address: string; readonly port: number }) => boolean;
  /** Returns the configuration that the workers serve; null before the first. */
  readonly live: () => { readonly snapshot: Snapshot } | null;
}

/** Returns the state of one of several proxies; null where there is no such one. */
export function proxyReadiness(proxy: JoinedProxy | undefined, facts: ProxyReadinessFacts): Readiness | null {
  if (proxy === undefined) return null;
  const { state, place } = proxy;
  if (facts.isEnding() || state === 'leaving') return { ok: false, text: 'TERMINATING' };
  if (facts.isFailing()) return FAILING;
  const isOpen = place === null || facts.isOpen(place);
  return state === 'live' && isOpen && isServed(proxy, facts.live())
    ? { ok: true, text: 'LIVE' }
    : { ok: false, text: 'PRE_INITIALIZING' };
}

/** The routes that a proxy was sent are served a moment later: when it is live in each worker. */
function isServed({ mesh, snapshot }: JoinedProxy, live: { readonly snapshot: Snapshot } | null): boolean {
  if (live === null) return false;
  return [...snapshot.routes.values()].every(
    (route) => (mesh !== '' && route.mesh !== mesh) || live.snapshot.routes.has(route.serverName),
  );
}
