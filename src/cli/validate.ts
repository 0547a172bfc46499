import { plural } from '../base/plural.ts';
import { systemClock } from '../base/clock.ts';
import { formatProblem } from '../base/problem.ts';
import type { Problem } from '../base/problem.ts';
import { folderSource } from '../control/sources/folder-source.ts';
import { createKeyStore } from '../identity/key-store.ts';
import type { Compiled, GoodConfig } from '../model/compiled.ts';
import { EXIT_CONFIG, EXIT_NO_INPUT } from './exit-codes.ts';
import type { ValidateCommand } from './commands/validate.ts';
import { folderProblem } from './load-folder.ts';
import type { Terminal } from './terminal.ts';

/** The result, as `-o json` prints it. */
interface Report {
  readonly folder: string;
  readonly errors: number;
  readonly warnings: number;
  /** True when `run` would serve anything. */
  readonly served: boolean;
  readonly routes: number;
  readonly meshes: number;
  /** Destinations that `run` would refuse while everything else is served. */
  readonly refused: readonly string[];
  readonly problems: readonly Problem[];
}

/**
 * Prints every problem, one a line. Exits with 0, with 78 where there is an error, with 66 without
 * a folder. Warnings alone exit with 0.
 */
export async function validateCommand(command: ValidateCommand, terminal: Terminal): Promise<number> {
  const { dir } = command;
  const missing = folderProblem(dir);
  if (missing !== null) {
    terminal.err(`zone-egress: ${missing}\n`);
    return EXIT_NO_INPUT;
  }
  const source = folderSource({
    dir,
    strict: command.strict,
    ...(command.name === null ? {} : { name: command.name }),
    ...(command.zone === null ? {} : { zone: command.zone }),
    ...(command.identities === null ? {} : { identities: command.identities }),
  });
  const report = await reportOf(dir, await source.load());
  if (command.output === 'json') terminal.out(`${JSON.stringify(report, null, 2)}\n`);
  else terminal.out(textOf(report));
  return report.errors > 0 || !report.served ? EXIT_CONFIG : 0;
}

async function reportOf(folder: string, compiled: Compiled): Promise<Report> {
  const tried = compiled.kind === 'compiled' ? await tryIdentities(compiled) : [];
  const problems = [...compiled.problems, ...tried];
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const counts = { folder, errors, warnings: problems.length - errors };
  if (compiled.kind === 'invalid') return { ...counts, served: false, routes: 0, meshes: 0, refused: [], problems };
  const { routes, meshes } = compiled.snapshot;
  // `run` serves the rest; here it is an error to be fixed.
  const bare = [...meshes.values()].flatMap(({ name, identity }) => (identity.kind === 'none' ? [`Mesh ${name}`] : []));
  const named = problems.flatMap(({ refuses = [] }) => refuses).filter((name) => !/^(?:Global)?Secret /.test(name));
  const refused = [...new Set([...bare, ...named])];
  return { ...counts, served: true, routes: routes.size, meshes: meshes.size, refused, problems };
}

/**
 * Makes or reads the certificate of each mesh and tries it, as `run` does before it goes live. A
 * problem without a file gets the place of its Mesh.
 */
async function tryIdentities({ snapshot, secrets, origins }: GoodConfig): Promise<readonly Problem[]> {
  const nothing = (): void => {};
  const store = createKeyStore({
    clock: systemClock({ keepAlive: false }),
    onCredentials: nothing,
    onRemoved: nothing,
    onProblem: nothing,
  });
  const { problems } = await store.prepare(snapshot, secrets);
  store.close();
  const refuses = (file: string): Partial<Problem> => (file.startsWith('mesh:') ? { refuses: `Mesh ${file.slice(5)}` } : {});
  return problems.map((problem) => ({ ...problem, ...refuses(problem.file), ...origins.get(problem.file) }));
}

function textOf({ folder, errors, warnings, served, routes, meshes, refused, problems }: Report): string {
  const counts = `${plural(errors, 'error')}, ${plural(warnings, 'warning')}`;
  const what = served ? `${routes} routes in ${plural(meshes, 'mesh', 'meshes')}, ` : '';
  const lines = [...problems.map(formatProblem), `${folder}: ${what}${counts}`];
  if (refused.length > 0) lines.push(`${folder}: run serves all but ${listed(refused)}`);
  return `${lines.join('\n')}\n`;
}

const MAX_LISTED = 20;

function listed(names: readonly string[]): string {
  const more = names.length > MAX_LISTED ? `, and ${names.length - MAX_LISTED} more` : '';
  return `${names.slice(0, MAX_LISTED).join(', ')}${more}`;
}
