import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { withoutKeys } from './base/key-material.ts';
import { systemClock } from './base/clock.ts';
import { packageVersion } from './base/version.ts';
import { containerGrace } from './cli/grace.ts';
import { helpText } from './cli/help.ts';
import { inheritedSocket } from './cli/inherited-socket.ts';
import { systemdOf } from './cli/supervisor.ts';
import { parseCommand } from './cli/parse.ts';
import type { Command } from './cli/parse.ts';
import type { Screen, Signal, Terminal } from './cli/terminal.ts';
import { strayVariables } from './cli/variables.ts';
import { STARTER_IS_GONE, followStarters } from './starters.mjs';

// Without a listener Node opens its debugger on this signal, and a client of that port runs any
// code. `run` opens the files of logs again.
process.on('SIGUSR1', () => {});

const screen: Screen = {
  size: () => ({ columns: process.stdout.columns, rows: process.stdout.rows }),
  onResize(listener) {
    process.stdout.on('resize', listener);
    return () => process.stdout.removeListener('resize', listener);
  },
  onKeys(listener, gone) {
    const { stdin } = process;
    // A terminal that is gone cannot leave its mode.
    stdin.on('error', () => {});
    stdin.setRawMode(true);
    stdin.setEncoding('utf8');
    stdin.on('data', listener);
    for (const event of ['end', 'error']) stdin.on(event, gone);
    return () => {
      stdin.removeListener('data', listener);
      for (const event of ['end', 'error']) stdin.removeListener(event, gone);
      stdin.setRawMode(false);
      stdin.pause();
    };
  },
};

/** Takes argv and returns the exit code: the only file that uses process.*. */
const terminal: Terminal = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(withoutKeys(text)),
  cwd: () => process.cwd(),
  cpus: () => availableParallelism(),
  descriptorLimit,
  supervisor: () =>
    systemdOf(process.env, process.pid, (command, args, failed) => {
      execFile(command, [...args], (error) => {
        if (error !== null) failed(`${command} ${args.join(' ')}: ${error.message}`);
      });
    }),
  screen: () => (process.stdin.isTTY && process.stdout.isTTY ? screen : null),
  grace: () => containerGrace(process.env, process.pid, existsSync),
  inheritedSocket: () => inheritedSocket(process.env, process.pid),
  inputEnd: () =>
    new Promise((resolve) => {
      for (const event of ['end', 'close', 'error']) process.stdin.once(event, () => resolve());
      process.stdin.resume();
    }),
  onFault(listener) {
    faultListener = listener;
  },
  onSignal(signals, listener) {
    const heard = (signal: Signal): void => {
      if (signal === 'SIGTERM' || signal === 'SIGINT') stopping = true;
      listener(signal);
    };
    for (const signal of signals) process.on(signal, heard);
    return () => {
      for (const signal of signals) process.removeListener(signal, heard);
    };
  },
};

// Ctrl-C ends this process, and npm beside it: a second signal would cut the sessions that the
// first one lets end.
let stopping = false;
const wrapper = process.env.ZONE_EGRESS_WRAPPER;
delete process.env.ZONE_EGRESS_WRAPPER;
followStarters(
  () => {
    if (stopping) return;
    terminal.err(STARTER_IS_GONE);
    process.kill(process.pid, 'SIGTERM');
  },
  wrapper === undefined ? undefined : Number(wrapper),
);

// libuv gives getaddrinfo at most half of its threads, and look-ups that hang must leave some free:
// the name of the control plane needs one, and so do names from sources other than DNS.
process.env.UV_THREADPOOL_SIZE ??= '10';

// Turns off allocation-site pretenuring in all threads. V8 otherwise allocates sessions in old
// space, where dead ones keep young ones alive: a quarter of all sessions had to wait for a large
// collection.
setFlagsFromString('--no-allocation-site-pretenuring');

// Lets a heap grow by half of what lives in it before V8 collects. The main thread has no limit of
// ours, and would grow fourfold: 20 MB more after short connections, at the same CPU
// (docs/decisions/connection-cost.md).
setFlagsFromString('--heap-growing-percent=50');

// base/release-memory.ts needs it. Contexts made from now on have it, including those of threads;
// this one is set below.
setFlagsFromString('--expose-gc');
globalThis.gc ??= runInNewContext('gc') as NodeJS.GCFunction;

// An operator cannot act on Node's warnings about a library (gRPC sends an address as SNI). The
// tests of this project do see them.
process.noDeprecation = true;

// A reader that went away (`zone-egress … | head`) is no reason to stop serving.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

let faultListener: ((error: unknown) => void) | null = null;
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error: unknown) => {
    if (faultListener !== null) return faultListener(error);
    terminal.err(
      `zone-egress: internal error, please report it: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exit(70);
  });
}

await leave(await run(parseCommand(process.argv.slice(2), process.env)));

/** Open handles must not keep the process running once its command is done. */
async function leave(code: number): Promise<void> {
  const hangs = (): boolean =>
    process.getActiveResourcesInfo().some((kind) => /^(?:FSReq|GetAddrInfoReq|GetNameInfoReq)/.test(kind));
  const clock = systemClock();
  const until = performance.now() + 1_000;
  while (hangs() && performance.now() < until) await new Promise<void>((resolve) => void clock.after(20, resolve));
  // The exit waits for the threads of libuv's pool, and one that hangs in a system call (a disk, a
  // look-up) never returns. Replacing the program by another ends them, with the same exit code.
  if (hangs() && typeof process.execve === 'function')
    process.execve(process.execPath, [process.execPath, '-e', `process.exit(${code})`], {});
  process.exit(code);
}

async function run(command: Command): Promise<number> {
  switch (command.kind) {
    case 'version':
      terminal.out(`zone-egress ${packageVersion()}\n`);
      return 0;
    case 'help':
      terminal.out(helpText(command.topic));
      return 0;
    case 'usage-error':
      terminal.err(command.code === undefined ? `zone-egress: ${command.message}\n` : `${command.message}\n`);
      return command.code ?? 64;
    case 'command':
      for (const line of strayVariables(process.env)) terminal.err(`zone-egress: ${line}\n`);
      return command.execute(terminal);
    default:
      return command satisfies never;
  }
}

/** Reads the soft limit of open files of this process; null where the system does not report it. */
function descriptorLimit(): number | null {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return line === null ? null : Number(line[1]);
  } catch {
    return null;
  }
}
