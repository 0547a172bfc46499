import type { Clock } from '../base/clock.ts';
import { REFUSALS, refuse } from '../base/refusal.ts';
import type { EndReason, Refusal, RefusalCode, Step } from '../base/refusal.ts';
import { explainWithTargets } from '../explain/explain.ts';
import { claimedClient } from '../explain/claimed-client.ts';
import { factsOfRecord, factsOfRequest } from '../explain/facts.ts';
import type { ConnectionFacts } from '../explain/facts.ts';
import type { Live } from '../explain/live.ts';
import { askedRequest } from '../explain/question.ts';
import type { Answer, ProbeQuestion, Question } from '../explain/question.ts';
import type { Trace } from '../explain/trace.ts';
import { claimsOf } from '../identity/claims.ts';
import type { Cluster } from '../model/cluster.ts';
import type { GoodConfig } from '../model/compiled.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { Route } from '../model/route.ts';
import { EMPTY_SNAPSHOT } from '../model/snapshot.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { hashKeyOf } from '../routing/balancers/table.ts';
import type { Target } from '../routing/choose.ts';
import { printable } from '../routing/route.ts';
import type { Full } from '../traffic/breakers.ts';
import type { WorkerPool } from './worker-pool.ts';
import type { Prober } from './probe-endpoints.ts';
import { localAddresses } from '../base/local-addresses.ts';

export interface ExplainParts {
  readonly clock: Clock;
  readonly workers: Pick<WorkerPool, 'names' | 'ownListeners' | 'healthOf' | 'credentials' | 'breakers'>;
  readonly allowedResolved: readonly string[];
  readonly servesHttp: boolean;
  /** Returns the live configuration; null before the first. */
  readonly live: () => GoodConfig | null;
  readonly record: (id: string) => SessionRecord | null;
  /** Finds a refused request. */
  readonly request: (id: string) => RequestRecord | null;
  /** Returns the last ended sessions of a mesh, newest first. */
  readonly records: (mesh: string) => readonly SessionRecord[];
  readonly prober: Pick<Prober, 'probe'>;
}

/**
 * Answers for the live configuration, with the state of endpoints at this moment. A session's
 * endpoint is drawn at random; the answer shows the first.
 */
export function explainLive(parts: ExplainParts, question: Question): Answer {
  const judged = judge(parts, question, { sessions: sessionsOf(parts), probes: null });
  return judged.kind === 'judged' ? { kind: 'trace', trace: judged.trace } : judged;
}

/**
 * Answers, and dials what a session would dial, from this process and with the TLS of the endpoint.
 * It never dials what a session must not.
 */
export async function probeLive(parts: ExplainParts, question: ProbeQuestion): Promise<Answer> {
  // With an empty list of probes the last sessions have no effect.
  const judged = judge(parts, question, { sessions: sessionsOf(parts), probes: [] });
  if (judged.kind !== 'judged') return judged;
  const { cluster, targets, trace } = judged;
  if (trace.outcome === 'refused' || cluster === undefined) {
    const note = `nothing was dialled: the connection ends at the step ${trace.endsAt ?? ''}`;
    return { kind: 'trace', trace: { ...trace, notes: [...trace.notes, note] } };
  }
  const probes = await parts.prober.probe(cluster, targets);
  if (probes === null) return { kind: 'busy', why: 'endpoints are being dialled for other questions: ask again' };
  const dialled = judge(parts, question, { sessions: sessionsOf(parts), probes });
  return dialled.kind === 'judged' ? { kind: 'trace', trace: dialled.trace } : dialled;
}

interface Judged {
  readonly kind: 'judged';
  readonly trace: Trace;
  readonly cluster: Cluster | undefined;
  readonly targets: readonly Target[];
}

