import { formatProblem } from '../base/problem.ts';
import { folderSource } from '../control/folder-source.ts';
import { EXIT_CONFIG } from './run.ts';
import type { ValidateCommand } from './commands/validate.ts';
import type { Terminal } from './terminal.ts';

/** Prints every problem at once, one a line; exit 0, or 78 when something is wrong. Warnings alone are not wrong. */
export async function validateCommand(command: ValidateCommand, terminal: Terminal): Promise<number> {
  const source = folderSource({
    dir: command.dir,
    strict: command.strict,
    ...(command.name === null ? {} : { name: command.name }),
    ...(command.zone === null ? {} : { zone: command.zone }),
    ...(command.identities === null ? {} : { identities: command.identities }),
  });
  const compiled = await source.load();
  const { problems } = compiled;
  for (const problem of problems) terminal.out(`${formatProblem(problem)}\n`);
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const warnings = problems.length - errors;
  const counts = `${errors} error${errors === 1 ? '' : 's'}, ${warnings} warning${warnings === 1 ? '' : 's'}`;
  if (compiled.kind === 'invalid') {
    terminal.out(`${command.dir}: ${counts}\n`);
    return EXIT_CONFIG;
  }
  // `run` serves what is left; here it is a mistake to be mended.
  const { routes, meshes } = compiled.snapshot;
  const bare = [...meshes.values()].flatMap(({ name, identity }) => (identity.kind === 'none' ? [`Mesh ${name}`] : []));
  const named = problems.flatMap(({ refuses = [] }) => refuses).filter((name) => !/^(?:Global)?Secret /.test(name));
  const refused = [...new Set([...bare, ...named])];
  terminal.out(`${command.dir}: ${routes.size} routes in ${meshes.size} mesh${meshes.size === 1 ? '' : 'es'}, ${counts}\n`);
  if (refused.length > 0) terminal.out(`${command.dir}: run serves all but ${listed(refused)}\n`);
  return errors > 0 ? EXIT_CONFIG : 0;
}

const MAX_LISTED = 20;

function listed(names: readonly string[]): string {
  const more = names.length > MAX_LISTED ? `, and ${names.length - MAX_LISTED} more` : '';
  return `${names.slice(0, MAX_LISTED).join(', ')}${more}`;
}
