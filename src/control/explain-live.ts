import { explain } from '../explain/explain.ts';
import { factsOfRecord } from '../explain/facts.ts';
import type { ConnectionFacts } from '../explain/facts.ts';
import type { Answer, Question } from '../explain/question.ts';
import { claimsOf } from '../identity/claims.ts';
import type { Cluster } from '../model/cluster.ts';
import type { Compiled } from '../model/compiled.ts';
import type { EndpointView } from '../model/endpoint-view.ts';
import type { SessionRecord } from '../model/session-record.ts';
import { hashes } from '../routing/balancers/table.ts';
import { xxHash64 } from '../routing/balancers/xx-hash-64.ts';
import type { DataSides } from './data-sides.ts';
import { localAddresses } from '../base/local-addresses.ts';

export interface ExplainParts {
  readonly sides: Pick<DataSides, 'names' | 'ownListeners' | 'healthOf'>;
  readonly allowedResolved: readonly string[];
  /** The configuration that is live; null where none is yet. */
  readonly live: () => Extract<Compiled, { kind: 'compiled' }> | null;
  readonly record: (id: string) => SessionRecord | null;
}

/** Answers on what is live now, with what the control side knows of endpoints at this moment. Which one a session gets is a draw; the first is shown. */
export function explainLive(parts: ExplainParts, question: Question): Answer {
  const facts = factsOf(question, parts);
  if ('kind' in facts) return facts;
  const config = parts.live();
  if (config === null) return { kind: 'no-record', why: 'no configuration is live yet' };
  const { snapshot, origins, absent = new Map() } = config;
  const viewOf = (cluster: Cluster): EndpointView => view(cluster, facts.clientAddress, parts);
  return { kind: 'trace', trace: explain(snapshot, facts, viewOf, { origins, absent }) };
}

function factsOf(question: Question, { record }: ExplainParts): ConnectionFacts | Exclude<Answer, { kind: 'trace' }> {
  if ('id' in question) {
    const found = record(question.id);
    if (found !== null) return factsOfRecord(found);
    return { kind: 'no-record', why: `session ${JSON.stringify(question.id)}: not among the last ones that ended` };
  }
  const { sni: serverName, from = [] } = question;
  const unknown = { serverName, alpn: [], tlsVersion: '', clientAddress: '', record: null };
  if (from.length === 0) return { ...unknown, client: { kind: 'none' } };
  const claims = claimsOf(from);
  return typeof claims === 'string' ? { kind: 'bad-question', why: claims } : { ...unknown, client: { kind: 'claims', claims } };
}

function view(cluster: Cluster, client: string, { sides, allowedResolved }: ExplainParts): EndpointView {
  const { names, ownListeners } = sides;
  return {
    turn: 0,
    draw: 0,
    names,
    ownListeners,
    localAddresses: localAddresses(),
    allowedResolved,
    health: sides.healthOf(cluster.name),
    ...(cluster.balancer !== undefined && hashes(cluster.balancer) && client !== '' ? { hashKey: xxHash64(client) } : {}),
  };
}
