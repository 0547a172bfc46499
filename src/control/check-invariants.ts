import { inTurns } from '../base/clock.ts';
import type { Problem } from '../base/problem.ts';
import type { GoodConfig } from '../model/compiled.ts';
import { lookForViolations, MAY_COME_LATER } from '../routing/invariants.ts';
import type { Invariant, Violation } from '../routing/invariants.ts';

export interface Proof {
  /** Errors for violations that forbid to serve it, warnings for parts that are still to come. */
  readonly problems: readonly Problem[];
  /** Each once; a configuration with one must not be served. */
  readonly broken: readonly Invariant[];
}

/** The most problems in a list for people. */
const MAX_TOLD = 100;
const MAX_NAMED = 5;

/**
 * Checks a compiled configuration against the invariants. `inPieces`: it comes from a control
 * plane, which may send a route before or after its cluster.
 */
export async function prove(
  { snapshot, secrets, origins }: GoodConfig,
  { inPieces }: { readonly inPieces: boolean },
): Promise<Proof> {
  const all = await inTurns(lookForViolations(snapshot, secrets));
  const coming = inPieces ? all.filter(({ invariant }) => MAY_COME_LATER.has(invariant)) : [];
  const broken = all.filter((violation) => !coming.includes(violation));
  const told = broken.slice(0, MAX_TOLD).map((violation) => problemOf(violation, origins.get(violation.about)));
  const more = broken.length - told.length;
  if (more > 0) told.push({ ...NOWHERE, severity: 'error', field: '', message: `${more} more of this kind` });
  return {
    problems: [...told, ...[...Map.groupBy(coming, ({ invariant }) => invariant).values()].map(warningOf)],
    broken: [...new Set(broken.map(({ invariant }) => invariant))],
  };
}

const NOWHERE = { file: 'configuration', line: 0, column: 0 } as const;

function problemOf(
  { about, invariant, text }: Violation,
  at: Omit<Problem, 'severity' | 'field' | 'message'> = NOWHERE,
): Problem {
  const { file, line, column } = at;
  const message = `${text}: a bug of zone-egress (invariant ${invariant}), please report it; the previous configuration stays live`;
  return { severity: 'error', file, line, column, field: about, message };
}

/**
 * Makes one warning for all violations of a kind: a control plane may have hundreds of services
 * without an instance.
 */
function warningOf(coming: readonly Violation[]): Problem {
  const [first] = coming;
  const named = coming.slice(0, MAX_NAMED).map(({ about }) => about);
  const more = coming.length > named.length ? `, and ${coming.length - named.length} more` : '';
  const message = `${first?.text ?? ''}; connections are refused until that comes (${named.join(', ')}${more})`;
  return { ...NOWHERE, file: 'control plane', severity: 'warning', field: first?.about ?? '', message };
}
