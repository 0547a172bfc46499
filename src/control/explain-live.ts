import type { Clock } from '../base/clock.ts';
import { REFUSALS, refuse } from '../base/refusal.ts';
import type { EndReason, Refusal, RefusalCode, Step } from '../base/refusal.ts';
import { explainWithTargets } from '../explain/explain.ts';
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
import type { RequestRecord } from '../model/request-record.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { hashes } from '../routing/balancers/table.ts';
import { xxHash64 } from '../routing/balancers/xx-hash-64.ts';
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
  /** The configuration that is live; null where none is yet. */
  readonly live: () => GoodConfig | null;
  readonly record: (id: string) => SessionRecord | null;
  /** Of those that were refused. */
  readonly request: (id: string) => RequestRecord | null;
  /** The last sessions that ended in a mesh, the newest first. */
  readonly records: (mesh: string) => readonly SessionRecord[];
  readonly prober: Pick<Prober, 'probe'>;
}

/**
 * Answers on what is live now, with what the control side knows of endpoints at this moment. Which
 * one a session gets is a draw; the first is shown.
 */
export function explainLive(parts: ExplainParts, question: Question): Answer {
  const judged = judge(parts, question, { sessions: sessionsOf(parts), probes: null });
  return judged.kind === 'judged' ? { kind: 'trace', trace: judged.trace } : judged;
}

/**
 * The same, and what a session would dial is dialled, by this process and with the TLS of the
 * endpoint. What would not be dialled by a session is not dialled here.
 */
export async function probeLive(parts: ExplainParts, question: ProbeQuestion): Promise<Answer> {
  // With an empty list of probes the last sessions decide nothing.
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
  const facts = factsOf(question, parts);
  if ('kind' in facts) return facts;
  const config = parts.live();
  if (config === null) return { kind: 'no-record', why: 'no configuration is live yet' };
  const { snapshot, origins, absent = new Map() } = config;
  const viewOf = (cluster: Cluster): EndpointView => view(cluster, facts.clientAddress, parts);
  const live: Live = { ...limitsNow(parts), ...known };
  const { trace, targets } = explainWithTargets(snapshot, facts, viewOf, { origins, absent, live, servesHttp: parts.servesHttp });
  return { kind: 'judged', trace, targets, cluster: snapshot.clusters.get(trace.route?.cluster ?? '') };
}

/** What would refuse a session at this moment whatever it asks for. */
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
 * Those of a route that came to its endpoints, or to the limits before them: who else was denied on
 * the way says nothing.
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

function factsOf(question: Question, { record, request }: ExplainParts): ConnectionFacts | Exclude<Answer, { kind: 'trace' }> {
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
  return typeof claims === 'string' ? { kind: 'bad-question', why: claims } : { ...unknown, client: { kind: 'claims', claims } };
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
    ...(cluster.balancer !== undefined && hashes(cluster.balancer) && client !== '' ? { hashKey: xxHash64(client) } : {}),
  };
}
