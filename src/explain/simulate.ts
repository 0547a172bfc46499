/**
 * Judges recorded sessions in another configuration, and finds those with another outcome. It uses
 * `decide`, as traffic does, on the facts of the records. It does not guess missing facts: names
 * count as resolvable, endpoints as healthy, and a refused certificate as refused again.
 */
import type { EndReason, RefusalCode } from '../base/refusal.ts';
import type { SessionRecord } from '../model/session-record.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { decide } from '../routing/decide.ts';
import type { Decision } from '../routing/decide.ts';
import { assumedView } from './assumed-view.ts';
import { endOf, factsOfRecord } from './facts.ts';
import { endpointChange } from './other-endpoints.ts';
import { NO_SOURCES, filePlaceOf } from './trace.ts';
import type { FilePlace, Sources } from './trace.ts';

/**
 * Version of the output of `-o json`. It increases when a field is removed or changes its meaning,
 * not for new fields.
 */
export const SIMULATION_VERSION = 1;

export type ChangeKind =
  /** Refused before, passes now. */
  | 'newly-allowed'
  /**
   * Without a route before, with a terminating one now: whether it passes is unknown, because the
   * client was not asked for a certificate.
   */
  | 'newly-routed'
  | 'newly-denied'
  /** With a route before, without one now. */
  | 'no-longer-routed'
  /** Passed through before and is terminated now, or the reverse. */
  | 'other-mode'
  | 'other-endpoints'
  /** Refused before and now, with different codes. */
  | 'refused-otherwise';

/** In the order of the listing. */
export const CHANGE_KINDS: readonly ChangeKind[] = [
  'newly-allowed',
  'newly-routed',
  'newly-denied',
  'no-longer-routed',
  'other-mode',
  'other-endpoints',
  'refused-otherwise',
];

/** All sessions of one client to one SNI with the same change. */
export interface Change {
  readonly kind: ChangeKind;
  readonly sni: string;
  /** SPIFFE ids; empty without a certificate. */
  readonly client: readonly string[];
  /** `allowed`, or the code of the refusal. */
  readonly before: 'allowed' | RefusalCode;
  readonly after: 'allowed' | 'unknown' | RefusalCode;
  /** One sentence about the change. */
  readonly text: string;
  /** The place of what decides now. */
  readonly place: FilePlace | null;
  readonly sessions: number;
  /** The id of one of them. */
  readonly example: string;
}

export interface Simulation {
  readonly version: typeof SIMULATION_VERSION;
  readonly configuration: { readonly version: string; readonly zone: string };
  /** Number of sessions read. */
  readonly sessions: number;
  readonly replayed: number;
  readonly changes: readonly Change[];
  readonly skipped: readonly Skipped[];
  /** Sessions that were judged only up to the permission: no endpoint could be used at the time. */
  readonly endpointsUnknown: number;
  /** Sessions whose certificate was refused, and counts as refused again. */
  readonly certificatesTaken: number;
}

/** Sessions without enough facts, by how they ended. */
export interface Skipped {
  readonly why: 'no-hello' | 'not-judged';
  readonly reason: EndReason;
  readonly sessions: number;
}

export function simulate(snapshot: Snapshot, records: readonly SessionRecord[], sources: Sources = NO_SOURCES): Simulation {
  const changes = new Map<string, Change>();
  const skipped = new Map<string, Skipped>();
  let endpointsUnknown = 0;
  let certificatesTaken = 0;
  let replayed = 0;
  for (const record of records) {
    const before = judgedThen(record);
    if (before.kind === 'skipped') {
      const key = `${before.why} ${record.reason}`;
      const sessions = (skipped.get(key)?.sessions ?? 0) + 1;
      skipped.set(key, { why: before.why, reason: record.reason, sessions });
      continue;
    }
    replayed++;
    if (before.endpointUnknown) endpointsUnknown++;
    if (before.step === 'identity') certificatesTaken++;
    const change = changeOf(snapshot, record, before, sources);
    if (change === null) continue;
    const key = JSON.stringify([change.kind, change.sni, change.client, change.before, change.after, change.text]);
    const known = changes.get(key);
    changes.set(key, known === undefined ? change : { ...known, sessions: known.sessions + 1 });
  }
  return {
    version: SIMULATION_VERSION,
    configuration: { version: snapshot.version, zone: snapshot.zone },
    sessions: records.length,
    replayed,
    changes: [...changes.values()].sort(byKind),
    skipped: [...skipped.values()],
    endpointsUnknown,
    certificatesTaken,
  };
}

interface Judged {
  readonly kind: 'judged';
  readonly outcome: 'allowed' | RefusalCode;
  readonly step: 'route' | 'identity' | 'permission' | null;
  /** True when the judgement passed, but no endpoint could be used. */
  readonly endpointUnknown: boolean;
}

/**
 * Returns the judgement of the recorded configuration: its policies, not the later effects of
 * networks and limits.
 */
