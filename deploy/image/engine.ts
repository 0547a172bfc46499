import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { ownArchitecture } from './platforms.ts';

/** A program that builds images, and one that runs them. */
export interface Engine {
  readonly name: string;
  /** The arguments that every build needs here besides its own. */
  readonly build: readonly string[];
  /** The arguments of every container; null where the program only builds. */
  readonly run: readonly string[] | null;
}

const NAMES: readonly string[] = ['docker', 'podman', 'buildah'];

/** Returns the first that works: docker only with its daemon, podman and buildah by themselves. */
export function findEngine(wanted: string | undefined): Engine | null {
  const name = (wanted === undefined ? NAMES : [wanted]).find((each) => answers(each));
  if (name === undefined) return null;
  if (name === 'docker') return { name, build: ['build'], run: [] };
  // A machine that is a container itself often has no user namespaces and no network for builds.
  const words = [name === 'podman' ? 'build' : 'bud', '--isolation', 'chroot', '--format', 'docker', '--pull=never'];
  // Docker sets it by itself.
  const build = [...words, '--build-arg', `BUILDPLATFORM=linux/${ownArchitecture()}`];
  if (name === 'buildah') return { name, build, run: null };
  const runc = spawnSync('runc', ['--version']).status === 0 ? ['--runtime', 'runc'] : [];
  // Its timer for health checks is a unit of systemd, which may be missing: the check polls itself.
  return { name, build, run: [...runc, '--no-healthcheck', '--ulimit', 'nofile=20000:20000', '--ulimit', 'nproc=4096:4096'] };
}

function answers(name: string): boolean {
  return spawnSync(name, name === 'buildah' ? ['version'] : ['info'], { stdio: 'ignore' }).status === 0;
}

/** Returns the program's output; throws with its output where it fails. */
export function ask(engine: Engine, args: readonly string[]): string {
  return execFileSync(engine.name, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64e6 }).trim();
}

export function has(engine: Engine, image: string): boolean {
  return spawnSync(engine.name, ['inspect', '--type', 'image', image], { stdio: 'ignore' }).status === 0;
}

/** Runs it with its output on this terminal. */
export function show(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, [...args], { stdio: ['ignore', 2, 2] });
  if (error !== undefined || status !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${error?.message ?? `status ${status}`}`);
}

export function start(engine: Engine, args: readonly string[]): ChildProcess {
  return spawn(engine.name, [...args], { stdio: ['pipe', 'pipe', 'inherit'] });
}
