import { existsSync } from 'node:fs';
import type { Test } from 'tap';
import type { Compiled } from '../../src/model/compiled.ts';
import { compile } from '../../src/resources/compile.ts';
import type { SourceFile } from '../../src/resources/compile.ts';
import { linesOf, snapshotOf, withIdentities } from '../resources/fixtures/compiling.ts';
import { compare } from './compare.ts';
import { clusterModel, readSnapshot } from './from-snapshot.ts';
import { judge } from './known.ts';
import type { ClusterModel, RouteModel } from './model.ts';

export const LIVE: URL = new URL('../../../shared/conformance/kuma-cp-live/', import.meta.url);
export const KUMA: URL = new URL('../../../shared/conformance/kuma-2.14.3/', import.meta.url);

export function skipWithout(folder: URL): { readonly skip: string | false } {
  return { skip: existsSync(folder) ? false : 'skipped: no conformance data' };
}

export interface Own {
  readonly routes: Readonly<Record<string, RouteModel>>;
  readonly clusters: Readonly<Record<string, ClusterModel>>;
}

/** What we make of these files. */
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
  compared: number;
  /** Nothing in them is different or not built. */
  equal: number;
  /** Equal but for what is not built. */
  notBuilt: number;
  readonly reasons: Set<string>;
}

export function newTally(): Tally {
  return { compared: 0, equal: 0, notBuilt: 0, reasons: new Set() };
}

/** One pair: what Kuma made of a zone, and what we make of it. `root` is what paths begin with. */
export function holdPair(t: Test, tally: Tally, title: string, expected: object, got: object, root: string): void {
  t.ok(Object.keys(expected).length > 0, `${title}: there is something to compare`);
  const { unexplained, onPurpose, notBuilt } = judge(compare(expected, got, root));
  t.same(unexplained, [], `${title}: as Kuma has it`);
  tally.compared++;
  if (notBuilt.size > 0) tally.notBuilt++;
  else if (unexplained.length === 0) tally.equal++;
  for (const [reason, count] of onPurpose) t.comment(`${title}: different on purpose, ${count} times: ${reason}`);
  for (const [reason, count] of notBuilt) {
    tally.reasons.add(reason);
    t.comment(`${title}: not built, ${count} times: ${reason}`);
  }
}

export function tell(t: Test, { compared, equal, notBuilt }: Tally): void {
  t.comment(`pairs: ${compared} compared, ${equal} equal, ${notBuilt} equal but for what is not built`);
}
