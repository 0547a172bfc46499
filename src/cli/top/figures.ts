import { NORMAL_ENDS } from '../../base/refusal.ts';
import type { ReadAlarm } from '../run-alarms.ts';
import { sumBy } from './sample.ts';
import type { Sample, SeenSession } from './sample.ts';

/** The figures of one frame, and of `--once -o json`. */
export interface Figures {
  /** ISO 8601. */
  readonly at: string;
  readonly ready: string;
  /** The version of the live configuration; empty without one. */
  readonly version: string;
  readonly sessions: { readonly open: number; readonly endedPerSecond: number; readonly handshakes: number };
  readonly bytesPerSecond: { readonly up: number; readonly down: number };
  readonly refused: { readonly perSecond: number; readonly byReason: readonly Count[] };
  readonly endpoints: { readonly healthy: number; readonly unhealthy: number; readonly ejected: number };
  /** Null where the egress has joined none. */
  readonly controlPlane: 'connected' | 'away' | null;
  readonly keptConfiguration: boolean;
  readonly problems: { readonly errors: number; readonly warnings: number };
  readonly alarms: readonly ReadAlarm[];
  /** Clients and the destinations that they talk to. */
  readonly flows: readonly Flow[];
}

export interface Count {
  readonly reason: string;
  readonly perSecond: number;
}

/** All sessions of one client to one destination. */
export interface Flow {
  readonly client: string;
  readonly mesh: string;
  readonly destination: string;
  readonly open: number;
  readonly endedPerSecond: number;
  readonly upPerSecond: number;
  readonly downPerSecond: number;
  readonly refusedPerMinute: number;
  /** The newest refusal; null without one. */
  readonly refusal: { readonly id: string; readonly reason: string } | null;
  readonly sni: string;
  /** That of the newest session. */
  readonly endpoint: string;
}

/** Ended sessions count in the figures for this long. */
const MINUTE_MS = 60_000;

/** `before` is an earlier look, for the rates of counters; null makes them 0. */
export function figuresOf(now: Sample, before: Sample | null, mostEnded: number): Figures {
  const seconds = before === null ? 0 : (now.at - before.at) / 1_000;
  const endings = ratesOf(now, before, seconds);
  const refusals = endings.filter(({ reason }) => !Object.hasOwn(NORMAL_ENDS, reason));
  const flows = flowsOf(now, mostEnded);
  const health = sumBy(now, 'zone_egress_endpoints', 'health');
  const streams = [...sumBy(now, 'zone_egress_control_plane_connected', 'dataplane').values()];
  const joined = streams.length > 1 || (streams[0] ?? 0) > 0 || now.alarms.some(({ name }) => name === 'control-plane-away');
  return {
    at: new Date(now.at).toISOString(),
    ready: now.ready,
    version: [...sumBy(now, 'zone_egress_config_info', 'version').keys()][0] ?? '',
    sessions: {
      open: now.openCount,
      endedPerSecond: total(endings),
      handshakes: sumBy(now, 'zone_egress_handshakes_active', '').get('') ?? 0,
    },
    bytesPerSecond: {
      up: flows.reduce((sum, { upPerSecond }) => sum + upPerSecond, 0),
      down: flows.reduce((sum, { downPerSecond }) => sum + downPerSecond, 0),
    },
    refused: { perSecond: total(refusals), byReason: refusals },
    endpoints: {
      healthy: health.get('healthy') ?? 0,
      unhealthy: health.get('unhealthy') ?? 0,
      ejected: health.get('ejected') ?? 0,
    },
    controlPlane: !joined ? null : streams.every((is) => is > 0) ? 'connected' : 'away',
    keptConfiguration: (sumBy(now, 'zone_egress_kept_configuration_timestamp_seconds', '').get('') ?? 0) > 0,
    problems: { errors: now.errors, warnings: now.warnings },
    alarms: now.alarms,
    flows,
  };
}

function total(counts: readonly Count[]): number {
  return counts.reduce((sum, { perSecond }) => sum + perSecond, 0);
}

/** Returns the ends of sessions in a second, by reason, the commonest first. */
function ratesOf(now: Sample, before: Sample | null, seconds: number): readonly Count[] {
  if (before === null || seconds <= 0) return [];
  const earlier = sumBy(before, 'zone_egress_sessions_total', 'reason');
  return [...sumBy(now, 'zone_egress_sessions_total', 'reason')]
    .map(([reason, count]) => ({ reason, perSecond: Math.max(0, count - (earlier.get(reason) ?? 0)) / seconds }))
    .filter(({ perSecond }) => perSecond > 0)
    .sort((a, b) => b.perSecond - a.perSecond);
}

interface Sums {
  readonly first: SeenSession;
  open: number;
  ended: number;
  refused: number;
  openUp: number;
  openDown: number;
  endedUp: number;
  endedDown: number;
  refusal: Flow['refusal'];
  endpoint: string;
}

/**
 * Sums sessions by client and destination. Where the page of ended ones is full, they are those of
 * a shorter time than a minute.
 */
function flowsOf({ at, open, ended }: Sample, mostEnded: number): readonly Flow[] {
  const lately = ended.filter(({ endedAt }) => endedAt > at - MINUTE_MS);
  const oldest = lately.at(-1)?.endedAt ?? at;
  const windowMs = lately.length >= mostEnded ? Math.max(1_000, at - oldest) : MINUTE_MS;
  const all = new Map<string, Sums>();
  for (const session of open) {
    const sums = sumsFor(all, session);
    sums.open++;
    sums.openUp += session.up;
    sums.openDown += session.down;
  }
  for (const session of lately) {
    const sums = sumsFor(all, session);
    if (session.refused === '') sums.ended++;
    else sums.refused++;
    if (session.refused !== '') sums.refusal ??= { id: session.id, reason: session.refused };
    sums.endedUp += session.up;
    sums.endedDown += session.down;
  }
  const perSecond = (count: number): number => (count * 1_000) / windowMs;
  return [...all.values()].map(({ first, ...sums }) => ({
    client: first.client,
    mesh: first.mesh,
    destination: first.destination || first.sni,
    open: sums.open,
    endedPerSecond: perSecond(sums.ended),
    upPerSecond: sums.openUp + perSecond(sums.endedUp),
    downPerSecond: sums.openDown + perSecond(sums.endedDown),
    refusedPerMinute: perSecond(sums.refused) * 60,
    refusal: sums.refusal,
    sni: first.sni,
    endpoint: sums.endpoint,
  }));
}

function sumsFor(all: Map<string, Sums>, session: SeenSession): Sums {
  const key = flowKey({ ...session, destination: session.destination || session.sni });
  const known = all.get(key);
  if (known !== undefined) {
    if (known.endpoint === '') known.endpoint = session.endpoint;
    return known;
  }
  const zero = { open: 0, ended: 0, refused: 0, openUp: 0, openDown: 0, endedUp: 0, endedDown: 0 };
  const made: Sums = { first: session, ...zero, refusal: null, endpoint: session.endpoint };
  all.set(key, made);
  return made;
}

/** Names a flow among those of a frame, and in the next one. */
export function flowKey({ client, mesh, destination }: Pick<Flow, 'client' | 'mesh' | 'destination'>): string {
  return JSON.stringify([client, mesh, destination]);
}
