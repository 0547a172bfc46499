import { createHash } from 'node:crypto';
import type { Origin } from '../model/compiled.ts';
import type { Findings } from './findings.ts';
import { parseYaml } from './yaml.ts';
import type { SourceFile } from './yaml.ts';
import type { Value } from './yaml-value.ts';

/**
 * Keeps the documents of the last compile, so that a change of one file costs only the parsing of
 * that file. Each source has its own.
 */
export interface ParseCache {
  /**
   * Returns the documents of all files. Documents of files that are no longer given are dropped.
   */
  parse(files: readonly SourceFile[], findings: Findings): readonly Value[];
}

interface Parsed {
  /** Hash of the content. The text itself may contain a key and is not kept. */
  readonly hash: string;
  readonly values: readonly Value[];
  readonly errors: readonly (readonly [at: Origin, field: string, message: string])[];
}

export function createParseCache(): ParseCache {
  let known: ReadonlyMap<string, Parsed> = new Map();
  return {
    parse(files, findings) {
      const next = new Map<string, Parsed>();
      const values = files.flatMap((file) => {
        const hash = createHash('sha256').update(file.text).digest('base64');
        const before = known.get(file.path);
        const parsed = before?.hash === hash ? before : parseOne(file, hash);
        next.set(file.path, parsed);
        for (const [at, field, message] of parsed.errors) findings.error(at, field, message);
        return parsed.values;
      });
      known = next;
      return values;
    },
  };
}

function parseOne(file: SourceFile, hash: string): Parsed {
  const errors: [Origin, string, string][] = [];
  const values = parseYaml(file, { error: (at, field, message) => void errors.push([at, field, message]) });
  return { hash, values, errors };
}
