// Checks that decide(snapshot, facts), explain and traffic come to the same judgement: the records
// of every scenario are judged and explained again.
import { NORMAL_ENDS, REFUSALS } from '../../src/base/refusal.ts';
import { assumedView } from '../../src/explain/assumed-view.ts';
import { explain } from '../../src/explain/explain.ts';
import { factsOfRecord } from '../../src/explain/facts.ts';
import type { EndpointView } from '../../src/model/endpoint-view.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { decide } from '../../src/routing/decide.ts';

/**
 * Returns null for equal judgements, or nothing to compare (another snapshot). Otherwise returns
 * the difference.
 */
export function decidedAlike(snapshot: Snapshot, record: SessionRecord): string | null {
  if (record.snapshotVersion !== snapshot.version) return null;
  return decidedOtherwise(snapshot, record) ?? explainedOtherwise(snapshot, record);
}

function decidedOtherwise(snapshot: Snapshot, record: SessionRecord): string | null {
  const judged = judgementOf(record);
  // A session that ended before it was judged.
  if (judged === null) return null;
  const { serverName, client } = factsOfRecord(record);
  const claims = client.kind === 'claims' ? client.claims : null;
  const decision = decide(snapshot, { serverName, client: claims, viewOf: () => viewOf(snapshot, record) });
  const decided = decision.kind === 'allowed' ? 'allowed' : decision.refusal.code;
  if (decided !== judged) return `traffic came to ${judged}, decide to ${decided}`;
  if (decision.kind === 'allowed' && decision.allowed.by !== record.permission)
    return `traffic was allowed by ${record.permission}, decide by ${decision.allowed.by}`;
  return null;
}

function explainedOtherwise(snapshot: Snapshot, record: SessionRecord): string | null {
  const trace = explain(snapshot, factsOfRecord(record), assumedView);
  if (trace.reason !== record.reason) return `traffic ended with ${record.reason}, explain with ${trace.reason ?? 'nothing'}`;
  const got = record.connectMs >= 0 || Object.hasOwn(NORMAL_ENDS, record.reason);
  // A session that was ended for others had its endpoint, and no handshake with it.
  const wasRefusedLate = record.reason === 'upstream-tls-failed' || record.reason === 'over-limit';
  if (got && !wasRefusedLate && trace.outcome !== 'allowed')
    return `the session got to its endpoint, explain ends at ${trace.endsAt}`;
  if (!got && trace.outcome !== 'refused') return 'the session never got to its endpoint, explain lets it pass';
  if (trace.outcome === 'refused' && (trace.detail === '' || (trace.advice?.text ?? '') === '')) return 'explain gives no reason';
  return null;
}

/** Returns the judgement of traffic; null where it made none that `decide` makes. */
function judgementOf({ reason }: SessionRecord): string | null {
  if (Object.hasOwn(NORMAL_ENDS, reason)) return 'allowed';
  const { step } = REFUSALS[reason as keyof typeof REFUSALS];
  if (step === 'route' || step === 'permission') return reason;
  // An endpoint is dialled only after the decision; the addresses of its names are not in the
  // record.
  return DIALLED.has(reason) ? 'allowed' : null;
}

const DIALLED: ReadonlySet<string> = new Set(['connect-timeout', 'connect-refused', 'upstream-tls-failed']);

function viewOf(snapshot: Snapshot, record: SessionRecord): EndpointView {
  const cluster = snapshot.clusters.get(record.cluster);
  return assumedView(cluster ?? { name: '', endpoints: [], connectTimeoutMs: 0 });
}
