/**
 * Recorded sessions over another configuration: which of them come to another end. Judged by
 * `decide`, as traffic is, from what the records hold. What they do not hold is not guessed: names
 * are taken to resolve, endpoints to be healthy, and a certificate that was refused to be refused
 * again.
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
 * Of what `-o json` gives. Goes up when a field goes away or means something else; new fields do
 * not count.
 */
export const SIMULATION_VERSION = 1;

export type ChangeKind =
  /** Was refused, passes now. */
  | 'newly-allowed'
  /**
   * Had no route and has one that ends the mTLS: who may pass it cannot be said, as nobody asked
   * for a certificate then.
   */
  | 'newly-routed'
  | 'newly-denied'
  /** Had a route. */
  | 'no-longer-routed'
  /** Passed through before and is terminated now, or the other way round. */
  | 'other-mode'
  | 'other-endpoints'
  /** Was refused and is, by another code. */
  | 'refused-otherwise';

/** The order in which they are listed. */
export const CHANGE_KINDS: readonly ChangeKind[] = [
  'newly-allowed',
  'newly-routed',
  'newly-denied',
  'no-longer-routed',
  'other-mode',
  'other-endpoints',
  'refused-otherwise',
];

/** All sessions of one client to one SNI that change alike. */
export interface Change {
  readonly kind: ChangeKind;
  readonly sni: string;
  /** SPIFFE ids; empty where no certificate was asked for. */
  readonly client: readonly string[];
  /** `allowed`, or the code of the refusal. */
  readonly before: 'allowed' | RefusalCode;
  readonly after: 'allowed' | 'unknown' | RefusalCode;
  /** What there is to say of it. */
  readonly text: string;
  /** What decides now. */
  readonly place: FilePlace | null;
  readonly sessions: number;
  /** The id of one of them. */
  readonly example: string;
}

export interface Simulation {
  readonly version: typeof SIMULATION_VERSION;
  readonly configuration: { readonly version: string; readonly zone: string };
  /** All that were read. */
  readonly sessions: number;
  readonly replayed: number;
  readonly changes: readonly Change[];
  readonly skipped: readonly Skipped[];
  /** Replayed as far as the permission only: no endpoint could be used then. */
  readonly endpointsUnknown: number;
  /** Their certificate was refused, and is taken to be. */
  readonly certificatesTaken: number;
}

/** Sessions whose facts do not suffice, by how they ended. */
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
  /** The judgement let it pass, and no endpoint could be used. */
  readonly endpointUnknown: boolean;
}

/**
 * What the configuration of then made of a session: as far as policy goes, not what networks and
 * limits did to it later.
 */
function judgedThen(record: SessionRecord): Judged | { readonly kind: 'skipped'; readonly why: Skipped['why'] } {
  if (record.helloMs < 0) return { kind: 'skipped', why: 'no-hello' };
  const passed = { kind: 'judged', outcome: 'allowed', step: null } as const;
  const end = endOf(record);
  if (end.kind === 'normal' || record.connectMs >= 0) return { ...passed, endpointUnknown: false };
  const { reason, step } = end;
  if (reason === 'internal-error' || step === 'hello') return { kind: 'skipped', why: 'not-judged' };
  // A request that is not served says nothing of the connection.
  if (step === 'request' || step === 'endpoint' || step === 'tls' || step === 'splice') {
    return { ...passed, endpointUnknown: step === 'endpoint' && record.attempts === 0 };
  }
  // A limit, or a client that went, came before the judgement.
  const isVerdict = reason !== 'client-gone' && reason !== 'over-limit' && reason !== 'drained' && reason !== 'policy-changed';
  return isVerdict ? { kind: 'judged', outcome: reason, step, endpointUnknown: false } : { kind: 'skipped', why: 'not-judged' };
}

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
  // The route asks who the client is, and the record only says so where it was asked then too.
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