function judge(
  parts: ExplainParts,
  question: Question,
  known: Pick<Live, 'sessions' | 'probes'>,
): Judged | Exclude<Answer, { kind: 'trace' }> {
  const config = parts.live();
  const facts = factsOf(question, parts, config?.snapshot ?? EMPTY_SNAPSHOT);
  if ('kind' in facts) return facts;
  if (config === null) return { kind: 'no-record', why: 'no configuration is live yet' };
  const { snapshot, origins, absent = new Map() } = config;
  const viewOf = (cluster: Cluster): EndpointView => view(cluster, facts.clientAddress, parts);
  const live: Live = { ...limitsNow(parts), ...known };
  const { trace, targets } = explainWithTargets(snapshot, facts, viewOf, { origins, absent, live, servesHttp: parts.servesHttp });
  return { kind: 'judged', trace, targets, cluster: snapshot.clusters.get(trace.route?.cluster ?? '') };
}

/** Returns the refusals of this moment that do not depend on the SNI. */
function limitsNow({ clock, workers }: ExplainParts): Pick<Live, 'identity' | 'rate' | 'breaker'> {
  const { breakers, credentials } = workers;
  return {
    identity(mesh) {
      const mine = credentials.find((each) => each.mesh === mesh);
      if (mine === undefined) return refuse('identity-unavailable', `the egress has no certificate for mesh ${mesh}`);
      if (mine.notAfter > clock.wall()) return null;
      return refuse(
        'identity-unavailable',
        `the certificate of the egress for mesh ${mesh} expired ${new Date(mine.notAfter).toISOString()}`,
      );
    },
    rate: (route) => refusalOf(breakers.wouldAdmit(route)),
    breaker: (cluster) => refusalOf(breakers.wouldEnter(cluster)),
  };
}

function refusalOf(full: Full | null): Refusal | null {
  return full === null ? null : refuse('over-limit', full.detail);
}

/**
 * Keeps sessions of a route that reached its endpoints, or the limits before them: a denial of
 * another client has no meaning here.
 */
function sessionsOf({ records }: ExplainParts): Live['sessions'] {
  const known = new Map<Route, readonly SessionRecord[]>();
  return (route) => {
    const before = known.get(route);
    if (before !== undefined) return before;
    const name = printable(route.serverName).toLowerCase();
    const found = records(route.mesh).filter(({ reason, cluster, mode, sni, connectMs }) => {
      const isPath = cluster === route.cluster && mode === route.kind && sni.toLowerCase() === name;
      return isPath && (connectMs >= 0 || isAtEndpoint(reason));
    });
    known.set(route, found);
    return found;
  };
}

function isAtEndpoint(reason: EndReason): boolean {
  return Object.hasOwn(REFUSALS, reason) && AT_ENDPOINT.has(REFUSALS[reason as RefusalCode].step);
}

const AT_ENDPOINT: ReadonlySet<Step> = new Set(['endpoint', 'tls']);

function factsOf(
  question: Question,
  { record, request }: ExplainParts,
  snapshot: Snapshot,
): ConnectionFacts | Exclude<Answer, { kind: 'trace' }> {
  if ('id' in question) {
    const found = record(question.id);
    if (found !== null) return factsOfRecord(found);
    const refused = request(question.id);
    if (refused !== null) return factsOfRequest(refused);
    return { kind: 'no-record', why: `session ${JSON.stringify(question.id)}: not among the last ones that ended` };
  }
  const { sni: serverName, from = [] } = question;
  const asked = askedRequest(question);
  if (typeof asked === 'string') return { kind: 'bad-question', why: asked };
  const about = asked === null ? {} : { request: asked };
  const unknown = { serverName, alpn: [], tlsVersion: '', clientAddress: '', record: null, ...about };
  if (from.length === 0) return { ...unknown, client: { kind: 'none' } };
  const claims = claimsOf(from);
  if (typeof claims === 'string') return { kind: 'bad-question', why: claims };
  return { ...unknown, client: claimedClient(snapshot, serverName, claims) };
}

function view(cluster: Cluster, client: string, { workers, allowedResolved }: ExplainParts): EndpointView {
  const { names, ownListeners } = workers;
  return {
    turn: 0,
    draw: 0,
    names,
    ownListeners,
    localAddresses: localAddresses(),
    allowedResolved,
    health: workers.healthOf(cluster.name),
    ...hashKeyOf(cluster, client),
  };
}
