import { readdirSync } from 'node:fs';
import { formatProblem } from '../base/problem.ts';
import { errorCode } from '../base/error-code.ts';
import { folderSource } from '../control/sources/folder-source.ts';
import type { FolderSourceOptions } from '../control/sources/folder-source.ts';
import { linesText } from '../explain/lines.ts';
import type { GoodConfig } from '../model/compiled.ts';
import { EXIT_CONFIG, EXIT_NO_INPUT } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

export interface FolderOptions {
  readonly dir: string;
  readonly name: string | null;
  readonly zone: string | null;
  readonly identities: string | null;
}

/** A failure with its exit code. */
export class Stopped extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'Stopped';
    this.code = code;
  }
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'it is no folder; name the folder that has the resource files',
  EACCES: 'this user has no permission to read it',
};

/** Returns why a folder of resources cannot be read at all; null where it can. */
export function folderProblem(dir: string): string | null {
  try {
    readdirSync(dir);
    return null;
  } catch (error) {
    const code = errorCode(error) || 'unknown error';
    const why = Object.hasOwn(WHY, code) ? WHY[code] : 'it cannot be read';
    return `read ${dir}: ${why ?? ''} (${code})`;
  }
}

/**
 * Returns what an egress would serve from the folder. Where it would serve nothing, prints the
 * errors and throws `Stopped`.
 */
export async function loadFolder(
  { dir, name, zone, identities }: FolderOptions,
  terminal: Terminal,
  changed: Pick<FolderSourceOptions, 'more' | 'without'> = {},
): Promise<GoodConfig> {
  const missing = folderProblem(dir);
  if (missing !== null) throw new Stopped(EXIT_NO_INPUT, missing);
  const source = folderSource({
    ...changed,
    dir,
    ...(name === null ? {} : { name }),
    ...(zone === null ? {} : { zone }),
    ...(identities === null ? {} : { identities }),
  });
  const config = await source.load();
  const errors = config.problems.filter(({ severity }) => severity === 'error');
  for (const problem of errors) terminal.err(`${formatProblem(problem)}\n`);
  if (config.kind === 'compiled') return config;
  throw new Stopped(EXIT_CONFIG, `the configuration of ${dir} cannot be used`);
}

/** Returns the exit code of `work`, or prints what stopped it and returns that exit code. */
export async function untilStopped(terminal: Terminal, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    // A message may quote an answer from the network.
    terminal.err(`zone-egress: ${linesText(error.message.split('\n'))}\n`);
    return error.code;
  }
}
