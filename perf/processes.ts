// Manages the processes of a run: starts one, waits for the JSON line that reports it ready, reads
// CPU and memory of it and its children.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';

export interface Started {
  readonly pid: number;
  /** The line that reported it ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Writes `line` to its input and returns the next JSON line. */
  ask(line: string): Promise<Readonly<Record<string, unknown>>>;
  stop(): Promise<void>;
}

/**
 * Starts a program and resolves with the first line of its output that is JSON and passes
 * `isReady`; later output is read and dropped, unless asked for.
 */
export function start(
  command: string,
  args: readonly string[],
  isReady: (line: Readonly<Record<string, unknown>>) => boolean = () => true,
  env: Readonly<Record<string, string>> = {},
): Promise<Started> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '', ...env } });
  child.stdin.on('error', () => {});
  return new Promise((resolve, reject) => {
    let ended: (error: Error) => void = reject;
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      ended(new Error(`${command} ${args.join(' ').slice(0, 300)} ended with ${code ?? signal}`)),
    );
    // The line reader is removed after the line: it would cost this process much when an egress
    // logs each session.
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const parsed = parse(line);
      if (parsed === null || !isReady(parsed) || child.pid === undefined) return;
      lines.close();
      child.stdout.resume();
      ended = () => {};
      resolve({
        pid: child.pid,
        ready: parsed,
        stop: () => stop(child),
        ask: (question) =>
          new Promise((answered, failed) => {
            ended = failed;
            const answers = createInterface({ input: child.stdout });
            answers.on('line', (text) => {
              const answer = parse(text);
              if (answer === null) return;
              ended = () => {};
              answers.close();
              answered(answer);
            });
            child.stdin.write(`${question}\n`);
          }),
      });
    });
  });
}

export function startNode(
  args: readonly string[],
  isReady?: (line: Readonly<Record<string, unknown>>) => boolean,
): Promise<Started> {
  return start(process.execPath, args, isReady);
}

function parse(line: string): Readonly<Record<string, unknown>> | null {
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return null;
  }
}

export function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  const children = child.pid === undefined ? [] : treeOf(child.pid).slice(1);
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.stdin?.end();
    child.kill('SIGKILL');
    for (const pid of children) kill(pid);
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** Returns this process and all of its descendants, the root first. */
export function treeOf(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = quiet(() => /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1]);
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const tree = [root];
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child);
  return tree;
}

const TICKS_PER_SECOND = 100;

/**
 * Returns user and system time of a process tree, all live threads, in seconds: to the nanosecond
 * where the kernel has schedstat, else to 10 ms.
 */
export function cpuSeconds(root: number): number {
  return treeOf(root).reduce((sum, pid) => sum + (quiet(() => exactSeconds(pid)) ?? quiet(() => tickSeconds(pid)) ?? 0), 0);
}

function exactSeconds(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`))
    sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
  return sum;
}

/** proc_pid_stat(5), fields 14 and 15. */
function tickSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/**
 * Returns the CPU time of the whole machine that was not idle, in seconds, including interrupts of
 * the kernel.
 */
export function machineSeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync('/proc/stat', 'utf8')
    .slice(5)
    .split('\n', 1)[0]!
    .trim()
    .split(/\s+/)
    .map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/**
 * Returns the resident memory of a process tree in bytes. Shared memory counts for each process.
 */
export function residentBytes(root: number): number {
  return treeOf(root).reduce((sum, pid) => {
    const kb = quiet(() => /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    return sum + Number(kb ?? 0) * 1024;
  }, 0);
}

/**
 * Counts the descriptors that each epoll instance of a process tree watches: every proxy has one
 * instance per worker.
 */
export function watchedBy(root: number): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const pid of treeOf(root)) {
    for (const fd of quiet(() => readdirSync(`/proc/${pid}/fdinfo`)) ?? []) {
      const info = quiet(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? '';
      const watched = info.match(/^tfd:/gm)?.length ?? 0;
      if (watched > 0) counts.set(`${pid}:${fd}`, watched);
    }
  }
  return counts;
}

/** Processes start and end while they are read. */
function quiet<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
