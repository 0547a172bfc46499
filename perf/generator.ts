// Starts the generator and the far end, processes of their own. The native ones are built from
// source with `cc` and OpenSSL's headers, once, in about two seconds; where that fails, TypeScript
// does the same work with more CPU. `PERF_GENERATOR=typescript` selects it.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from './processes.ts';
import type { Started } from './processes.ts';

export const CACHE: string = fileURLToPath(new URL('../node_modules/.cache/', import.meta.url));
const SOURCES = fileURLToPath(new URL('generator/', import.meta.url));

export type Mode = 'serve' | 'bulk' | 'rate' | 'hold' | 'ping' | 'http-serve' | 'http';
export type Options = Readonly<Record<string, string | number | undefined>>;

/**
 * Times are microseconds; `p50` and so on are of whole connections (`rate`) or of single messages
 * (`ping`).
 */
export interface Load {
  readonly seconds: number;
  readonly up: number;
  readonly down: number;
  readonly connections: number;
  readonly resumed: number;
  readonly errors: number;
  readonly firstError: string;
  readonly p50: number;
  readonly p99: number;
  readonly p999?: number;
  readonly max: number;
  /** Seconds of CPU that the generator itself took. */
  readonly ownCpu?: number;
}

let command: readonly string[] | undefined;

/** Starts it until it waits for a line; with `serve`, until it listens. */
export function startGenerator(mode: Mode, options: Options): Promise<Started> {
  const [program = '', ...first] = theCommand();
  const words = Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  return start(program, [...first, mode, ...words]);
}

export async function go(generator: Started): Promise<Load> {
  return (await generator.ask('go')) as unknown as Load;
}

function theCommand(): readonly string[] {
  command ??= native() ?? [process.execPath, join(SOURCES, 'fallback.ts')];
  return command;
}

/** The one in TypeScript has no HTTP: it would be dearer than what it measures. */
export function speaksHttp(): boolean {
  return theCommand().length === 1;
}

export function generatorName(): string {
  return command === undefined ? 'none' : command.length === 1 ? 'native (C, epoll)' : 'TypeScript';
}

function native(): readonly string[] | null {
  if (process.env.PERF_GENERATOR === 'typescript') return null;
  const files = readdirSync(SOURCES).filter((name) => /\.[ch]$/.test(name));
  const hash = createHash('sha256');
  for (const name of files) hash.update(readFileSync(join(SOURCES, name)));
  const folder = join(CACHE, 'perf-generator');
  const binary = join(folder, hash.digest('hex').slice(0, 16));
  if (existsSync(binary)) return [binary];
  mkdirSync(folder, { recursive: true });
  const temporary = `${binary}.${process.pid}`;
  const sources = files.filter((name) => name.endsWith('.c')).map((name) => join(SOURCES, name));
  const { status, error, stderr } = spawnSync('cc', ['-O2', '-o', temporary, ...sources, '-lssl', '-lcrypto'], {
    encoding: 'utf8',
  });
  if (status === 0) {
    renameSync(temporary, binary);
    return [binary];
  }
  const why = error?.message ?? stderr.split('\n').find((line) => /error/.test(line)) ?? `cc ended with ${status}`;
  console.error(`perf: the native generator could not be built (${why}): the one in TypeScript takes its place`);
  return null;
}
