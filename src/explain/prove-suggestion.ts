/**
 * Proves a suggestion with the code of `simulate` and `diff`: whether its records are let in by a
 * configuration that has it, and whose access it changes beside.
 */
import { REFUSALS } from '../base/refusal.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { accessChange, domainsOf } from './access-change.ts';
import { simulate } from './simulate.ts';
import type { Change } from './simulate.ts';
import { simulateRequests } from './simulate-requests.ts';
import type { SeenUse } from './seen-use.ts';

export interface SuggestionProof {
  readonly sessions: LetIn;
  readonly requests: LetIn;
  /** The reasons why some are not let in. */
  readonly notLetIn: readonly string[];
  /** Clients that gain access and were not seen at the destination. */
  readonly opened: readonly AccessOf[];
  /** Clients that lose access. */
  readonly closed: readonly AccessOf[];
  /** True where a permission names too many clients to compare all combinations of their tags. */
  readonly isPartial: boolean;
}

export interface LetIn {
  /** The number that can be replayed. */
  readonly of: number;
  readonly letIn: number;
}

export interface AccessOf {
  readonly sni: string;
  readonly clients: readonly string[];
}

export function isProved({ sessions, requests, opened }: SuggestionProof): boolean {
  return sessions.letIn === sessions.of && requests.letIn === requests.of && opened.length === 0;
}

/** `after` is the configuration with the suggestion, which is made of these uses. */
export function proveSuggestion(uses: readonly SeenUse[], before: Snapshot, after: Snapshot): SuggestionProof {
  const passed = uses.filter((use) => use.passed !== 'refused');
  const refused = uses.filter((use) => use.passed === 'refused');
  const [ofPassed, ofRefused] = [replay(after, passed), replay(after, refused)];
  // A record without a change keeps its outcome.
  const sum = (what: 'sessions' | 'requests'): LetIn => ({
    of: ofPassed[what].of + ofRefused[what].of,
    letIn: ofPassed[what].of - ofPassed[what].refused + ofRefused[what].allowed,
  });
  const sessions = sum('sessions');
  const requests = sum('requests');
  const stillRefused = ofRefused.sessions.of + ofRefused.requests.of - ofRefused.sessions.allowed - ofRefused.requests.allowed;
  const why = stillRefused === 0 ? [] : ['some that were refused are refused again'];
  return {
    sessions,
    requests,
    notLetIn: [...new Set([...ofPassed.why, ...why])].sort(),
    ...accessOf(uses, before, after),
  };
}

interface Replayed {
  readonly of: number;
  /** The numbers of those with another outcome. */
  readonly allowed: number;
  readonly refused: number;
}

function replay(
  after: Snapshot,
  uses: readonly SeenUse[],
): { readonly sessions: Replayed; readonly requests: Replayed; readonly why: readonly string[] } {
  const sessions = simulate(
    after,
    uses.flatMap((use) => use.sessions),
  );
  const requests = simulateRequests(
    after,
    uses.flatMap((use) => use.requests),
  );
  const ofSessions = sessions.changes.map((change) => ({ ...change, count: change.sessions }));
  const ofRequests = requests.changes.map((change) => ({ ...change, count: change.requests }));
  const refused = [...ofSessions, ...ofRequests].filter(({ after: now }) => isRefusedByPolicy(now));
  return {
    sessions: { of: sessions.replayed, ...counted(ofSessions) },
    requests: { of: requests.replayed, ...counted(ofRequests) },
    why: refused.map(({ sni, client, text }) => `${client.join(', ')} at ${sni}: ${text}`),
  };
}

function counted(
  changes: readonly { readonly after: Change['after']; readonly count: number }[],
): Pick<Replayed, 'allowed' | 'refused'> {
  const sum = (isCounted: (after: Change['after']) => boolean): number =>
    changes.reduce((all, { after, count }) => all + (isCounted(after) ? count : 0), 0);
  return { allowed: sum((after) => !isRefusedByPolicy(after)), refused: sum(isRefusedByPolicy) };
}

/** A limit, a fault or an endpoint is not the affair of a permission. */
function isRefusedByPolicy(after: Change['after']): boolean {
  if (after === 'allowed') return false;
  return after === 'unknown' || POLICY_STEPS.has(REFUSALS[after].step);
}

const POLICY_STEPS: ReadonlySet<string> = new Set(['route', 'identity', 'permission']);

function accessOf(
  uses: readonly SeenUse[],
  before: Snapshot,
  after: Snapshot,
): Pick<SuggestionProof, 'opened' | 'closed' | 'isPartial'> {
  const seen = Map.groupBy(uses, ({ mesh, destination }) => `${mesh}/${destination}`);
  const opened: AccessOf[] = [];
  const closed: AccessOf[] = [];
  let isSomePartial = false;
  for (const name of [...new Set([...before.routes.keys(), ...after.routes.keys()])].sort()) {
    const [old, now] = [before.routes.get(name) ?? null, after.routes.get(name) ?? null];
    const { newly, noLonger, isPartial } = accessChange(old, now, domainsOf(now ?? old, [before, after]));
    const { mesh = '', destination = '' } = now ?? old ?? {};
    const ids = new Set((seen.get(`${mesh}/${destination}`) ?? []).flatMap(({ uris }) => uris));
    const others = newly.filter((client) => !idsIn(client).some((id) => ids.has(id)));
    if (others.length > 0) opened.push({ sni: name, clients: others });
    if (noLonger.length > 0) closed.push({ sni: name, clients: noLonger });
    isSomePartial ||= isPartial;
  }
  return { opened, closed, isPartial: isSomePartial };
}

/** The SPIFFE ids in the label of a client (`access-change.ts`). */
function idsIn(client: string): readonly string[] {
  return client.split(/ and | with |, /).filter((part) => part.startsWith('spiffe://'));
}
