import { resolve } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import type { Clock } from '../../base/clock.ts';
import { isOwnLack } from '../../base/own-lack.ts';
import { listOf, name, options as shapeOf, text } from '../../base/shape.ts';
import { forbids } from '../../base/problem.ts';
import type { Problem } from '../../base/problem.ts';
import { readFileBelow, readResourceFolder } from '../../files/read-folder.ts';
import type { Compiled } from '../../model/compiled.ts';
import { compile } from '../../resources/compile.ts';
import type { CompileOptions, SourceFile } from '../../resources/compile.ts';
import { createParseCache } from '../../resources/parse-cache.ts';
import type { ConfigSource } from './config-source.ts';
import { watchesOf } from './folder-watches.ts';

/** A folder, which also returns what it read last, for a watch in another thread. */
export interface FolderSource extends ConfigSource {
  /** Null before the first load, and after one that lacked what it needs to read. */
  fingerprint(): string | null;
}

export interface FolderSourceOptions {
  readonly dir: string;
  readonly name?: string;
  readonly zone?: string;
  readonly identities?: string;
  readonly strict?: boolean;
  /** Needed only by `watch`. */
  readonly clock?: Clock;
  /** Compiled beside the files of the folder, to find what they would change. */
  readonly more?: readonly SourceFile[];
  readonly without?: NonNullable<CompileOptions['without']>;
}

const wall = systemClock({ keepAlive: false });

/**
 * Makes a folder of resource files the source. DataSources of kind `file` are read only below the
 * folder.
 */
export function folderSource(options: FolderSourceOptions): FolderSource {
  const { dir, clock } = options;
  // The state of the last load: a change between a load and the start of the watch is noticed too.
  let loaded: string | undefined;
  const cache = createParseCache();
  const watches = watchesOf(dir, clock);
  function noted(compiled: Compiled, fingerprint: string, lacks: boolean): Compiled {
    loaded = lacks ? undefined : fingerprint;
    if (lacks) watches.retry();
    return compiled;
  }
  return {
    about: { mode: 'folder', source: dir },
    async load(): Promise<Compiled> {
      const { files, problems, fingerprint } = await readResourceFolder(dir);
      let lacks = problems.some(({ message }) => isOwnLack(message));
      if (files.length === 0 && forbids(problems)) return noted({ kind: 'invalid', problems }, fingerprint, lacks);
      const read = readerBelow([dir, options.identities]);
      const compiled = compile([...files, ...(options.more ?? [])], {
        ...compileOptions(options),
        nowMs: (clock ?? wall).wall(),
        cache,
        readFile(path) {
          const found = read(path);
          lacks ||= 'error' in found && isOwnLack(found.error);
          return found;
        },
      });
      return noted(withProblems(compiled, problems), fingerprint, lacks);
    },
    fingerprint: () => loaded ?? null,
    watch: (changed) => watches.begin(changed, loaded),
    close: () => Promise.resolve(watches.close()),
  };
}

/**
 * Makes resources in memory the source. It reports no changes: a load returns the function's
 * present result.
 */
export function memorySource(
  files: readonly SourceFile[] | (() => readonly SourceFile[]),
  options: Omit<FolderSourceOptions, 'dir' | 'clock'>,
): ConfigSource {
  const now = (): readonly SourceFile[] => {
    if (typeof files !== 'function') return files;
    const given = files();
    checkFiles(given, 'resources()');
    return given;
  };
  return {
    about: { mode: 'resources in memory', source: '' },
    // An error of the function rejects the load.
    load: () =>
      new Promise((resolve) =>
        resolve(compile(now(), { ...compileOptions(options), readFile: readerBelow([options.identities]) })),
      ),
    watch: () => () => {},
  };
}

const checkFiles = listOf(shapeOf<SourceFile>({ path: name, text }, ['path', 'text']));

/** Reads only files below one of these folders. */
function readerBelow(folders: readonly (string | undefined)[]): NonNullable<CompileOptions['readFile']> {
  const roots = folders.filter((folder) => folder !== undefined);
  return (path) => {
    let refused: { error: string } = { error: 'a file is read below the folder of resources only' };
    for (const root of roots) {
      const read = readFileBelow(root, path);
      if ('text' in read) return read;
      refused = read;
    }
    return refused;
  };
}

function compileOptions(options: Omit<FolderSourceOptions, 'dir' | 'clock'>): CompileOptions {
  const { name, zone, identities, strict, without } = options;
  return {
    ...(without === undefined ? {} : { without }),
    ...(name === undefined ? {} : { name }),
    ...(zone === undefined ? {} : { zone }),
    ...(identities === undefined ? {} : { identities: resolve(identities) }),
    ...(strict === undefined ? {} : { strict }),
  };
}

/**
 * A file that cannot be read may contain the rule that denies: it forbids the load like any other
 * error.
 */
function withProblems(compiled: Compiled, problems: readonly Problem[]): Compiled {
  if (problems.length === 0) return compiled;
  const all = [...problems, ...compiled.problems];
  if (forbids(problems) || compiled.kind === 'invalid') return { kind: 'invalid', problems: all };
  return { ...compiled, problems: all };
}
