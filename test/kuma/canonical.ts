import type { Principal } from '../../src/model/permission.ts';

/** No client, as an expression. */
export const NOBODY: Principal = { kind: 'or', any: [] };
export const ANYBODY: Principal = { kind: 'any' };

/**
 * Writes a set of clients in one canonical form: every combination of the URIs that matter, with
 * its outcome. A client has one value for a tag and one service in a mesh, as Kuma's certificates
 * have; `other` is any value that is not named, or none.
 */
export function canonical(clients: Principal): readonly string[] {
  const variables = reduced(variablesOf(clients), clients);
  const lines = combinations(variables).map((chosen) => {
    const named = variables.map(({ name }, i) => `${name}${chosen[i] ?? ''}`);
    return `${evaluate(clients, holds(variables, chosen)) ? 'allow' : 'deny'} ${named.join(' & ') || 'anybody'}`;
  });
  return lines.sort();
}

interface Variable {
  /** The common prefix of its values. */
  readonly name: string;
  readonly values: readonly string[];
}

const OTHER = ' other';

function variablesOf(clients: Principal): readonly Variable[] {
  const values = new Map<string, Set<string>>();
  for (const atom of atomsOf(clients)) {
    const [name, value] = split(atom);
    values.set(name, (values.get(name) ?? new Set([OTHER])).add(value));
  }
  return [...values].map(([name, set]) => ({ name, values: [...set] })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

type Atom = Extract<Principal, { kind: 'uri' | 'uri-list' }>;

function atomsOf(clients: Principal): readonly Atom[] {
  switch (clients.kind) {
    case 'any':
      return [];
    case 'uri':
    case 'uri-list':
      return [clients];
    case 'and':
      return clients.all.flatMap(atomsOf);
    case 'or':
      return clients.any.flatMap(atomsOf);
    case 'not':
      return atomsOf(clients.not);
    default:
      return clients satisfies never;
  }
}

/**
 * A tag or the service of a mesh, and its value; any other URI is a variable of its own, present or
 * not.
 */
function split({ match, value }: Atom): readonly [string, string] {
  const parts = match === 'exact' ? /^(spiffe:\/\/[^/]+\/|kuma:\/\/.+\/)([^/]+)$/.exec(value) : null;
  return parts === null ? [`${match} ${value}`, ' yes'] : [parts[1] ?? '', parts[2] ?? ''];
}

/** Leaves out values that never matter. */
function reduced(variables: readonly Variable[], clients: Principal): readonly Variable[] {
  const kept = variables.map(({ name, values }, i) => ({
    name,
    values: values.filter((value) => value === OTHER || matters(variables, i, value, clients)),
  }));
  return kept.filter(({ values }) => values.length > 1);
}

function matters(variables: readonly Variable[], at: number, value: string, clients: Principal): boolean {
  return combinations(variables).some((chosen) => {
    const outcome = (own: string): boolean =>
      evaluate(
        clients,
        holds(
          variables,
          chosen.map((each, i) => (i === at ? own : each)),
        ),
      );
    return outcome(value) !== outcome(OTHER);
  });
}

function combinations(variables: readonly Variable[]): readonly (readonly string[])[] {
  let all: readonly (readonly string[])[] = [[]];
  for (const { values } of variables) all = all.flatMap((some) => values.map((value) => [...some, value]));
  if (all.length > 65_536) throw new Error(`${all.length} combinations of clients (limit 65536)`);
  return all;
}

function holds(variables: readonly Variable[], chosen: readonly string[]): (atom: Atom) => boolean {
  return (atom) => {
    const [name, value] = split(atom);
    return chosen[variables.findIndex((variable) => variable.name === name)] === value;
  };
}

function evaluate(clients: Principal, atom: (atom: Atom) => boolean): boolean {
  switch (clients.kind) {
    case 'any':
      return true;
    case 'uri':
    case 'uri-list':
      return atom(clients);
    case 'and':
      return clients.all.every((each) => evaluate(each, atom));
    case 'or':
      return clients.any.some((each) => evaluate(each, atom));
    case 'not':
      return !evaluate(clients.not, atom);
    default:
      return clients satisfies never;
  }
}
