/**
 * Knowledge of a running egress besides its configuration: limits that are reached now, the ends of
 * the last sessions, and the results of dialling the endpoints.
 */
import { REFUSALS, refuse } from '../base/refusal.ts';
import type { EndReason, Refusal, RefusalCode } from '../base/refusal.ts';
import type { Cluster } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { MeshName } from '../model/names.ts';
import type { Route } from '../model/route.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Target } from '../routing/choose.ts';
import type { ProbeView, RecentView, TraceStepName } from './trace.ts';

export interface Live {
  /**
   * Returns why a client of this mesh cannot be answered; null where the egress has a certificate
   * for the mesh.
   */
  readonly identity: (mesh: MeshName) => Refusal | null;
  /** Returns a refusal where the rate limit of a route is used up at this moment. */
  readonly rate: (route: Route) => Refusal | null;
  /** Returns a refusal where the circuit breaker of a cluster is open at this moment. */
  readonly breaker: (cluster: Cluster) => Refusal | null;
  /** Returns the last ended sessions of this route, newest first. */
  readonly sessions: (route: Route) => readonly SessionRecord[];
  /** Null where no endpoint was to be dialled: the last sessions then decide. */
  readonly probes: readonly ProbeView[] | null;
}

/** Ends of a session that passed every judgement but did not reach its endpoint. */
const LATE: ReadonlySet<EndReason> = new Set(['connect-timeout', 'connect-refused', 'upstream-tls-failed']);

/** The number of last sessions that are shown. */
const SHOWN = 5;

/**
 * Returns the result of dialling, or else of the last sessions at the endpoints that a session
 * would try now; null where the newest of them was connected, and where none has tried. A session
 * at another address does not count.
 */
export function lateRefusal(live: Live, route: Route, targets: readonly Target[]): Refusal | null {
  if (live.probes !== null) return refusalOf(live.probes);
  const keys = new Set(targets.map(({ endpoint, ip }) => addressKey(ip, endpoint.port)));
  const tried = live
    .sessions(route)
    .filter((record) => keys.has(record.endpoint) && (record.connectMs >= 0 || LATE.has(record.reason)));
  const [newest] = tried;
  if (newest === undefined || !isLate(newest.reason)) return null;
  const good = tried.findIndex(({ reason }) => !LATE.has(reason));
  const failed = good < 0 ? tried.length : good;
  const which = failed === 1 ? 'the last session of this path' : `the last ${failed} sessions of this path`;
  const how = new Set(tried.slice(0, failed).map(({ reason }) => reason));
  const all = how.size === 1 ? `ended with ${newest.reason}` : `did not get to the endpoint (${[...how].join(', ')})`;
  return refuse(newest.reason, `${which} ${all}, the newest at ${endOf(newest)}: ${newest.detail}`);
}

/** A session passes when one probe passes; otherwise it ends as the last one did. */
function refusalOf(probes: readonly ProbeView[]): Refusal | null {
  const last = probes.at(-1);
  if (last === undefined || last.outcome === 'connected' || probes.some(({ outcome }) => outcome === 'connected')) return null;
  return refuse(last.outcome, `dialled just now: ${last.detail}`);
}

function isLate(reason: EndReason): reason is RefusalCode {
  return LATE.has(reason);
}

/** Returns the step at which such a session ends. */
export function lateStep({ code }: Refusal): TraceStepName {
  return REFUSALS[code].step === 'tls' ? 'tls' : 'endpoint';
}

export function recentOf(live: Live, route: Route): readonly RecentView[] {
  return live
    .sessions(route)
    .slice(0, SHOWN)
    .map((record) => {
      const { id, reason, detail, endpoint } = record;
      return { id, endedAt: endOf(record), reason, detail, endpoint };
    });
}

/**
 * Describes the ends of the last sessions, and says that nothing was dialled where it could have
 * been.
 */
export function liveNotes(live: Live, route: Route, targets: readonly Target[]): readonly string[] {
  const records = live.sessions(route);
  const [newest] = records;
  const notes: string[] = [];
  if (newest !== undefined) {
    const counts = new Map<EndReason, number>();
    for (const { reason } of records) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    const all = [...counts].map(([reason, count]) => `${count} ${reason}`).join(', ');
    const detail = newest.detail === '' ? '' : `: ${newest.detail}`;
    notes.push(
      `the last ${records.length} sessions of this path: ${all}; the newest, ${newest.id}, ended at ${endOf(newest)} with ${newest.reason}${detail}`,
    );
  }
  if (live.probes === null && targets.length > 0)
    notes.push('no endpoint was dialled for this answer; --probe dials them now, with their TLS');
  return notes;
}

function endOf({ startedAt, totalMs }: SessionRecord): string {
  return new Date(startedAt + totalMs).toISOString();
}
