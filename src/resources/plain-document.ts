import { createFindings } from './findings.ts';
import { formatProblem } from '../base/problem.ts';
import { parseYaml } from './yaml.ts';
import type { SourceFile } from './yaml.ts';
import type { Value } from './yaml-value.ts';

/**
 * Reads the one document of a file, YAML or JSON, as plain data. Throws an error with the place
 * where it is not valid.
 */
export function plainDocument(file: SourceFile): unknown {
  const findings = createFindings(true);
  const values = parseYaml(file, findings);
  const [problem] = findings.problems();
  if (problem !== undefined) throw new Error(formatProblem(problem));
  const [value, second] = values;
  if (value === undefined || second !== undefined)
    throw new Error(`${file.path}: one document is wanted, there are ${values.length}`);
  return plain(value);
}

function plain(value: Value): unknown {
  switch (value.kind) {
    case 'scalar':
      return value.value;
    case 'list':
      return value.items.map(plain);
    case 'map':
      return Object.fromEntries([...value.entries].map(([key, entry]) => [key, plain(entry.value)]));
    default:
      return value satisfies never;
  }
}
