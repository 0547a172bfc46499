import { formatProblem } from '../base/problem.ts';
import type { MigrationSource } from '../explain/migration.ts';
import type { GoodConfig } from '../model/compiled.ts';
import { compile } from '../resources/compile.ts';
import type { SourceFile } from '../resources/compile.ts';
import { EXIT_CONFIG } from './exit-codes.ts';
import { Stopped } from './load-folder.ts';
import type { Terminal } from './terminal.ts';

/** The source of a plan, with the files that are compiled beside its resources. */
export interface MigrationInput {
  readonly source: MigrationSource;
  /** Name of the ZoneEgress. */
  readonly name: string;
  /** Empty where only a running egress is known. */
  readonly files: readonly SourceFile[];
  /** Keyed by mesh. */
  readonly existing: ReadonlyMap<string, ExistingSecrets>;
}

export interface ExistingSecrets {
  readonly identities: readonly string[];
  readonly secrets: ReadonlySet<string>;
}

/** Throws `Stopped` where the files cannot be used, and prints why. */
export function compiledFor(
  files: readonly SourceFile[],
  options: Parameters<typeof compile>[1],
  terminal: Terminal,
): GoodConfig {
  const config = compile(files, options);
  if (config.kind === 'compiled') return config;
  for (const problem of config.problems) if (problem.severity === 'error') terminal.err(`${formatProblem(problem)}\n`);
  throw new Stopped(EXIT_CONFIG, 'the resources have errors: `zone-egress validate` says which');
}
