// decide(snapshot, facts) and the traffic must come to the same judgement: every scenario's records are judged again.
import { NORMAL_ENDS, REFUSALS } from '../../src/base/refusal.ts';
import type { VerifiedClient } from '../../src/model/client.ts';
import type { EndpointView } from '../../src/model/endpoint-view.ts';
import { meshName, spiffeId } from '../../src/model/names.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { decide } from '../../src/routing/decide.ts';

/** Null: alike, or nothing to compare (another snapshot, a session that ended before it was judged). Otherwise what differs. */
export function decidedAlike(snapshot: Snapshot, record: SessionRecord): string | null {
  if (record.snapshotVersion !== snapshot.version) return null;
  const judged = judgementOf(record);
  if (judged === null) return null;
  const decision = decide(snapshot, {
    serverName: record.sni === '' ? null : record.sni,
    client: clientOf(record),
    view: viewOf(snapshot, record),
  });
  const decided = decision.kind === 'allowed' ? 'allowed' : decision.refusal.code;
  if (decided !== judged) return `traffic came to ${judged}, decide to ${decided}`;
  if (decision.kind === 'allowed' && decision.allowed.by !== record.permission)
    return `traffic was allowed by ${record.permission}, decide by ${decision.allowed.by}`;
  return null;
}

/** What the traffic judged; null where it never came to a judgement that `decide` makes. */
function judgementOf({ reason }: SessionRecord): string | null {
  if (Object.hasOwn(NORMAL_ENDS, reason)) return 'allowed';
  const { step } = REFUSALS[reason as keyof typeof REFUSALS];
  if (step === 'route' || step === 'permission') return reason;
  // Only after the decision is an endpoint dialled; what its names resolve to is not in the record.
  return step === 'tls' ? 'allowed' : null;
}

function clientOf(record: SessionRecord): VerifiedClient | null {
  if (record.mode !== 'terminate' || record.uris.length === 0) return null;
  const { uris, spiffeIds, mesh, certificateIssuer: issuer, certificateExpiry: expiry } = record;
  return { mesh: meshName(mesh), uris, spiffeIds: spiffeIds.map(spiffeId), issuer, expiry } as unknown as VerifiedClient;
}

/** Every name resolves to an address that may be dialled. */
function viewOf(snapshot: Snapshot, record: SessionRecord): EndpointView {
  const endpoints = snapshot.clusters.get(record.cluster)?.endpoints ?? [];
  const names = endpoints.flatMap(({ address }) =>
    address.kind === 'name' ? [[address.name, { kind: 'resolved', addresses: ['192.0.2.1'] }] as const] : [],
  );
  return { turn: 0, names: new Map(names), ownListeners: [], localAddresses: new Set(), allowedResolved: [] };
}
