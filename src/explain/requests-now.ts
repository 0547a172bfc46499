/** Judges recorded requests in a configuration, in the stages of traffic. */
import { takeToken } from '../base/token-bucket.ts';
import type { RefusalCode } from '../base/refusal.ts';
import type { HttpFault, HttpRoute, RequestRateLimit } from '../model/http-route.ts';
import { serverName } from '../model/names.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { decide } from '../routing/decide.ts';
import type { Decision } from '../routing/decide.ts';
import { limitId, limitOf, mayHold } from '../routing/request-rules.ts';
import type { KnownSender } from '../routing/request-rules.ts';
import { assumedView } from './assumed-view.ts';
import { statusOf } from './explain.ts';
import { factsOfRequest } from './facts.ts';
import { limitText, senderOf } from './request-step.ts';

/** A request in the configuration under test. */
export interface RequestNow {
  readonly outcome: 'allowed' | RefusalCode;
  /**
   * The status that the egress answers itself: 0 ends the connection, null leaves the answer to the
   * service.
   */
  readonly status: number | null;
  readonly decision: Decision;
  /** The limit or the fault that answers it; empty without one. */
  readonly by: string;
  /** True when a rule reads a header that was not recorded: its effect is taken from the record. */
  readonly isPartial: boolean;
}

/** Returns the results in the order of the records. */
export function requestsNow(snapshot: Snapshot, records: readonly RequestRecord[]): readonly RequestNow[] {
  const asked = records.map((record) => askOne(snapshot, record));
  const refused = refusedByLimits(asked);
  return asked.map(({ record, now, limit, after }) => {
    if (limit === null) return now;
    if (!refused.has(record)) return after;
    return { ...now, outcome: 'over-limit', status: limit.status ?? 429, by: `a ${limitText(limit)}` };
  });
}

interface Asked {
  readonly record: RequestRecord;
  /** The result without the limit. */
  readonly now: RequestNow;
  /** The result where the limit admits it. */
  readonly after: RequestNow;
  /** The limit that counts it; null without one. */
  readonly limit: RequestRateLimit | null;
}

function askOne(snapshot: Snapshot, record: RequestRecord): Asked {
  const { serverName: sni, client, request } = factsOfRequest(record);
  const claims = client.kind === 'claims' ? client.claims : null;
  const decision = decide(snapshot, { serverName: sni, client: claims, viewOf: assumedView });
  const { route } = decision;
  const http = route?.kind === 'terminate' ? route.http : undefined;
  const now: RequestNow = { outcome: 'allowed', status: null, decision, by: '', isPartial: false };
  if (decision.kind === 'refused') {
    const status = http === undefined ? 0 : statusOf(http, decision.refusal);
    const refused: RequestNow = { ...now, outcome: decision.refusal.code, status };
    return { record, now: refused, after: refused, limit: null };
  }
  if (http === undefined || request === undefined) return { record, now, after: now, limit: null };
  const sender = senderOf(request, record.uris);
  const faulted = withFaults(http, sender, { now, record });
  const counted = limitOf(http, sender);
  if (counted === undefined || isPart(counted)) {
    const taken: RequestNow = { ...faulted, isPartial: faulted.isPartial || counted === undefined };
    const isRefused = wasLimited(record) && faulted.outcome === 'allowed';
    const as: RequestNow = isRefused ? { ...taken, outcome: 'over-limit', status: record.status } : taken;
    return { record, now: as, after: as, limit: null };
  }
  // A fault that answers comes first, unless the limit does.
  const limit = faulted.outcome === 'allowed' || http.limitsFirst === true ? counted : null;
  return { record, now: limit === null ? faulted : now, after: faulted, limit };
}

/** Tells whether chance decides if a request takes a token, or is refused. */
function isPart(limit: RequestRateLimit | null): boolean {
  return limit !== null && ((limit.percent ?? 100) < 100 || (limit.enforcedPercent ?? 100) < 100);
}

/**
 * Applies faults. The record decides about a fault that is drawn, and about one whose rules cannot
 * be evaluated.
 */
function withFaults(
  { faults = [] }: HttpRoute,
  sender: KnownSender,
  { now, record }: { readonly now: RequestNow; readonly record: RequestRecord },
): RequestNow {
  let isPartial = false;
  for (const { clients, abort } of faults) {
    const isMet = mayHold(clients, sender);
    if (abort === undefined || isMet === false) continue;
    isPartial ||= isMet === null;
    const isDrawn = record.reason === 'fault-injected' && record.status === abort.status;
    if ((isMet === true && abort.percent >= 100) || isDrawn)
      return { ...now, outcome: 'fault-injected', status: abort.status, by: abortText(abort), isPartial };
  }
  return { ...now, isPartial };
}

/**
 * Finds the requests that limits refuse. A limit that counts the same requests as before refuses
 * the same ones; any other is replayed with the times of the records, from a full bucket.
 */
function refusedByLimits(asked: readonly Asked[]): ReadonlySet<RequestRecord> {
  const then = new Map<string, number>();
  for (const { record } of asked) {
    if (record.rateLimit !== '') add(then, `${serverName(record.sni)} ${record.rateLimit}`);
  }
  const buckets = new Map<string, { readonly limit: RequestRateLimit; readonly of: Asked[] }>();
  for (const each of asked) {
    const { limit, now } = each;
    if (limit === null) continue;
    const key = `${now.decision.route?.serverName ?? ''} ${limitId(limit)}`;
    const bucket = buckets.get(key) ?? { limit, of: [] };
    bucket.of.push(each);
    buckets.set(key, bucket);
  }
  const refused = new Set<RequestRecord>();
  for (const [key, { limit, of }] of buckets) {
    const isAsThen = then.get(key) === of.length && of.every(({ record }) => record.rateLimit === limitId(limit));
    let bucket = 0;
    for (const { record } of of.sort((a, b) => a.record.startedAt - b.record.startedAt)) {
      const { admitted, next } = takeToken(bucket, {
        wallMs: record.startedAt,
        tokens: limit.requests,
        intervalMs: limit.intervalMs,
      });
      bucket = next;
      if (isAsThen ? wasLimited(record) : !admitted) refused.add(record);
    }
  }
  return refused;
}

/** Tells whether a rate limit refused it, and not a breaker of the cluster. */
export function wasLimited({ reason, flags }: RequestRecord): boolean {
  return reason === 'over-limit' && flags.split(',').includes('RL');
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function abortText({ status }: NonNullable<HttpFault['abort']>): string {
  return `a fault that answers ${status}`;
}
