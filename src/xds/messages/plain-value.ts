import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { createFindings } from '../../resources/findings.ts';
import { formatProblem } from '../../base/problem.ts';
import { parseYaml } from '../../resources/yaml.ts';
import type { Value } from '../../resources/yaml-value.ts';

export type PlainYaml = { readonly kind: 'map'; readonly map: JsonObject } | { readonly kind: 'wrong'; readonly why: string };

/**
 * Reads one YAML document that is a map, without the places of its values. `name` names the text in
 * a problem.
 */
export function plainYaml(name: string, text: string): PlainYaml {
  const findings = createFindings(false);
  const [value, second] = parseYaml({ path: name, text }, findings);
  const [problem] = findings.problems();
  if (problem !== undefined) return { kind: 'wrong', why: formatProblem(problem) };
  if (value?.kind !== 'map' || second !== undefined) return { kind: 'wrong', why: `${name}: is not one document with a map` };
  return { kind: 'map', map: mapOf(value) };
}

function mapOf(value: Extract<Value, { kind: 'map' }>): JsonObject {
  return Object.fromEntries([...value.entries].map(([key, entry]) => [key, plainOf(entry.value)]));
}

function plainOf(value: Value): JsonValue {
  switch (value.kind) {
    case 'scalar':
      return value.value;
    case 'list':
      return value.items.map(plainOf);
    case 'map':
      return mapOf(value);
    default:
      return value satisfies never;
  }
}

/** Returns the value at a path of keys and indices; undefined where there is none. */
export function valueAt(value: JsonValue | undefined, ...path: readonly (string | number)[]): JsonValue | undefined {
  let at = value;
  for (const step of path) {
    if (Array.isArray(at)) at = typeof step === 'number' ? at[step] : undefined;
    else if (typeof at === 'object' && at !== null) at = Object.hasOwn(at, step) ? at[step] : undefined;
    else return undefined;
  }
  return at;
}

/** Returns null for a value that is no text, and for an empty text. */
export function textAt(value: JsonValue | undefined, ...path: readonly (string | number)[]): string | null {
  const found = valueAt(value, ...path);
  return typeof found === 'string' && found !== '' ? found : null;
}

/** Returns the elements of a list; empty where there is none. */
export function listAt(value: JsonValue | undefined, ...path: readonly (string | number)[]): readonly JsonValue[] {
  const found = valueAt(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** Reads 1 to 65535, also as text; null otherwise. */
export function portAt(value: JsonValue | undefined, ...path: readonly (string | number)[]): number | null {
  const found = valueAt(value, ...path);
  const port = typeof found === 'number' ? found : typeof found === 'string' && /^[0-9]{1,5}$/.test(found) ? Number(found) : 0;
  return Number.isInteger(port) && port > 0 && port <= 65_535 ? port : null;
}