function judgedThen(record: SessionRecord): Judged | { readonly kind: 'skipped'; readonly why: Skipped['why'] } {
  if (record.helloMs < 0) return { kind: 'skipped', why: 'no-hello' };
  const passed = { kind: 'judged', outcome: 'allowed', step: null } as const;
  const end = endOf(record);
  if (end.kind === 'normal' || record.connectMs >= 0) return { ...passed, endpointUnknown: false };
  const { reason, step } = end;
  if (reason === 'internal-error' || step === 'hello') return { kind: 'skipped', why: 'not-judged' };
  // A request that is not served does not decide about the connection.
  if (step === 'request' || step === 'endpoint' || step === 'tls' || step === 'splice') {
    return { ...passed, endpointUnknown: step === 'endpoint' && record.attempts === 0 };
  }
  // A limit, or a client that left, ended it before the judgement.
  return !NO_VERDICT.has(reason)
    ? { kind: 'judged', outcome: reason, step, endpointUnknown: false }
    : { kind: 'skipped', why: 'not-judged' };
}

/** Ends that may come before the judgement. */
const NO_VERDICT: ReadonlySet<EndReason> = new Set<EndReason>([
  'client-gone',
  'over-limit',
  'drained',
  'policy-changed',
  'ended-by-operator',
]);

interface Now {
  readonly outcome: Change['after'];
  readonly decision: Decision;
}

function judgedNow(snapshot: Snapshot, record: SessionRecord): Now {
  const { serverName, client } = factsOfRecord(record);
  const claims = client.kind === 'claims' ? client.claims : null;
  const decision = decide(snapshot, { serverName, client: claims, viewOf: assumedView });
  if (decision.kind === 'allowed') return { outcome: 'allowed', decision };
  const { code } = decision.refusal;
  if (code !== 'no-client-certificate') return { outcome: code, decision };
  // The route depends on the client, and the record has its identity only where it was asked for a
  // certificate.
  if (client.kind === 'rejected') return { outcome: client.refusal.code, decision };
  return { outcome: record.mode === 'terminate' ? code : 'unknown', decision };
}

function changeOf(snapshot: Snapshot, record: SessionRecord, before: Judged, sources: Sources): Change | null {
  const now = judgedNow(snapshot, record);
  const said = describe(record, before, now);
  if (said === null) return null;
  const { decision, outcome } = now;
  const by =
    decision.kind === 'allowed' ? decision.allowed.by : decision.route?.kind === 'terminate' ? decision.route.permission.by : '';
  const place =
    filePlaceOf(sources, `permission:${by}`) ??
    (decision.route === null ? null : filePlaceOf(sources, `route:${decision.route.serverName}`));
  return {
    ...said,
    sni: record.sni,
    client: record.spiffeIds.length > 0 ? record.spiffeIds : record.uris,
    before: before.outcome,
    after: outcome,
    place,
    sessions: 1,
    example: record.id,
  };
}

function describe(record: SessionRecord, before: Judged, { outcome, decision }: Now): Pick<Change, 'kind' | 'text'> | null {
  const isRouted = record.mode !== '';
  const mode = decision.route?.kind ?? '';
  if (decision.route === null) {
    if (!isRouted) return before.outcome === outcome ? null : { kind: 'refused-otherwise', text: detailOf(decision) };
    return { kind: 'no-longer-routed', text: `went to ${record.destination} of mesh ${record.mesh}; ${detailOf(decision)}` };
  }
  if (before.outcome !== 'allowed' && outcome === 'allowed') return { kind: 'newly-allowed', text: passesBy(decision) };
  if (outcome === 'unknown' && !isRouted)
    return { kind: 'newly-routed', text: `leads to ${decision.route.destination} of mesh ${decision.route.mesh} now` };
  if (outcome === 'unknown')
    return {
      kind: 'other-mode',
      text: 'was passed through, and its mTLS ends here now: who may pass cannot be said, the record has no certificate',
    };
  if (before.outcome === 'allowed' && outcome !== 'allowed') return { kind: 'newly-denied', text: detailOf(decision) };
  if (before.outcome !== outcome) return { kind: 'refused-otherwise', text: detailOf(decision) };
  if (outcome !== 'allowed' || decision.kind !== 'allowed') return null;
  if (mode !== record.mode)
    return { kind: 'other-mode', text: `its mTLS ended here, and it is passed through now: the other zone decides who may` };
  const text = endpointChange(record, decision, before.endpointUnknown);
  return text === null ? null : { kind: 'other-endpoints', text };
}

function passesBy(decision: Decision): string {
  if (decision.kind !== 'allowed') return '';
  const { by } = decision.allowed;
  return by === '' ? 'is passed through: the other zone decides who may' : `is let in by ${by}`;
}

function detailOf(decision: Decision): string {
  return decision.kind === 'refused' ? decision.refusal.detail : '';
}

function byKind(a: Change, b: Change): number {
  return CHANGE_KINDS.indexOf(a.kind) - CHANGE_KINDS.indexOf(b.kind) || b.sessions - a.sessions || (a.sni < b.sni ? -1 : 1);
}
