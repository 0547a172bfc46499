/**
 * Judges recorded requests in another configuration: finds those with another answer, by client,
 * service, method and pattern of the path.
 */
import type { EndReason, RefusalCode } from '../base/refusal.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { endOf, factsOfRequest } from './facts.ts';
import { endpointChange } from './other-endpoints.ts';
import { PathPatterns } from './path-pattern.ts';
import { requestsNow, wasLimited } from './requests-now.ts';
import type { RequestNow } from './requests-now.ts';
import { NO_SOURCES, filePlaceOf } from './trace.ts';
import type { FilePlace, Sources } from './trace.ts';

export type RequestChangeKind =
  /** Refused by the permission or the configuration before, passes now. */
  | 'newly-allowed'
  | 'no-longer-limited'
  | 'no-longer-faulted'
  | 'newly-denied'
  | 'newly-limited'
  | 'newly-faulted'
  | 'no-longer-routed'
  /** Passes to another service, endpoint or Host. */
  | 'other-route'
  /** No longer read as a request: the bytes of its connection pass unchanged. */
  | 'not-looked-at'
  /** Refused before and now, with different answers. */
  | 'refused-otherwise';

/** In the order of the listing. */
export const REQUEST_CHANGE_KINDS: readonly RequestChangeKind[] = [
  'newly-allowed',
  'no-longer-limited',
  'no-longer-faulted',
  'newly-denied',
  'newly-limited',
  'newly-faulted',
  'no-longer-routed',
  'other-route',
  'not-looked-at',
  'refused-otherwise',
];

/** All requests of one kind with the same change. */
export interface RequestChange {
  readonly kind: RequestChangeKind;
  readonly sni: string;
  readonly destination: string;
  /** SPIFFE ids. */
  readonly client: readonly string[];
  readonly method: string;
  /** `/orders/{id}`. */
  readonly path: string;
  readonly before: 'allowed' | RefusalCode;
  readonly after: 'allowed' | RefusalCode;
  /**
   * The answer of the egress itself; 0 where the connection ends, null where the service answers.
   */
  readonly status: { readonly before: number | null; readonly after: number | null };
  readonly text: string;
  readonly place: FilePlace | null;
  readonly requests: number;
  /** Number of replayed requests of this client, service, method and path. */
  readonly of: number;
  /** The id of one of them. */
  readonly example: string;
}

export interface RequestSimulation {
  /** Number of requests read. */
  readonly requests: number;
  readonly replayed: number;
  readonly changes: readonly RequestChange[];
  /** Requests that no configuration decides, by how they ended. */
  readonly skipped: readonly { readonly reason: EndReason; readonly requests: number }[];
  /** Requests for which a rule reads a header that was not recorded. */
  readonly headersUnknown: number;
}

export function simulateRequests(
  snapshot: Snapshot,
  all: readonly RequestRecord[],
  sources: Sources = NO_SOURCES,
): RequestSimulation {
  const skipped = new Map<EndReason, number>();
  const records = all.filter((record) => {
    const isJudged = !NOT_JUDGED.has(record.reason);
    if (!isJudged) skipped.set(record.reason, (skipped.get(record.reason) ?? 0) + 1);
    return isJudged;
  });
  const nows = requestsNow(snapshot, records);
  const patterns = new PathPatterns();
  const counts = new Map<string, number>();
  const changes = new Map<string, { readonly change: RequestChange; readonly group: string; requests: number }>();
  for (const [i, record] of records.entries()) {
    const now = nows[i];
    if (now === undefined) continue;
    const owner = JSON.stringify([record.sni, record.spiffeIds, record.method]);
    const path = patterns.of(record.path, owner);
    const group = `${owner} ${path}`;
    counts.set(group, (counts.get(group) ?? 0) + 1);
    const change = changeOf(record, now, { path, sources });
    if (change === null) continue;
    const key = JSON.stringify([group, change.kind, change.before, change.after, change.status, change.text]);
    const known = changes.get(key);
    if (known === undefined) changes.set(key, { change, group, requests: 1 });
    else known.requests++;
  }
  return {
    requests: all.length,
    replayed: records.length,
    changes: [...changes.values()]
      .map(({ change, group, requests }) => ({ ...change, requests, of: counts.get(group) ?? requests }))
      .sort(byKind),
    skipped: [...skipped].map(([reason, requests]) => ({ reason, requests })),
    headersUnknown: nows.filter(({ isPartial }) => isPartial).length,
  };
}

/** Ends that do not depend on the configuration. */
export const NOT_JUDGED: ReadonlySet<EndReason> = new Set<EndReason>([
  'malformed-request',
  'internal-error',
  'policy-changed',
  'drained',
  'ended-by-operator',
]);

