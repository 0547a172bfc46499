import { stringify } from 'yaml';

/** Writes plain data as YAML, without aliases and without folded lines. */
export function formatYaml(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 });
}
