import { formatProblem } from '../base/problem.ts';
import { folderSource } from '../control/sources/folder-source.ts';
import { formatYaml } from '../resources/format-yaml.ts';
import { routingTable, tableText } from '../routing/table.ts';
import type { RoutingTable } from '../routing/table.ts';
import { EXIT_CONFIG, EXIT_NO_INPUT } from './exit-codes.ts';
import type { RoutesCommand } from './commands/routes.ts';
import { folderProblem } from './load-folder.ts';
import type { Terminal } from './terminal.ts';

/**
 * Prints what an egress would serve from the folder. Exits with 0, with 66 without a folder, or
 * with 78 and the errors where it would serve nothing. `validate` prints warnings.
 */
export async function routesCommand({ dir, output, name, zone, identities }: RoutesCommand, terminal: Terminal): Promise<number> {
  const missing = folderProblem(dir);
  if (missing !== null) {
    terminal.err(`zone-egress: ${missing}\n`);
    return EXIT_NO_INPUT;
  }
  const source = folderSource({
    dir,
    ...(name === null ? {} : { name }),
    ...(zone === null ? {} : { zone }),
    ...(identities === null ? {} : { identities }),
  });
  const compiled = await source.load();
  const errors = compiled.problems.filter(({ severity }) => severity === 'error');
  for (const problem of errors) terminal.err(`${formatProblem(problem)}\n`);
  if (compiled.kind === 'invalid') return EXIT_CONFIG;
  terminal.out(textOf(routingTable(compiled.snapshot), output));
  return 0;
}

function textOf(table: RoutingTable, output: RoutesCommand['output']): string {
  switch (output) {
    case 'table':
      return tableText(table);
    case 'json':
      return `${JSON.stringify(table, null, 2)}\n`;
    case 'yaml':
      return formatYaml(table);
    default:
      return output satisfies never;
  }
}
