import type { Test } from 'tap';
import type { Compiled } from '../../src/model/compiled.ts';
import { compile } from '../../src/resources/compile.ts';
import type { SourceFile } from '../../src/resources/compile.ts';
import { linesOf, snapshotOf, withIdentities } from '../resources/fixtures/compiling.ts';
import { compare } from './compare.ts';
import { clusterModel, readSnapshot } from './from-snapshot.ts';
import { judge } from './known.ts';
import type { ClusterModel, RouteModel } from './model.ts';

export interface Own {
  readonly routes: Readonly<Record<string, RouteModel>>;
  readonly clusters: Readonly<Record<string, ClusterModel>>;
}

/** Returns our result for these files. */
export function compiledZone(t: Test, title: string, files: readonly SourceFile[]): Own {
  const compiled = compile(files, withIdentities);
  t.same(linesOf(compiled, 'error'), [], `${title}: no errors`);
  const snapshot = snapshotOf(compiled);
  const secrets = secretsOf(compiled);
  const clusters = [...snapshot.clusters.values()].map((cluster) => [cluster.name, clusterModel(cluster, secrets)] as const);
  return { routes: readSnapshot(snapshot, secrets).routes, clusters: Object.fromEntries(clusters) };
}

type CompiledSecrets = Extract<Compiled, { kind: 'compiled' }>['secrets'];

function secretsOf(compiled: Compiled): CompiledSecrets {
  return compiled.kind === 'compiled' ? compiled.secrets : new Map();
}

export interface Tally {
  pairs: number;
  /** The same, or different on purpose. */
  equal: number;
  /** Routes or clusters of these pairs. */
  items: number;
  equalItems: number;
  /** Reasons of all intended differences and of everything that is not built. */
  readonly reasons: Set<string>;
}

export function newTally(): Tally {
  return { pairs: 0, equal: 0, items: 0, equalItems: 0, reasons: new Set() };
}

/**
 * Compares one pair: Kuma's result for a zone and ours, by the names of routes or clusters. `root`
 * is the beginning of the paths.
 */
export function holdPair(t: Test, tally: Tally, title: string, expected: Items, got: Items, root: string): void {
  const names = Object.keys(expected);
  t.ok(names.length > 0, `${title}: there is something to compare`);
  const { unexplained, onPurpose, notBuilt } = judge(compare(expected, got, root));
  t.same(unexplained, [], `${title}: as Kuma has it`);
  tally.pairs++;
  if (isEqual(expected, got)) tally.equal++;
  tally.items += names.length;
  tally.equalItems += names.filter((name) => isEqual(expected[name], got[name])).length;
  for (const [what, reasons] of Object.entries({ 'different on purpose': onPurpose, 'not built': notBuilt })) {
    for (const [reason, count] of reasons) {
      tally.reasons.add(reason);
      t.comment(`${title}: ${what}, ${count} times: ${reason}`);
    }
  }
}

type Items = Readonly<Record<string, object>>;

function isEqual(expected: unknown, got: unknown): boolean {
  const { unexplained, notBuilt } = judge(compare(expected, got));
  return unexplained.length === 0 && notBuilt.size === 0;
}

export function tell(t: Test, { pairs, equal, items, equalItems }: Tally): void {
  t.comment(`pairs: ${pairs} compared, ${equal} equal; routes and clusters: ${items} compared, ${equalItems} equal`);
}