/**
 * Returns the judgement of the recorded configuration, without the effects of the service and the
 * network.
 */
function outcomeThen(record: RequestRecord): 'allowed' | RefusalCode {
  const end = endOf(recordOf(record));
  if (end.kind === 'normal' || record.forwarded) return 'allowed';
  if (end.reason === 'fault-injected' || wasLimited(record)) return end.reason;
  return POLICY_STEPS.has(end.step) ? end.reason : 'allowed';
}

const POLICY_STEPS: ReadonlySet<string> = new Set(['route', 'identity', 'permission']);

function recordOf(record: RequestRecord): NonNullable<ReturnType<typeof factsOfRequest>['record']> {
  const { record: session } = factsOfRequest(record);
  if (session === null) throw new TypeError('a recorded request without its record');
  return session;
}

function changeOf(
  record: RequestRecord,
  now: RequestNow,
  { path, sources }: { readonly path: string; readonly sources: Sources },
): RequestChange | null {
  const before = outcomeThen(record);
  const status = { before: before === 'allowed' ? null : record.status, after: now.status };
  const said = describe(record, now, { before, status });
  if (said === null) return null;
  const { decision } = now;
  const { route } = decision;
  const by = decision.kind === 'allowed' ? decision.allowed.by : route?.kind === 'terminate' ? route.permission.by : '';
  const place =
    filePlaceOf(sources, `permission:${by}`) ?? (route === null ? null : filePlaceOf(sources, `route:${route.serverName}`));
  return {
    ...said,
    sni: record.sni,
    destination: record.destination,
    client: record.spiffeIds.length > 0 ? record.spiffeIds : record.uris,
    method: record.method,
    path,
    before,
    after: now.outcome,
    status,
    // A limit or a fault is not at the place of the permission.
    place: now.by === '' ? place : null,
    requests: 1,
    of: 1,
    example: record.id,
  };
}

type Told = Pick<RequestChange, 'kind' | 'text'>;

function describe(
  record: RequestRecord,
  now: RequestNow,
  { before, status }: Pick<RequestChange, 'before' | 'status'>,
): Told | null {
  const { decision, outcome } = now;
  const why = now.by !== '' ? now.by : decision.kind === 'refused' ? decision.refusal.detail : '';
  if (decision.route === null)
    return before === outcome
      ? null
      : { kind: 'no-longer-routed', text: `went to ${record.destination} of mesh ${record.mesh}; ${why}` };
  if (outcome !== 'allowed') {
    if (before === outcome && status.before === status.after) return null;
    if (before !== 'allowed') return { kind: 'refused-otherwise', text: why };
    return {
      kind: outcome === 'over-limit' ? 'newly-limited' : outcome === 'fault-injected' ? 'newly-faulted' : 'newly-denied',
      text: why,
    };
  }
  if (decision.kind === 'refused') return null;
  if (before === 'over-limit') return { kind: 'no-longer-limited', text: 'no rate limit of now refuses it' };
  if (before === 'fault-injected') return { kind: 'no-longer-faulted', text: 'no fault of now answers it' };
  const { by } = decision.allowed;
  if (before !== 'allowed')
    return {
      kind: 'newly-allowed',
      text: by === '' ? 'is passed through: the other zone decides who may' : `is let in by ${by}`,
    };
  const text = elsewhere(record, now);
  if (text !== null) return { kind: 'other-route', text };
  const isLookedAt = decision.route.kind === 'terminate' && decision.route.http !== undefined;
  return isLookedAt ? null : { kind: 'not-looked-at', text: 'its bytes pass as they are now: no rule for requests holds' };
}

/** Returns the new target of a request that passes as before; null for the same one. */
function elsewhere(record: RequestRecord, { decision }: RequestNow): string | null {
  if (decision.kind !== 'allowed') return null;
  const { route, targets } = decision;
  const text = endpointChange(recordOf(record), decision, !record.forwarded);
  if (text !== null || !record.forwarded || record.host === '') return text;
  if (route.kind !== 'terminate' || route.http === undefined) return null;
  const { autoHostRewrite } = route.http;
  const hosts = targets.map(({ endpoint: { address } }) =>
    autoHostRewrite && address.kind === 'name' ? address.name : record.authority,
  );
  if (hosts.length === 0 || hosts.includes(record.host)) return null;
  return `went out with the Host ${record.host}, goes out with ${[...new Set(hosts)].slice(0, 3).join(', ')} now`;
}

function byKind(a: RequestChange, b: RequestChange): number {
  return (
    REQUEST_CHANGE_KINDS.indexOf(a.kind) - REQUEST_CHANGE_KINDS.indexOf(b.kind) ||
    b.requests - a.requests ||
    (a.sni < b.sni ? -1 : a.sni > b.sni ? 1 : 0)
  );
}
