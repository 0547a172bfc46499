import { serverName } from '../model/names.ts';
import { CHANGE_KINDS } from './simulate.ts';
import type { Change } from './simulate.ts';
import { REQUEST_CHANGE_KINDS } from './simulate-requests.ts';
import type { RequestChange } from './simulate-requests.ts';

/** An intended change. */
export interface ExplainExpectation {
  readonly sni: string;
  /** A SPIFFE id. Absent means any client. */
  readonly client?: string;
  /** The expected outcome: `allowed`, `refused`, `unknown`, or the code of a refusal. */
  readonly outcome: string;
  /** A kind of change. Absent means any with this outcome. */
  readonly change?: string;
  /** For requests only, their method or the pattern of their path. */
  readonly method?: string;
  readonly path?: string;
}

export interface Compared {
  readonly unexpected: readonly AnyChange[];
  readonly expected: readonly AnyChange[];
  /** Expected changes that do not happen. */
  readonly missing: readonly ExplainExpectation[];
}

/** A change of sessions, or of requests. */
export type AnyChange = Change | RequestChange;

export function isOfRequests(change: AnyChange): change is RequestChange {
  return 'method' in change;
}

const FIELDS = ['sni', 'client', 'outcome', 'change', 'method', 'path'];
const KINDS: readonly unknown[] = [...new Set<string>([...CHANGE_KINDS, ...REQUEST_CHANGE_KINDS])];

/** Reads a list of `sni`, `client`, `outcome`; returns a sentence for anything else. */
export function expectationsIn(value: unknown): readonly ExplainExpectation[] | string {
  if (!Array.isArray(value)) return 'a list of changes is wanted, each with sni, outcome and perhaps client';
  const list: ExplainExpectation[] = [];
  for (const [i, item] of (value as readonly unknown[]).entries()) {
    const complaint = complaintOf(item);
    if (complaint !== null) return `entry ${i + 1}: ${complaint}`;
    list.push(item as ExplainExpectation);
  }
  return list;
}

function complaintOf(item: unknown): string | null {
  if (typeof item !== 'object' || item === null) return 'it is no object with sni and outcome';
  const fields = Object.entries(item) as readonly (readonly [string, unknown])[];
  const names = fields.map(([name]) => name);
  const unknown = names.find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) return `${JSON.stringify(unknown)}: allowed are ${FIELDS.join(', ')}`;
  const missing = ['sni', 'outcome'].find((name) => !names.includes(name));
  if (missing !== undefined) return `${missing} is missing`;
  const noText = fields.find(([, value]) => typeof value !== 'string')?.[0];
  if (noText !== undefined) return `${noText} must be a text`;
  const change = fields.find(([name]) => name === 'change')?.[1];
  if (change !== undefined && !KINDS.includes(change)) return `change ${JSON.stringify(change)}: allowed are ${KINDS.join(', ')}`;
  return null;
}

export function compareWith(changes: readonly AnyChange[], expectations: readonly ExplainExpectation[]): Compared {
  const met = new Set<ExplainExpectation>();
  const expected: AnyChange[] = [];
  const unexpected: AnyChange[] = [];
  for (const change of changes) {
    const fitting = expectations.filter((expectation) => fits(expectation, change));
    for (const expectation of fitting) met.add(expectation);
    (fitting.length > 0 ? expected : unexpected).push(change);
  }
  return { expected, unexpected, missing: expectations.filter((expectation) => !met.has(expectation)) };
}

function fits({ sni, client, outcome, change: kind, ...request }: ExplainExpectation, change: AnyChange): boolean {
  if (serverName(sni) !== serverName(change.sni)) return false;
  if (client !== undefined && !change.client.includes(client)) return false;
  if (kind !== undefined && kind !== change.kind) return false;
  const { method, path } = request;
  const { method: its, path: of } = isOfRequests(change) ? change : { method: undefined, path: undefined };
  if ((method !== undefined && method !== its) || (path !== undefined && path !== of)) return false;
  const isRefused = change.after !== 'allowed' && change.after !== 'unknown';
  return outcome === change.after || (outcome === 'refused' && isRefused);
}
